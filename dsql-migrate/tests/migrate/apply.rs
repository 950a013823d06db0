//! What is applied, and what fails.

use dsql_local::{Fault, LocalCluster};
use dsql_migrate::{Error, Migrations, Migrator, Outcome, State};

use crate::support::{STATEMENTS, applied, cluster, expected, left, migrations, shop};

#[tokio::test]
async fn second_run_changes_nothing() {
    let cluster = cluster().await;
    let status = shop().status(&*cluster).await.unwrap();
    assert_eq!(status.pending.len(), STATEMENTS);
    let tables = "SELECT FROM pg_tables WHERE tablename = 'dsql_migrations'";
    assert!(cluster.query(tables).await.unwrap().is_empty());

    let first = shop().up(&*cluster).await.unwrap();
    assert_eq!(applied(&first), STATEMENTS);
    assert_eq!(left(&cluster).await, expected());
    let second = shop().up(&*cluster).await.unwrap();
    assert_eq!(applied(&second), 0);
    assert_eq!(second.done().count(), 0);
    assert_eq!(left(&cluster).await, expected());

    let status = shop().status(&*cluster).await.unwrap();
    assert!(status.pending.is_empty());
    assert!(status.files.iter().all(|file| file.state == State::Applied));
}

#[tokio::test]
async fn failed_statement_is_named_and_the_next_run_resumes() {
    let cluster = cluster().await;
    let broken = migrations(&[(
        "0001_a.sql",
        "CREATE TABLE IF NOT EXISTS a (id int PRIMARY KEY);
         INSERT INTO a VALUES (1);\n\nINSERT INTO a VALUES (1);",
    )]);
    let migrator = Migrator::new(broken);
    let error = migrator.up(&*cluster).await.unwrap_err();
    assert!(
        error.chain().starts_with(
            "0001_a.sql:4: statement 3 failed; the rows in the table do not allow it: fix them in \
             a statement before it: duplicate key value"
        ),
        "{}",
        error.chain()
    );
    assert!(
        error.chain().ends_with(" (SQLSTATE 23505)"),
        "{}",
        error.chain()
    );
    let status = migrator.status(&*cluster).await.unwrap();
    assert_eq!(status.files[0].state, State::Partial);

    let fixed = migrations(&[(
        "0001_a.sql",
        "CREATE TABLE IF NOT EXISTS a (id int PRIMARY KEY);
         INSERT INTO a VALUES (1); INSERT INTO a VALUES (2);",
    )]);
    let report = Migrator::new(fixed).up(&*cluster).await.unwrap();
    assert_eq!(applied(&report), 1);
    assert_eq!(cluster.query("SELECT FROM a").await.unwrap().len(), 2);
}

#[tokio::test]
async fn conflicts_are_retried() {
    let cluster = cluster().await;
    cluster.inject(Fault::conflict_commits(3));
    let report = shop().up(&*cluster).await.unwrap();
    assert_eq!(applied(&report), STATEMENTS);
    assert_eq!(left(&cluster).await, expected());
    assert_eq!(cluster.struck(&Fault::conflict_commits(3)), 3);
}

#[tokio::test]
async fn history_can_have_a_schema_and_a_name() {
    let cluster = cluster().await;
    let files = migrations(&[(
        "1_a.sql",
        "CREATE TABLE IF NOT EXISTS a (id int PRIMARY KEY)",
    )]);
    let migrator = Migrator::new(files).history_in("my schema", "my \"history\"");
    let _first = migrator.up(&*cluster).await.unwrap();
    let history = "SELECT name FROM \"my schema\".\"my \"\"history\"\"\"";
    assert_eq!(cluster.query(history).await.unwrap().len(), 1);
}

#[tokio::test]
async fn baseline_records_and_runs_nothing() {
    let cluster = cluster().await;
    let migrator = shop();
    let unknown = migrator.baseline(&*cluster, "6").await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no migration 6");

    let report = migrator.baseline(&*cluster, "2").await.unwrap();
    assert_eq!(report.steps.len(), 5);
    assert!(
        report
            .steps
            .iter()
            .all(|step| step.outcome == Outcome::Baseline)
    );
    let again = migrator.baseline(&*cluster, "0002_rows").await.unwrap();
    assert!(
        again
            .steps
            .iter()
            .all(|step| step.outcome == Outcome::Present)
    );
    let status = migrator.status(&*cluster).await.unwrap();
    let states: Vec<_> = status.files.iter().map(|file| file.state).collect();
    assert_eq!(
        states[..3],
        [State::Baseline, State::Baseline, State::Pending]
    );

    // The schema that the baseline stands for.
    let made = "CREATE SCHEMA shop; CREATE TABLE shop.item (id int PRIMARY KEY, name text, \
                price int, weight int); INSERT INTO shop.item VALUES (1, 'a', 11), (2, 'b', 12);";
    cluster.query(made).await.unwrap();
    let owned = "ALTER SCHEMA shop OWNER TO admin; ALTER TABLE shop.item OWNER TO admin";
    cluster.query(owned).await.unwrap();
    let report = migrator.up(&*cluster).await.unwrap();
    assert_eq!(applied(&report), STATEMENTS - 5);
    assert_eq!(left(&cluster).await, expected());
}

#[tokio::test]
async fn cluster_starts_with_the_migrations_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in crate::support::SHOP {
        std::fs::write(folder.path().join(name), sql).unwrap();
    }
    let cluster = LocalCluster::builder()
        .migrations(folder.path())
        .start()
        .await
        .unwrap();
    assert_eq!(left(&cluster).await, expected());

    std::fs::write(folder.path().join("0006_x.sql"), "DROP TABLE x").unwrap();
    let refused = LocalCluster::builder()
        .migrations(folder.path())
        .start()
        .await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("0006_x.sql:1: statement 1"), "{refused}");
}

#[tokio::test]
async fn lost_connection_of_a_reference_is_an_error() {
    let cluster = cluster().await;
    let client = dsql_migrate::Connect::connect(&&*cluster).await.unwrap();
    let report = shop().up(&client).await.unwrap();
    assert_eq!(applied(&report), STATEMENTS);
    cluster.cut_all();
    let lost = shop().up(&client).await.unwrap_err();
    assert!(matches!(lost, Error::Connect(_)), "{lost}");
}

#[test]
fn embedded_files_are_those_of_the_folder() {
    let embedded = dsql_migrate::migrations!["files/0001_note.sql"].unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/migrate/files");
    assert_eq!(embedded, Migrations::from_folder(folder).unwrap());
}
