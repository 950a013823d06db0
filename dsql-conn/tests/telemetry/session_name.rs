//! The name by which the server knows a session.

use crate::support::{builder, cluster, config, select};

#[tokio::test]
async fn sessions_have_the_name_of_the_program_unless_set() {
    let cluster = cluster().await;
    for name in [None, Some("orders"), Some("")] {
        let config = config(&cluster);
        let config = match name {
            Some(name) => config.application_name(name),
            None => config,
        };
        select(&builder(config).build()).await;
    }
    let sessions = cluster.connections();
    let names: Vec<_> = sessions
        .iter()
        .map(|session| session.application_name.as_deref())
        .collect();
    let program = std::env::current_exe().unwrap();
    let program = program.file_stem().unwrap().to_str();
    assert_eq!(names, [program, Some("orders"), None]);
}

#[tokio::test]
async fn the_lambda_preset_keeps_a_name_that_was_set() {
    let cluster = cluster().await;
    let config = config(&cluster).application_name("orders");
    select(&dsql_conn::Pool::lambda(config).build()).await;
    let name = cluster.connections()[0].application_name.clone();
    assert_eq!(name.as_deref(), Some("orders"));
}
