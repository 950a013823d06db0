//! Database roles and IAM grants.

mod support;

use dsql_local::{Action, LocalCluster, Refusal};
use support::{config, connect, connect_as, connect_with, refused, run, token};

const CONNECT: &[Action] = &[Action::DbConnect];

#[tokio::test]
async fn granted_roles_connect_and_revoked_ones_do_not() {
    let cluster = LocalCluster::start().await.unwrap();
    let app = cluster.identity("app-lambda", CONNECT);
    let admin = connect(&cluster).await;
    let missing = refused(connect_as(&cluster, "app", &app).await);
    assert_eq!(
        (missing.severity(), missing.message()),
        ("FATAL", "Role app does not exist")
    );

    run(&admin, &["CREATE ROLE app WITH LOGIN"]).await;
    let not_granted = format!(
        "User: {} is not authorized to access this resource",
        app.arn()
    );
    let denied = refused(connect_as(&cluster, "app", &app).await);
    assert_eq!(
        (denied.severity(), denied.code().code()),
        ("FATAL", "08006")
    );
    assert_eq!(
        denied.message(),
        "unable to accept connection, access denied"
    );
    assert_eq!(denied.hint(), Some(&*not_granted));

    run(&admin, &[&format!("AWS IAM GRANT app TO '{}'", app.arn())]).await;
    let client = connect_as(&cluster, "app", &app).await.unwrap();
    let row = client
        .query_one("SELECT current_user::text", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "app");

    run(
        &admin,
        &[&format!("aws iam revoke \"app\" from '{}'", app.arn())],
    )
    .await;
    let denied = refused(connect_as(&cluster, "app", &app).await);
    assert_eq!(denied.hint(), Some(&*not_granted));
    let counted = cluster
        .counts()
        .refused(|refusal| matches!(refusal, Refusal::NotGranted { .. }));
    assert_eq!(counted, 2);
}

#[tokio::test]
async fn every_role_can_list_grants() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    let arn = "arn:aws:iam::123456789012:role/it's";
    run(
        &admin,
        &[
            "CREATE ROLE app WITH LOGIN",
            "AWS IAM GRANT app TO 'arn:aws:iam::123456789012:role/it''s'",
        ],
    )
    .await;
    let rows = admin
        .query(
            "SELECT arn, pg_role_name::text, grantor_pg_role_name::text \
             FROM sys.iam_pg_role_mappings \
             WHERE iam_oid > 0 AND pg_role_oid <> grantor_pg_role_oid",
            &[],
        )
        .await
        .unwrap();
    let listed: Vec<[&str; 3]> = rows
        .iter()
        .map(|row| [row.get(0), row.get(1), row.get(2)])
        .collect();
    assert_eq!(listed, [[arn, "app", "admin"]]);
    run(
        &admin,
        &["AWS IAM REVOKE app FROM 'arn:aws:iam::123456789012:role/it''s'"],
    )
    .await;
    assert!(
        admin
            .query("SELECT FROM sys.iam_pg_role_mappings", &[])
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn role_statements_work_in_both_protocols() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    assert_eq!(
        admin
            .execute("CREATE ROLE app WITH LOGIN", &[])
            .await
            .unwrap(),
        0
    );
    admin
        .execute("AWS IAM GRANT app TO 'arn:x'", &[])
        .await
        .unwrap();
    run(
        &admin,
        &["BEGIN", "CREATE ROLE undone WITH LOGIN", "ROLLBACK"],
    )
    .await;
    run(&admin, &["CREATE ROLE undone WITH LOGIN"]).await;
    run(
        &admin,
        &["SELECT 1; AWS IAM GRANT undone TO 'arn:x'; SELECT 2"],
    )
    .await;
    let granted = cluster
        .query("SELECT count(*) FROM sys.iam_pg_role_mappings")
        .await
        .unwrap();
    assert_eq!(granted, [[Some("2".to_owned())]]);
}

#[tokio::test]
async fn the_action_must_fit_the_user() {
    let cluster = LocalCluster::start().await.unwrap();
    for (user, action, hint) in [
        (
            "admin",
            Action::DbConnect,
            "Wrong user to action mapping. user: admin, action: DbConnect",
        ),
        (
            "app",
            Action::DbConnectAdmin,
            "Wrong user to action mapping. user: app, action: DbConnectAdmin",
        ),
    ] {
        let token = token(&cluster, cluster.admin(), action).await;
        let denied = refused(connect_with(&cluster, config(&cluster, user).password(token)).await);
        assert_eq!(
            denied.message(),
            "unable to accept connection, access denied"
        );
        assert_eq!(denied.hint(), Some(hint));
    }
}

#[tokio::test]
async fn the_identity_must_be_allowed_the_action() {
    let cluster = LocalCluster::start().await.unwrap();
    let nobody = cluster.iam_user("nobody", &[]);
    let denied = refused(connect_as(&cluster, "admin", &nobody).await);
    let hint = format!(
        "User: arn:aws:iam::123456789012:user/nobody is not authorized to perform: \
         dsql:DbConnectAdmin on resource: {} \
         because no identity-based policy allows the dsql:DbConnectAdmin action",
        cluster.arn(),
    );
    assert_eq!(denied.hint(), Some(&*hint));
    assert!(
        cluster
            .arn()
            .starts_with("arn:aws:dsql:us-east-1:123456789012:cluster/")
    );

    cluster.register(nobody.clone(), &[Action::DbConnectAdmin]);
    connect_as(&cluster, "admin", &nobody).await.unwrap();
    cluster.forget(&nobody);
    let denied = refused(connect_as(&cluster, "admin", &nobody).await);
    assert_eq!(
        denied.hint(),
        Some("The security token included in the request is invalid.")
    );
}

#[tokio::test]
async fn role_statements_get_the_services_errors() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    let app = cluster.identity("app", CONNECT);
    run(
        &admin,
        &[
            "CREATE ROLE app WITH LOGIN",
            "CREATE ROLE team",
            "CREATE TABLE t (id int PRIMARY KEY)",
            "GRANT SELECT ON t TO app",
        ],
    )
    .await;
    run(&admin, &[&format!("AWS IAM GRANT app TO '{}'", app.arn())]).await;
    let client = connect_as(&cluster, "app", &app).await.unwrap();
    for (client, statement, code, message) in [
        (
            &admin,
            "CREATE ROLE app WITH LOGIN",
            "42710",
            "role \"app\" already exists",
        ),
        (
            &admin,
            "AWS IAM GRANT nobody TO 'arn:x'",
            "42704",
            "role \"nobody\" does not exist",
        ),
        (
            &admin,
            "AWS IAM GRANT team TO 'arn:x'",
            "55000",
            "role team must have the LOGIN attribute",
        ),
        (
            &admin,
            "DROP ROLE app",
            "2BP01",
            "role \"app\" cannot be dropped because some objects depend on it",
        ),
        (
            &admin,
            "DROP ROLE nobody",
            "42704",
            "role \"nobody\" does not exist",
        ),
        (
            &client,
            "AWS IAM GRANT app TO 'arn:x'",
            "42501",
            "permission denied to grant IAM trust with role app",
        ),
        (
            &client,
            "AWS IAM REVOKE app FROM 'arn:x'",
            "42501",
            "permission denied to grant IAM trust with role app",
        ),
        (
            &client,
            "CREATE ROLE mine WITH LOGIN",
            "42501",
            "permission denied to create role",
        ),
        (
            &client,
            "DROP ROLE team",
            "42501",
            "permission denied to drop role",
        ),
        (
            &admin,
            "AWS IAM GRANT app",
            "42601",
            "syntax error at or near \"AWS\"",
        ),
    ] {
        for error in [
            refused(client.batch_execute(statement).await),
            refused(client.execute(statement, &[]).await),
        ] {
            assert_eq!(
                (error.severity(), error.code().code(), error.message()),
                ("ERROR", code, message)
            );
            assert_eq!(error.where_(), None);
        }
    }
    let cannot_log_in = refused(connect_as(&cluster, "team", &app).await);
    assert_eq!(
        cannot_log_in.message(),
        "role \"team\" is not permitted to log in"
    );
}

#[tokio::test]
async fn a_dropped_role_can_be_created_again() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    let app = cluster.identity("app", CONNECT);
    run(
        &admin,
        &[
            "CREATE ROLE app WITH LOGIN",
            "DROP ROLE app",
            "DROP ROLE IF EXISTS app",
        ],
    )
    .await;
    let missing = refused(connect_as(&cluster, "app", &app).await);
    assert_eq!(missing.message(), "Role app does not exist");
    run(&admin, &["CREATE ROLE app WITH LOGIN"]).await;
}

#[tokio::test]
async fn clusters_have_their_own_roles() {
    let one = LocalCluster::start().await.unwrap();
    let two = LocalCluster::start().await.unwrap();
    let app = one.identity("app", CONNECT);
    two.register(app.clone(), CONNECT);
    let grant = format!("AWS IAM GRANT app TO '{}'", app.arn());
    run(
        &connect(&one).await,
        &["CREATE ROLE app WITH LOGIN", &grant],
    )
    .await;
    connect_as(&one, "app", &app).await.unwrap();
    let missing = refused(connect_as(&two, "app", &app).await);
    assert_eq!(missing.message(), "Role app does not exist");

    let admin = connect(&two).await;
    run(&admin, &["CREATE ROLE app WITH LOGIN", &grant]).await;
    let client = connect_as(&two, "app", &app).await.unwrap();
    run(&client, &["SELECT 1"]).await;
    run(
        &connect(&one).await,
        &[
            &grant.replace("GRANT", "REVOKE").replace("TO", "FROM"),
            "DROP ROLE app",
        ],
    )
    .await;
    connect_as(&two, "app", &app).await.unwrap();
}

#[tokio::test]
async fn two_clusters_can_create_the_same_role_at_once() {
    let clusters = [
        LocalCluster::start().await.unwrap(),
        LocalCluster::start().await.unwrap(),
    ];
    let [one, two] = &clusters;
    let (one, two) = (connect(one).await, connect(two).await);
    for round in 0..20 {
        let create = format!("CREATE ROLE racing_{round} WITH LOGIN");
        let (one, two) = tokio::join!(one.batch_execute(&create), two.batch_execute(&create));
        one.unwrap();
        two.unwrap();
    }
}

#[tokio::test]
async fn admin_owns_the_database_and_is_no_superuser() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    run(
        &admin,
        &[
            "CREATE TABLE in_public (id int PRIMARY KEY)",
            "CREATE SCHEMA games",
            "CREATE ROLE app WITH LOGIN",
            "GRANT USAGE ON SCHEMA games TO app",
        ],
    )
    .await;
    for statement in [
        "SELECT pg_read_file('PG_VERSION')",
        "CREATE ROLE boss WITH SUPERUSER",
    ] {
        let denied = refused(admin.batch_execute(statement).await);
        assert_eq!(denied.code().code(), "42501", "{statement}");
    }
}

#[tokio::test]
async fn limits_hold_for_a_role_that_may_only_insert() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    let app = cluster.identity("app-lambda", CONNECT);
    run(
        &admin,
        &[
            "CREATE TABLE note (id text PRIMARY KEY, v text)",
            "CREATE ROLE app WITH LOGIN",
            &format!("AWS IAM GRANT app TO '{}'", app.arn()),
            "GRANT INSERT ON note TO app",
        ],
    )
    .await;
    let client = connect_as(&cluster, "app", &app).await.unwrap();
    run(
        &client,
        &["INSERT INTO note VALUES ('a', repeat('x', 1048576))"],
    )
    .await;
    for (values, message) in [
        (
            "'b', repeat('x', 1048577)",
            "datatype limit greater than 1048576 bytes not supported for text",
        ),
        (
            "repeat('x', 2001), NULL",
            "key size greater than 2000 bytes not supported",
        ),
    ] {
        let insert = format!("INSERT INTO note VALUES ({values})");
        let error = client.batch_execute(&insert).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().message(), message);
    }
}
