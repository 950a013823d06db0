use super::*;

fn refused(files: &[(&str, &str)]) -> Vec<String> {
    match Migrations::parse(files.iter().copied()) {
        Err(Error::Refused(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_are_ordered_by_their_numbers() {
    let one = "SELECT 1";
    let files = [("10_c.sql", one), ("dir/9_b.sql", one), ("0001_a.sql", one)];
    let migrations = Migrations::parse(files).unwrap();
    let names: Vec<_> = migrations.names().collect();
    assert_eq!(names, ["0001_a", "9_b", "10_c"]);
    assert_eq!(format!("{migrations:?}"), r#"["0001_a", "9_b", "10_c"]"#);
}

#[test]
fn statements_have_their_lines_and_numbers() {
    let sql = "-- About games.\r\n\r\nSELECT 1; -- one\r\n/* two */ SELECT\r\n2;\r\n";
    let migrations = Migrations::parse([("0001_a.sql", sql)]).unwrap();
    let statements = &migrations.files[0].statements;
    let found: Vec<_> = statements
        .iter()
        .map(|statement| (statement.place.to_string(), &*statement.sql))
        .collect();
    assert_eq!(
        found,
        [
            ("0001_a.sql:3: statement 1".to_owned(), "SELECT 1"),
            ("0001_a.sql:4: statement 2".to_owned(), "SELECT\n2"),
        ]
    );
}

#[test]
fn names_and_broken_files_are_refused_together() {
    let long = format!("1_{}.sql", "x".repeat(200));
    let problems = refused(&[
        ("games.sql", "SELECT 1"),
        ("_games.sql", "SELECT 1"),
        ("+1_games.sql", "SELECT 1"),
        ("1_.sql", "SELECT 1"),
        (&long, "SELECT 1"),
        ("2_two.sql", "SELECT 1"),
        ("02_zwei.sql", "SELECT 1"),
        ("3_empty.sql", "-- nothing;"),
        ("4_open.sql", "SELECT 1;\nSELECT 'a; b"),
        ("5_both.sql", "CREATE TABLE t (id int);\n\nBEGIN"),
    ]);
    assert_eq!(problems.len(), 10, "{problems:#?}");
    for expected in [
        "02_zwei.sql:1: 2_two.sql has the same number [file]; give one of them another number",
        "3_empty.sql:1: the file has no statement [file]; write one, or remove the file",
        "4_open.sql:2: a quote or comment begins here and is not closed [file]; close it",
        "5_both.sql:1: statement 1: it fails when it runs again after an interruption \
         [not_repeatable]; write CREATE TABLE IF NOT EXISTS ..",
        "5_both.sql:3: statement 2: each statement has a transaction of its own [session]; \
         remove the statement",
    ] {
        assert!(
            problems.iter().any(|problem| problem == expected),
            "{problems:#?}"
        );
    }
}

#[test]
fn a_file_allows_rules_by_their_names() {
    let allowed =
        "-- dsql-migrate: allow(unknown_statement, not_repeatable)\nDO $$ $$; DROP TABLE t";
    let migrations = Migrations::parse([("1_a.sql", allowed)]).unwrap();
    assert_eq!(migrations.files[0].statements[1].kind, Kind::Definition);
    assert_eq!(
        refused(&[("1_a.sql", "--dsql-migrate:allow(session)\nBEGIN")]).len(),
        1
    );
    assert_eq!(
        refused(&[("1_a.sql", "-- allow(not_repeatable)\nDROP TABLE t")]).len(),
        1
    );
}

#[test]
fn only_sql_files_of_a_folder_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["0001_a.sql", "README.md", ".0002_b.sql"] {
        fs::write(folder.path().join(name), "SELECT 1").unwrap();
    }
    let migrations = Migrations::from_folder(folder.path()).unwrap();
    assert_eq!(migrations.names().collect::<Vec<_>>(), ["0001_a"]);
    let missing = Migrations::from_folder(folder.path().join("none")).unwrap_err();
    assert!(
        missing.to_string().starts_with("could not read "),
        "{missing}"
    );
}
