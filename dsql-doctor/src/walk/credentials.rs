//! Checks the AWS credentials: their source, their owner and their expiry. Never shows the secret.

use dsql_conn::{Credentials, Reason};

use super::Walk;
use crate::finding::Finding;
use crate::report::StepName;
use crate::words::{rough, written};

impl Walk<'_> {
    pub(super) async fn credentials(&mut self) -> Option<()> {
        let (mut step, began) = self.begin(StepName::Credentials);
        step.note(format!("source: {}", self.summary.credentials));
        let credentials = match self.config.fetch_credentials().await {
            Ok(credentials) => credentials,
            Err(error) => return self.refused(step, began, &error),
        };
        if let Some(provider) = provider(&credentials) {
            step.note(format!("found by: {provider}"));
        }
        step.note(whose(&credentials));
        match credentials.expiry() {
            None => step.note("no expiry is known"),
            Some(end) => {
                let now = self.config.time();
                match end.duration_since(now) {
                    Ok(left) => step.note(format!(
                        "they expire at {}, in {}",
                        written(end),
                        rough(left)
                    )),
                    // This is not a failure yet, because this machine's clock may be wrong. The
                    // service decides.
                    Err(past) => {
                        let ago = rough(past.duration());
                        let cause =
                            format!("the credentials expired at {}, {ago} ago", written(end));
                        let reason = Reason::CredentialsExpired;
                        step.warn(Finding::new(reason, cause, reason.remedy()));
                    }
                }
            }
        }
        self.end(step, began)
    }
}

/// Returns the kind of the access key, which AWS documents by its prefix, and enough characters to
/// recognize the key:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>.
fn whose(credentials: &Credentials) -> String {
    let id = credentials.access_key_id();
    let kind = match id.get(..4) {
        Some("AKIA") => "a long-term key of an IAM user",
        Some("ASIA") => "a temporary key of a session",
        _ => "a key of an unknown kind",
    };
    let shown = match (
        id.get(..4),
        id.len().checked_sub(4).and_then(|at| id.get(at..)),
    ) {
        (Some(first), Some(last)) if id.len() >= 12 => format!("{first}..{last}"),
        _ => "too short".to_owned(),
    };
    let token = match credentials.session_token() {
        Some(_) => "with a session token",
        None => "without a session token",
    };
    match credentials.account_id() {
        Some(account) => {
            let account = account.as_str();
            format!("{kind} ({shown}), {token}, of account {account}")
        }
        None => format!("{kind} ({shown}), {token}"),
    }
}

/// Returns the SDK's name of the provider. Only `Debug` of the credentials has it; it redacts the
/// secrets.
fn provider(credentials: &Credentials) -> Option<String> {
    let printed = format!("{credentials:?}");
    let (_, rest) = printed.split_once("provider_name: \"")?;
    let (name, _) = rest.split_once('"')?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognized_and_not_shown() {
        let key = |id: &str, token: Option<&str>| {
            let credentials =
                Credentials::new(id, "secret", token.map(str::to_owned), None, "vault");
            assert_eq!(provider(&credentials).as_deref(), Some("vault"));
            whose(&credentials)
        };
        let temporary = key("ASIA1234567890ABCDEF", Some("token"));
        assert_eq!(
            temporary,
            "a temporary key of a session (ASIA..CDEF), with a session token"
        );
        let long_term = key("AKIA1234567890ABCDEF", None);
        assert!(long_term.starts_with("a long-term key"), "{long_term}");
        assert!(key("x", None).contains("too short"));
    }
}
