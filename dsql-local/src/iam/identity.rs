//! IAM principals: their credentials, and the actions that they are allowed.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::random;

/// An IAM action. A token is signed for one, and its identity must be allowed to perform it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// `dsql:DbConnect`: connects as a custom database role.
    DbConnect,
    /// `dsql:DbConnectAdmin`: connects as `admin`.
    DbConnectAdmin,
}

impl Action {
    /// Returns the action that connecting as this user requires.
    pub fn for_user(user: &str) -> Self {
        if user == ADMIN {
            Self::DbConnectAdmin
        } else {
            Self::DbConnect
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::DbConnect, Self::DbConnectAdmin]
            .into_iter()
            .find(|action| action.as_str() == name)
    }

    /// Returns the name without the prefix `dsql:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DbConnect => "DbConnect",
            Self::DbConnectAdmin => "DbConnectAdmin",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An IAM principal with its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    arn: String,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl Identity {
    /// Creates a principal with these credentials.
    pub fn new(
        arn: impl Into<String>,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
        session_token: Option<String>,
    ) -> Self {
        Self {
            arn: arn.into(),
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token,
        }
    }

    /// Creates an IAM role, whose temporary credentials include a session token.
    pub(crate) fn role(name: &str) -> Self {
        Self::new(
            format!("arn:aws:iam::{ACCOUNT}:role/{name}"),
            format!("ASIA{}", random::text(16, KEY_ID)),
            random::text(40, SECRET),
            Some(format!("{}==", random::text(180, SECRET))),
        )
    }

    /// Creates an IAM user, whose permanent credentials have no session token.
    pub(crate) fn user(name: &str) -> Self {
        Self::new(
            format!("arn:aws:iam::{ACCOUNT}:user/{name}"),
            format!("AKIA{}", random::text(16, KEY_ID)),
            random::text(40, SECRET),
            None,
        )
    }

    /// Returns the ARN, for `AWS IAM GRANT`.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Returns the access key ID.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Returns the secret access key.
    pub fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }

    /// Returns the session token of temporary credentials.
    pub fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("arn", &self.arn)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// The identities of the cluster's account, by access key.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    known: Mutex<HashMap<String, Known>>,
}

impl Directory {
    pub(crate) fn put(&self, identity: Identity, allowed: &[Action]) {
        let known = Known {
            allowed: allowed.iter().copied().collect(),
            has_expired: false,
            identity,
        };
        self.known()
            .insert(known.identity.access_key_id.clone(), known);
    }

    pub(crate) fn expire(&self, access_key_id: &str) {
        if let Some(known) = self.known().get_mut(access_key_id) {
            known.has_expired = true;
        }
    }

    pub(crate) fn find(&self, access_key_id: &str) -> Option<Known> {
        self.known().get(access_key_id).cloned()
    }

    pub(crate) fn remove(&self, access_key_id: &str) {
        self.known().remove(access_key_id);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An identity and the actions that its policies allow.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) identity: Identity,
    pub(crate) allowed: BTreeSet<Action>,
    /// Whether the session of its credentials has ended.
    pub(crate) has_expired: bool,
}

/// The database user that every cluster has.
pub(crate) const ADMIN: &str = "admin";
/// The account of clusters and identities.
pub(crate) const ACCOUNT: &str = "123456789012";

const KEY_ID: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
