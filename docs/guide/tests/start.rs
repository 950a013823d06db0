//! Runs the program of `start.md` against a local cluster, as its reader does.

use dsql_local::LocalCluster;
use tokio::process::Command;

#[tokio::test]
async fn the_first_program_prints_what_the_page_shows() {
    let cluster = LocalCluster::start().await.unwrap();
    for _ in 0..2 {
        let output = Command::new(env!("CARGO_BIN_EXE_guide-start"))
            .envs(cluster.variables())
            .output()
            .await
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        let page = include_str!("../start.md");
        let shown = format!("$ dsql-local exec -- cargo run\n{printed}```\n");
        assert!(page.contains(&shown), "the page does not show {printed:?}");
    }
}
