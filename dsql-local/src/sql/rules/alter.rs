//! The ALTER statements that are refused. The messages name a form as PostgreSQL does
//! (`alter_table_type_to_string`).

use super::read::{Reader, parts};
use super::{sequence, table};
use crate::refusal::Refusal;
use crate::sql::statement::Token;

/// Returns why an ALTER is refused, if it is. The reader is after ALTER.
pub(super) fn refuse(mut reader: Reader<'_>) -> Option<Refusal> {
    let noun = reader.peek();
    reader.next();
    let message = match (noun, reader.peek()) {
        ("table", _) => return alter_table(reader),
        ("sequence", _) => {
            reader.take(&["if", "exists"]);
            reader.qualified_name();
            return sequence::check_given(reader.rest());
        }
        ("type", _) => {
            reader.qualified_name();
            match reader.take(&["rename"]) {
                true => "unsupported object in RENAME statement",
                false => "ALTER TYPE not supported",
            }
        }
        ("database", _) => {
            reader.name();
            match reader.peek() {
                "set" | "reset" => "unsupported statement: AlterDatabaseSet",
                _ => "unsupported statement: AlterDatabase",
            }
        }
        ("role" | "user", _) => {
            reader.name();
            if reader.take(&["in", "database"]) {
                reader.name();
            }
            match reader.peek() {
                "rename" | "reset" => return None,
                "set" => "unsupported statement: AlterRoleSet",
                _ => "unsupported statement: AlterRole",
            }
        }
        ("index", _) => match reader.contains("rename") {
            true => "unsupported object in RENAME statement",
            false => "unsupported ALTER INDEX statement",
        },
        ("function" | "procedure" | "routine", _) => {
            let keeps_properties = ["rename", "owner", "depends"];
            let is_moved = reader.contains_all(&["set", "schema"]);
            match is_moved || keeps_properties.iter().any(|word| reader.contains(word)) {
                true => return None,
                false => "unsupported statement: AlterFunction",
            }
        }
        ("system", _) => "unsupported statement: AlterSystem",
        ("extension", _) => "unsupported statement: AlterExtension",
        ("tablespace", _) => "unsupported statement: AlterTableSpaceOptions",
        ("policy", _) => "unsupported statement: AlterPolicy",
        ("publication", _) => "unsupported statement: AlterPublication",
        ("subscription", _) => "unsupported statement: AlterSubscription",
        ("event", "trigger") => "unsupported statement: AlterEventTrig",
        ("foreign", "data") => "unsupported statement: AlterFdw",
        ("server", _) => "unsupported statement: AlterForeignServer",
        _ => return None,
    };
    Some(Refusal::unsupported(message))
}

fn alter_table(mut reader: Reader<'_>) -> Option<Refusal> {
    let asynchronous = reader.peek() == "async";
    table_name(&mut reader)?;
    parts(reader.rest())
        .into_iter()
        .find_map(|tokens| action(Reader::new(tokens), asynchronous))
}

/// Reads the tokens between ALTER TABLE and the first action. Returns the table's name as SQL.
pub(super) fn table_name(reader: &mut Reader<'_>) -> Option<String> {
    reader.take(&["async"]);
    reader.take(&["if", "exists"]);
    reader.take(&["only"]);
    let name = reader.qualified_name()?;
    reader.take_symbol('*');
    Some(name)
}

fn action(mut reader: Reader<'_>, asynchronous: bool) -> Option<Refusal> {
    let verb = reader.peek();
    reader.next();
    match verb {
        "add" => add(reader),
        "alter" => match reader.take(&["constraint"]) {
            true => unsupported("ALTER CONSTRAINT"),
            false => alter_column(reader),
        },
        "validate" if !asynchronous => unsupported("VALIDATE CONSTRAINT"),
        "enable" | "disable" | "force" | "no" | "set" | "reset" | "cluster" | "inherit" | "of"
        | "not" | "attach" | "detach" | "replica" => other(verb, reader),
        _ => None,
    }
}

fn add(mut reader: Reader<'_>) -> Option<Refusal> {
    if reader.peek() != "column" && CONSTRAINTS.contains(&reader.peek()) {
        let adopts_index = reader.contains_all(&["using", "index"]) && !reader.contains("primary");
        let is_deferred = reader.contains_all(&["not", "valid"]);
        return match adopts_index || is_deferred {
            true => None,
            false => unsupported("ADD CONSTRAINT"),
        };
    }
    reader.take(&["column"]);
    reader.take(&["if", "not", "exists"]);
    let column = reader;
    reader.name()?;
    if COLUMN_CONSTRAINTS.iter().any(|word| reader.contains(word)) {
        return Some(Refusal::unsupported(
            "ALTER TABLE ADD COLUMN with constraint not supported",
        ));
    }
    table::column(column)
}

fn alter_column(mut reader: Reader<'_>) -> Option<Refusal> {
    reader.take(&["column"]);
    reader.name()?;
    if reader.take(&["add", "generated"]) {
        return unsupported("ALTER COLUMN ... ADD IDENTITY");
    }
    if reader.peek() == "type" || reader.take(&["set", "data", "type"]) {
        return unsupported("ALTER COLUMN ... SET DATA TYPE");
    }
    if reader.take(&["reset"]) {
        return unsupported("ALTER COLUMN ... RESET");
    }
    if reader.take(&["drop", "expression"]) {
        return unsupported("ALTER COLUMN ... DROP EXPRESSION");
    }
    if !reader.take(&["set"]) {
        return None;
    }
    if reader.is_at('(') {
        return unsupported("ALTER COLUMN ... SET");
    }
    for (words, form) in [
        (&["not", "null"][..], "ALTER COLUMN ... SET NOT NULL"),
        (&["statistics"], "ALTER COLUMN ... SET STATISTICS"),
        (&["compression"], "ALTER COLUMN ... SET COMPRESSION"),
    ] {
        if reader.take(words) {
            return unsupported(form);
        }
    }
    sequence::check_given(reader.rest())
}

/// Checks the forms that concern the table as a whole.
fn other(verb: &str, reader: Reader<'_>) -> Option<Refusal> {
    let words = [verb, reader.peek()];
    let form = match words {
        ["enable", "row"] => "ENABLE ROW SECURITY",
        ["disable", "row"] => "DISABLE ROW SECURITY",
        ["force", _] => "FORCE ROW SECURITY",
        ["no", "force"] => "NO FORCE ROW SECURITY",
        ["enable", "always"] => match reader.contains("rule") {
            true => "ENABLE ALWAYS RULE",
            false => "ENABLE ALWAYS TRIGGER",
        },
        ["enable", "replica"] => match reader.contains("rule") {
            true => "ENABLE REPLICA RULE",
            false => "ENABLE REPLICA TRIGGER",
        },
        ["enable", "rule"] => "ENABLE RULE",
        ["disable", "rule"] => "DISABLE RULE",
        ["enable", _] => "ENABLE TRIGGER",
        ["disable", _] => "DISABLE TRIGGER",
        ["no", _] => "NO INHERIT",
        ["inherit", _] => "INHERIT",
        ["of", _] => "OF",
        ["not", _] => "NOT OF",
        ["attach", _] => "ATTACH PARTITION",
        ["detach", _] => "DETACH PARTITION",
        ["replica", _] => "REPLICA IDENTITY",
        ["cluster", _] => "CLUSTER",
        ["set", "without"] => match reader.contains("oids") {
            true => "SET WITHOUT OIDS",
            false => "SET WITHOUT CLUSTER",
        },
        ["set", "logged"] => "SET LOGGED",
        ["set", "unlogged"] => "SET UNLOGGED",
        ["set", "tablespace"] => "SET TABLESPACE",
        ["set", "access"] => "SET ACCESS METHOD",
        ["reset", _] => "RESET",
        // SET SCHEMA is supported.
        ["set", _] if !reader.is_at('(') => return None,
        _ => "SET",
    };
    unsupported(form)
}

fn unsupported(form: &str) -> Option<Refusal> {
    Some(Refusal::unsupported(format!(
        "unsupported ALTER TABLE {form} statement"
    )))
}

/// Returns the columns and constraints that an ALTER TABLE drops.
pub(super) fn dropped(actions: &[Token]) -> (Vec<&str>, Vec<&str>) {
    let (mut columns, mut constraints) = (Vec::new(), Vec::new());
    for part in parts(actions) {
        let mut reader = Reader::new(part);
        if !reader.take(&["drop"]) {
            continue;
        }
        let names = match reader.take(&["constraint"]) {
            true => &mut constraints,
            false => {
                reader.take(&["column"]);
                &mut columns
            }
        };
        reader.take(&["if", "exists"]);
        names.extend(reader.name());
    }
    (columns, constraints)
}

/// The words that begin a table constraint, where a column name could stand.
const CONSTRAINTS: [&str; 6] = [
    "constraint",
    "primary",
    "unique",
    "check",
    "foreign",
    "exclude",
];
/// The words that begin a column constraint.
const COLUMN_CONSTRAINTS: [&str; 8] = [
    "not",
    "default",
    "check",
    "unique",
    "primary",
    "references",
    "generated",
    "constraint",
];
