//! The name of the session in the server's views.

use std::borrow::Cow;
use std::env;
use std::sync::OnceLock;

use super::Config;

impl Config {
    /// Sets the name of the session in the server's views. CloudWatch Database Insights can [slice
    /// the load by
    /// it](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/dsql-db-insights.html).
    /// Defaults to the file name of this program; [`from_env`](Self::from_env) and
    /// [`Pool::lambda`](crate::Pool::lambda) prefer the name of the Lambda function. With an empty
    /// name, none is sent.
    ///
    /// The name is sent in the startup packet and costs no round trip.
    #[must_use]
    pub fn application_name(mut self, application_name: impl Into<String>) -> Self {
        self.application_name = Some(application_name.into());
        self
    }

    /// Names sessions after a Lambda function, unless they have a name.
    pub(crate) fn named_after(self, function: Option<&str>) -> Self {
        match (&self.application_name, function) {
            (None, Some(function)) => self.application_name(cleaned(function)),
            _ => self,
        }
    }

    /// Returns the name that is sent.
    pub(crate) fn session_name(&self) -> Option<&str> {
        let name = match &self.application_name {
            Some(name) => Some(name.as_str()),
            None => program_name(),
        };
        name.filter(|name| !name.is_empty())
    }
}

/// Returns the file name of this program, without its extension.
fn program_name() -> Option<&'static str> {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    let name = NAME.get_or_init(|| {
        let program = env::current_exe().ok()?;
        let name = program.file_stem().map(|name| name.to_string_lossy());
        name.map(|name| cleaned(&name))
    });
    name.as_deref()
}

/// Returns a name as PostgreSQL would change it: [printable ASCII, and 63 bytes at
/// most](https://www.postgresql.org/docs/16/runtime-config-logging.html#GUC-APPLICATION-NAME).
fn cleaned(name: &str) -> String {
    let name = match name.chars().all(is_printable) {
        true => Cow::Borrowed(name),
        false => name
            .chars()
            .map(|c| if is_printable(c) { c } else { '?' })
            .collect(),
    };
    // ASCII, so that every byte is a character.
    name[..name.len().min(MOST_BYTES)].to_owned()
}

fn is_printable(c: char) -> bool {
    c.is_ascii_graphic() || c == ' '
}

/// `NAMEDATALEN` less the NUL behind it.
const MOST_BYTES: usize = 63;

/// The variable with the Lambda function's name, which has at most 64 characters.
pub(crate) const FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_to_what_the_server_keeps() {
        assert_eq!(cleaned("generate-game"), "generate-game");
        assert_eq!(cleaned("caf\u{e9}\n\0 1"), "caf??? 1");
        assert_eq!(cleaned(&"a".repeat(64)), "a".repeat(63));
        assert_eq!(cleaned(&"\u{e9}".repeat(64)), "?".repeat(63));
    }

    #[test]
    fn a_name_that_was_set_is_kept() {
        let host = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
        let config = Config::new(host.parse().unwrap());
        // A program of cargo's: its name has a hash.
        assert!(config.session_name().unwrap().starts_with("dsql_conn-"));
        let named = config.clone().named_after(Some("play"));
        assert_eq!(named.session_name(), Some("play"));
        let own = config.clone().application_name("orders");
        assert_eq!(own.named_after(Some("play")).session_name(), Some("orders"));
        let none = config.application_name("");
        assert_eq!(none.named_after(Some("play")).session_name(), None);
    }
}
