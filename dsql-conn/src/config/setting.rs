//! Settings of every session, which its startup packet contains.

use std::collections::BTreeMap;
use std::fmt;

use super::Config;
use crate::error::ConfigError;

/// Values by the names of their settings.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Prints the names alone: a value may be a secret that was meant for another parameter of a URL.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Config {
    /// Sets the schemas in which unqualified names are looked up, such as `games, public`. Defaults
    /// to the server's.
    ///
    /// The startup packet contains it, so it applies to every connection of a pool. A statement
    /// `SET search_path` would also apply to the next user of the pooled connection.
    #[must_use]
    pub fn search_path(mut self, search_path: impl Into<String>) -> Self {
        let name = "search_path".to_owned();
        self.settings.0.insert(name, search_path.into());
        self
    }

    /// Sets another setting of every session, in its startup packet. Defaults to the server's
    /// values.
    ///
    /// ```
    /// # let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws".parse()?;
    /// let config = dsql_conn::Config::new(endpoint).setting("timezone", "Europe/Paris")?;
    /// # Ok::<(), dsql_conn::ConfigError>(())
    /// ```
    ///
    /// The service supports few settings ([user guide](
    /// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/), "Supported SQL features"). It
    /// refuses a connection with any other setting: the error is [`Reason::SettingRefused`] and
    /// names the setting.
    ///
    /// [`Reason::SettingRefused`]: crate::Reason::SettingRefused
    ///
    /// # Errors
    ///
    /// [`ConfigError::Setting`] if it cannot be sent: the name is empty or has other characters
    /// than ASCII letters, digits, `_`, `-` and `.`, or the value contains NUL.
    pub fn setting(mut self, name: &str, value: impl Into<String>) -> Result<Self, ConfigError> {
        let value = value.into();
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let problem = if name.is_empty() {
            "the name is empty"
        } else if !name.chars().all(is_part) {
            "the name may only have ASCII letters, digits, `_`, `-` and `.`"
        } else if value.contains('\0') {
            CONTAINS_NUL
        } else {
            // Names are not case-sensitive.
            self.settings.0.insert(name.to_ascii_lowercase(), value);
            return Ok(self);
        };
        Err(ConfigError::setting(name, problem))
    }

    /// Returns an error if a name contains NUL, which ends a text in the startup packet. The
    /// setters of names do not fail, so the first connection reports it.
    pub(crate) fn check_names(&self) -> Result<(), ConfigError> {
        let search_path = self.settings.get("search_path").unwrap_or_default();
        let names = [
            ("user", self.user.as_str()),
            ("database", &self.database),
            ("application_name", self.session_name().unwrap_or_default()),
            ("search_path", search_path),
        ];
        match names.into_iter().find(|(_, name)| name.contains('\0')) {
            Some((setting, _)) => Err(ConfigError::setting(setting, CONTAINS_NUL)),
            None => Ok(()),
        }
    }
}

const CONTAINS_NUL: &str = "the value contains NUL";
