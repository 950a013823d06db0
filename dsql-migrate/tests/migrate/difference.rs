//! Files that are not those that were applied.

use dsql_migrate::{Error, Migrator};

use crate::support::{applied, cluster, migrations};

const A: (&str, &str) = (
    "0001_a.sql",
    "CREATE TABLE IF NOT EXISTS a (\n  id int PRIMARY KEY,\n  name text\n);",
);
const C: (&str, &str) = (
    "0003_c.sql",
    "CREATE TABLE IF NOT EXISTS c (id int PRIMARY KEY)",
);

#[tokio::test]
async fn changed_file_is_refused_and_its_change_shown() {
    let cluster = cluster().await;
    let _first = Migrator::new(migrations(&[A])).up(&*cluster).await.unwrap();
    let changed = A.1.replace("name text", "name varchar(20),\n  age int");
    let changed = Migrator::new(migrations(&[(A.0, &changed), C]));
    let error = changed.up(&*cluster).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the files are not those that were applied:\n\
         0001_a.sql:1: statement 1 has changed since it was applied; restore it, and write the \
         change as a new migration\n\
         \x20     id int PRIMARY KEY,\n\
         \x20 -   name text\n\
         \x20 +   name varchar(20),\n\
         \x20 +   age int\n\
         \x20   )"
    );
    let table = "SELECT FROM pg_tables WHERE tablename = 'c'";
    assert!(
        cluster.query(table).await.unwrap().is_empty(),
        "nothing was applied"
    );

    // Changes outside of statements do not count.
    let commented = format!("-- About a.\n\n{}\n-- More.", A.1.replace('\n', "\r\n"));
    let same = Migrator::new(migrations(&[(A.0, &commented)]));
    assert_eq!(applied(&same.up(&*cluster).await.unwrap()), 0);
}

#[tokio::test]
async fn missing_and_late_files_are_refused_unless_allowed() {
    let cluster = cluster().await;
    let _first = Migrator::new(migrations(&[A, C]))
        .up(&*cluster)
        .await
        .unwrap();
    let b = (
        "0002_b.sql",
        "CREATE TABLE IF NOT EXISTS b (id int PRIMARY KEY)",
    );
    let others = Migrator::new(migrations(&[b, C]));

    let refused = others.up(&*cluster).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Differs(found) if found.len() == 2),
        "{refused}"
    );
    let status = others.status(&*cluster).await.unwrap();
    assert_eq!(status.check().unwrap_err().to_string(), refused.to_string());

    let allowed = others.allow_missing().allow_out_of_order();
    assert_eq!(applied(&allowed.up(&*cluster).await.unwrap()), 1);
    allowed.status(&*cluster).await.unwrap().check().unwrap();
}
