//! Database roles, and the IAM identities that are mapped to them.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::refusal::Refusal;
use crate::sql::statement::{Statement, Token};

/// Checks that a role can log in and is granted to an identity.
pub(crate) async fn check_login(
    superuser: &Client,
    role: &str,
    arn: &str,
) -> Result<Result<(), Refusal>, tokio_postgres::Error> {
    let rows = superuser
        .query_typed(
            "SELECT rolcanlogin, \
             EXISTS (SELECT FROM pg_toast.dsql_iam_grants WHERE role = pg_roles.oid AND arn = $2) \
             FROM pg_roles WHERE rolname = $1",
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

/// Translates a statement about roles. Returns the SQL and the command tag to reply with.
/// PostgreSQL gets malformed statements as they are, and reports the syntax error.
pub(crate) fn translate(statement: &Statement<'_>) -> Option<(String, &'static str)> {
    let tokens = &statement.tokens[..];
    let (body, tag) = if statement.begins_with(&["aws", "iam", "grant"]) {
        (mapping(&tokens[3..], "to", "grant")?, "AWS IAM GRANT")
    } else if statement.begins_with(&["aws", "iam", "revoke"]) {
        (mapping(&tokens[3..], "from", "revoke")?, "AWS IAM REVOKE")
    } else if statement.begins_with(&["drop", "role"]) || statement.begins_with(&["drop", "user"]) {
        (drop_role(&tokens[2..], statement.text), "DROP ROLE")
    } else {
        return None;
    };
    Some((format!("DO {}", literal(&format!("BEGIN {body} END"))), tag))
}

fn mapping(tokens: &[Token], preposition: &str, does: &str) -> Option<String> {
    match tokens {
        [role, Token::Word(word), Token::Literal(arn)] if word == preposition => Some(format!(
            "PERFORM pg_toast.dsql_iam_{does}({}, {}, current_user);",
            literal(role.as_name()?),
            literal(arn),
        )),
        _ => None,
    }
}

/// Checks the IAM grants of the roles before dropping them: the service refuses to drop a role that
/// has any.
fn drop_role(tokens: &[Token], text: &str) -> String {
    let names = match tokens {
        [Token::Word(a), Token::Word(b), rest @ ..] if a == "if" && b == "exists" => rest,
        _ => tokens,
    };
    let checks = names
        .iter()
        .filter_map(Token::as_name)
        .map(|role| format!("PERFORM pg_toast.dsql_check_drop_role({});", literal(role)));
    let checks: String = checks.collect();
    format!("{checks} EXECUTE {};", literal(text))
}

/// Quotes a text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
