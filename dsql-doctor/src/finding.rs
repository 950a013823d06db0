//! What is wrong, and what to do about it.

use dsql_conn::{ConfigError, ConnectError, Error, Reason};
use serde::Serialize;

use crate::class::Class;

/// What is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The class of the cause.
    pub class: Class,
    /// What happened, and where.
    pub cause: String,
    /// What to do.
    pub remedy: String,
    /// A statement that fixes it, ready to be pasted: SQL for `admin`, or a statement of an IAM
    /// policy.
    pub paste: Option<String>,
    /// Where to read more.
    pub docs: String,
}

impl Finding {
    /// Creates the finding for a cause that the doctor itself found.
    pub(crate) fn new(reason: Reason, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            class: reason.into(),
            cause: cause.into(),
            remedy: remedy.into(),
            paste: None,
            docs: reason.docs_url(),
        }
    }

    pub(crate) fn of_settings(error: &ConfigError) -> Self {
        let remedy = error.remedy().into_owned();
        Self {
            class: Class::Settings,
            cause: without(&error.to_string(), &remedy),
            remedy,
            paste: None,
            docs: error.docs_url(),
        }
    }

    /// Creates the finding for a connection that could not be opened, with the library's texts.
    pub(crate) fn of_connect(error: &ConnectError) -> Self {
        let remedy = error.remedy().into_owned();
        Self {
            class: error.reason().into(),
            cause: without(&error.to_string(), &remedy),
            remedy,
            paste: paste(error),
            docs: error.reason().docs_url(),
        }
    }

    pub(crate) fn of_error(error: &Error) -> Self {
        match (error, error.connect_error()) {
            (Error::Config(error), _) => Self::of_settings(error),
            (_, Some(connect)) => Self::of_connect(connect),
            _ => Self {
                class: Class::Session,
                cause: error.to_string(),
                remedy: "look up the server's message, and run the statement in psql".to_owned(),
                paste: None,
                docs: error.docs_url(),
            },
        }
    }
}

/// Returns an error's text without its remedy.
fn without(said: &str, remedy: &str) -> String {
    let cause = said.strip_suffix(remedy).map(|cause| cause.trim_end());
    let cause = cause.and_then(|cause| cause.strip_suffix(';'));
    cause.unwrap_or(said).to_owned()
}

/// Returns the statement that grants the missing permission.
fn paste(error: &ConnectError) -> Option<String> {
    let role = format!("\"{}\"", error.user().replace('"', "\"\""));
    let arn = error.identity().unwrap_or("arn:aws:iam::ACCOUNT:role/NAME");
    match error.reason() {
        Reason::RoleMissing => Some(format!(
            "CREATE ROLE {role} WITH LOGIN; AWS IAM GRANT {role} TO '{arn}';"
        )),
        Reason::NotAuthorized => Some(match permission(error.detail()?) {
            Some((action, resource)) => format!(
                "{{\"Effect\": \"Allow\", \"Action\": \"{action}\", \"Resource\": \"{resource}\"}}"
            ),
            None => format!("AWS IAM GRANT {role} TO '{arn}';"),
        }),
        _ => None,
    }
}

/// Returns the action and the resource in a refusal of IAM.
fn permission(said: &str) -> Option<(&str, &str)> {
    let (_, rest) = said.split_once("is not authorized to perform: ")?;
    let (action, rest) = rest.split_once(" on resource: ")?;
    let resource = rest.split_whitespace().next()?;
    Some((action, resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iam_refusal_names_action_and_resource() {
        let said = "unable to accept connection, access denied: User: arn:aws:iam::1:role/x is not \
                    authorized to perform: dsql:DbConnect on resource: arn:aws:dsql:r:1:cluster/c \
                    because no identity-based policy allows the dsql:DbConnect action";
        let expected = Some(("dsql:DbConnect", "arn:aws:dsql:r:1:cluster/c"));
        assert_eq!(permission(said), expected);
        assert_eq!(
            permission("is not authorized to access this resource"),
            None
        );
    }

    #[test]
    fn a_remedy_is_taken_off_once() {
        assert_eq!(without("it failed; try; again", "try; again"), "it failed");
        assert_eq!(without("it failed", "try"), "it failed");
    }
}
