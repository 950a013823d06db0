//! The cluster's own book of roles and of the identities that may use them.
//! The engine's roles are shared by all its databases, so a cluster keeps in its database which of them
//! are its own. `rules` translates statements to the SQL made here; `session` asks at each login.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::engine::LOCK_TIMEOUT;
use crate::refusal::Refusal;
use crate::statement::{Statement, Token};

/// Checks that an identity may use a role.
pub(crate) async fn check_login(
    superuser: &Client,
    role: &str,
    arn: &str,
) -> Result<Result<(), Refusal>, tokio_postgres::Error> {
    let rows = superuser
        .query_typed(
            "SELECT can_login, EXISTS (SELECT FROM dsql_local.iam_grants WHERE role = name AND arn = $2) \
             FROM dsql_local.roles WHERE name = $1",
            &[(&role, Type::TEXT), (&arn, Type::TEXT)],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Err(Refusal::RoleMissing {
            role: role.to_owned(),
        }));
    };
    let (can_login, granted): (bool, bool) = (row.get(0), row.get(1));
    Ok(if !can_login {
        Err(Refusal::RoleCannotLogin {
            role: role.to_owned(),
        })
    } else if !granted {
        Err(Refusal::NotGranted {
            arn: arn.to_owned(),
        })
    } else {
        Ok(())
    })
}

/// Returns PostgreSQL's way to do what a statement about roles asks for, and the tag to answer with.
/// A statement that is not quite one is left to PostgreSQL, which says why.
pub(crate) fn translate(statement: &Statement<'_>) -> Option<(String, &'static str)> {
    let tokens = &statement.tokens[..];
    let body = if statement.begins_with(&["aws", "iam", "grant"]) {
        (grant(&tokens[3..])?, "AWS IAM GRANT")
    } else if statement.begins_with(&["aws", "iam", "revoke"]) {
        (revoke(&tokens[3..])?, "AWS IAM REVOKE")
    } else if statement.begins_with(&["create", "role"]) {
        (create(&tokens[2..], statement.text, false)?, "CREATE ROLE")
    } else if statement.begins_with(&["create", "user"]) {
        (create(&tokens[2..], statement.text, true)?, "CREATE ROLE")
    } else if statement.begins_with(&["drop", "role"]) || statement.begins_with(&["drop", "user"]) {
        (drop_role(&tokens[2..])?, "DROP ROLE")
    } else {
        return None;
    };
    let (body, tag) = body;
    Some((format!("DO {}", literal(&format!("BEGIN {body} END"))), tag))
}

fn grant(tokens: &[Token]) -> Option<String> {
    let (role, arn) = mapping(tokens, "to")?;
    Some(format!(
        "{admin}
        IF NOT EXISTS (SELECT FROM dsql_local.roles WHERE name = {name}) THEN
            RAISE undefined_object USING MESSAGE = {missing};
        END IF;
        IF NOT (SELECT can_login FROM dsql_local.roles WHERE name = {name}) THEN
            RAISE object_not_in_prerequisite_state USING MESSAGE = {no_login};
        END IF;
        INSERT INTO dsql_local.iam_grants
        VALUES (nextval('dsql_local.iam_oid')::oid, {arn}, {name}, current_user)
        ON CONFLICT DO NOTHING;",
        admin = only_admin(role),
        name = literal(role),
        missing = literal(&format!("role \"{role}\" does not exist")),
        no_login = literal(&format!("role {role} must have the LOGIN attribute")),
        arn = literal(arn),
    ))
}

fn revoke(tokens: &[Token]) -> Option<String> {
    let (role, arn) = mapping(tokens, "from")?;
    Some(format!(
        "{} DELETE FROM dsql_local.iam_grants WHERE role = {} AND arn = {};",
        only_admin(role),
        literal(role),
        literal(arn),
    ))
}

fn only_admin(role: &str) -> String {
    format!(
        "IF current_user <> 'admin' THEN
            RAISE insufficient_privilege USING MESSAGE = {};
        END IF;",
        literal(&format!(
            "permission denied to grant IAM trust with role {role}"
        )),
    )
}

fn mapping<'a>(tokens: &'a [Token], preposition: &str) -> Option<(&'a str, &'a str)> {
    match tokens {
        [role, Token::Word(word), Token::Literal(arn)] if word == preposition => {
            Some((role.as_name()?, arn))
        }
        _ => None,
    }
}

/// The role may be in the engine already, as another cluster's, or be on its way there: that is no
/// conflict, and is waited for. What can log in is this book's to
/// say; the engine's roles all can.
fn create(tokens: &[Token], text: &str, is_user: bool) -> Option<String> {
    let (role, options) = tokens.split_first()?;
    let role = role.as_name()?;
    let can_login = options.iter().fold(is_user, |can, option| match option {
        Token::Word(word) if word == "login" => true,
        Token::Word(word) if word == "nologin" => false,
        _ => can,
    });
    Some(format!(
        "IF EXISTS (SELECT FROM dsql_local.roles WHERE name = {name}) THEN
            RAISE duplicate_object USING MESSAGE = {exists};
        END IF;
        {createrole}
        PERFORM set_config('lock_timeout', '0', true);
        BEGIN
            EXECUTE {create};
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        PERFORM set_config('lock_timeout', {impatience}, true);
        IF NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = {name}) THEN
            EXECUTE {login};
        END IF;
        INSERT INTO dsql_local.roles VALUES ({name}, {can_login});",
        name = literal(role),
        exists = literal(&format!("role \"{role}\" already exists")),
        createrole = only_with_createrole("permission denied to create role"),
        impatience = literal(LOCK_TIMEOUT),
        create = literal(text),
        login = literal(&format!("ALTER ROLE {} LOGIN", name(role))),
    ))
}

/// Another cluster may use the engine's role: only this book's entry goes.
fn drop_role(tokens: &[Token]) -> Option<String> {
    let (if_exists, tokens) = match tokens {
        [Token::Word(a), Token::Word(b), rest @ ..] if a == "if" && b == "exists" => (true, rest),
        _ => (false, tokens),
    };
    let [role] = tokens else {
        return None;
    };
    let role = role.as_name()?;
    let missing = if if_exists {
        format!(
            "RAISE NOTICE USING MESSAGE = {};",
            literal(&format!("role \"{role}\" does not exist, skipping"))
        )
    } else {
        format!(
            "RAISE undefined_object USING MESSAGE = {};",
            literal(&format!("role \"{role}\" does not exist"))
        )
    };
    Some(format!(
        "{createrole}
        IF NOT EXISTS (SELECT FROM dsql_local.roles WHERE name = {name}) THEN
            {missing}
        END IF;
        IF EXISTS (SELECT FROM dsql_local.iam_grants WHERE role = {name}) OR EXISTS (
            SELECT FROM pg_shdepend
            WHERE refclassid = 'pg_authid'::regclass
            AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = {name})
            AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        ) THEN
            RAISE dependent_objects_still_exist USING MESSAGE = {depended};
        END IF;
        DELETE FROM dsql_local.roles WHERE name = {name};",
        createrole = only_with_createrole("permission denied to drop role"),
        name = literal(role),
        depended = literal(&format!(
            "role \"{role}\" cannot be dropped because some objects depend on it"
        )),
    ))
}

fn only_with_createrole(message: &str) -> String {
    format!(
        "IF NOT (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
            RAISE insufficient_privilege USING MESSAGE = {};
        END IF;",
        literal(message),
    )
}

/// Quotes a text for SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
