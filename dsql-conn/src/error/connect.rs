//! Why a connection could not be opened.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use tokio_postgres::error::SqlState;

use super::{Reason, debug_like_display, unquoted_source};
use crate::refusal::identity;

/// A connection that could not be opened: which one, why, and what to do.
///
/// `Display` names the host, the user, the [`Reason`], the peer's message and a remedy. `Debug`
/// adds the causes that `Display` does not quote. The wording may change between versions.
///
/// Cheap to clone, because all callers that wait for the same connection get it.
#[derive(Clone)]
pub struct ConnectError {
    failure: Arc<Failure>,
    /// What happened in the other Region.
    elsewhere: Option<Arc<Failure>>,
    /// The attempts of all openings that the call started, in both Regions.
    attempts: u32,
}

/// A [`ConnectError`] under construction.
pub(crate) struct Failure {
    host: String,
    user: String,
    reason: Reason,
    detail: Option<String>,
    remedy: Option<Cow<'static, str>>,
    attempts: u32,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(host: &str, user: &str, reason: Reason) -> Self {
        Self {
            host: host.to_owned(),
            user: user.to_owned(),
            reason,
            detail: None,
            remedy: None,
            attempts: 1,
            cause: None,
        }
    }

    /// Adds the peer's message, or where it happened.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Replaces the reason's own remedy by one that fits this case.
    pub(crate) fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(crate) fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(crate) fn after(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }

    fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        Self {
            attempts: failure.attempts,
            failure: Arc::new(failure),
            elsewhere: None,
        }
    }
}

impl ConnectError {
    /// Adds what happened in the cluster's other Region.
    pub(crate) fn beside(mut self, other: &Self) -> Self {
        self.elsewhere = Some(Arc::clone(&other.failure));
        self
    }

    /// Counts the failed attempts of all openings of one call, at least those of this one.
    pub(crate) fn tried(mut self, attempts: u32) -> Self {
        self.attempts = self.attempts.max(attempts);
        self
    }

    /// Returns why the connection could not be opened.
    pub fn reason(&self) -> Reason {
        self.failure.reason
    }

    /// Returns the endpoint's host name.
    pub fn host(&self) -> &str {
        &self.failure.host
    }

    /// Returns the database user.
    pub fn user(&self) -> &str {
        &self.failure.user
    }

    /// Returns the number of attempts, at least 1: those in both Regions, and for a checkout those
    /// of every opening that it started.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the details of the reason: the peer's message, or where it happened.
    pub fn detail(&self) -> Option<&str> {
        self.failure.detail.as_deref()
    }

    /// Returns the ARN of the IAM identity that was refused, if the service named it.
    pub fn identity(&self) -> Option<&str> {
        identity(self.detail()?)
    }

    /// Returns what to do about the error. `Display` ends with it.
    pub fn remedy(&self) -> Cow<'static, str> {
        let Failure { remedy, reason, .. } = &*self.failure;
        remedy.clone().unwrap_or_else(|| reason.remedy().into())
    }

    /// Returns the SQLSTATE, if it was the server that refused the connection.
    pub fn code(&self) -> Option<&SqlState> {
        let cause = self.failure.cause.as_deref()?;
        cause.downcast_ref::<tokio_postgres::Error>()?.code()
    }

    /// Writes what happened, without the remedy.
    pub(super) fn what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure {
            host,
            user,
            reason,
            detail,
            remedy: _,
            attempts: _,
            cause: _,
        } = &*self.failure;
        write!(f, "cannot connect to {host} as {user:?}: {reason}")?;
        if let Some(detail) = detail {
            write!(f, " ({detail})")?;
        }
        if self.attempts > 1 {
            write!(f, ", tried {} times", self.attempts)?;
        }
        if let Some(other) = &self.elsewhere {
            write!(f, "; in the other Region, {}: {}", other.host, other.reason)?;
            if let Some(detail) = &other.detail {
                write!(f, " ({detail})")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what(f)?;
        write!(f, "; {}", self.remedy())
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_like_display(f, self, self.failure.cause())
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        unquoted_source(&self.to_string(), self.failure.cause()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::scripted::{error, login_error};

    fn failed(reason: Reason) -> Failure {
        Failure::new("host", "admin", reason)
    }

    #[test]
    fn debug_reads_like_display_and_repeats_nothing() {
        let message = "unable to accept connection, access denied";
        let refusal = || {
            let said = error("FATAL", "08006", message, Some("a hint"));
            login_error(&said).unwrap()
        };
        let hint = format!("{message}: a hint");
        for (failure, once) in [
            (
                failed(Reason::AccessDenied)
                    .detail(hint)
                    .caused_by(refusal()),
                message,
            ),
            (failed(Reason::AccessDenied).caused_by(refusal()), message),
            (
                failed(Reason::Unreachable)
                    .detail("no route")
                    .caused_by(io::Error::other("no route")),
                "no route",
            ),
            (
                failed(Reason::Unreachable).caused_by(io::Error::other("no route")),
                "no route",
            ),
        ] {
            let error = ConnectError::from(failure);
            let (display, debug) = (error.to_string(), format!("{error:?}"));
            assert!(debug.starts_with(&display), "{debug}");
            assert_eq!(debug.matches(once).count(), 1, "{debug}");
            let chain = format!("{:#}", anyhow::Error::from(error));
            assert!(chain.starts_with(&display), "{chain}");
            assert_eq!(chain.matches(once).count(), 1, "{chain}");
        }
    }

    #[test]
    fn the_sqlstate_is_that_of_the_refusal() {
        let said = error("FATAL", "53300", "too many open connections", None);
        let refused = failed(Reason::TooManyConnections).caused_by(login_error(&said).unwrap());
        let refused = ConnectError::from(refused);
        assert_eq!(refused.code(), Some(&SqlState::TOO_MANY_CONNECTIONS));
        assert!(ConnectError::from(failed(Reason::Tls)).code().is_none());
    }
}
