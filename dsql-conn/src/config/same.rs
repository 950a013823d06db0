//! Tells whether two configurations would open the same connections.

use std::sync::Arc;

use super::{Config, Source, Trust};

impl Config {
    /// Whether the two would open the same connections. Providers, resolvers, clocks and TLS configurations are the same only if one is
    /// a clone of the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        // Taken apart, so that no setting can be forgotten here.
        let Self {
            endpoint,
            address,
            resolver,
            port,
            user,
            database,
            application_name,
            settings,
            credentials,
            trust,
            negotiation,
            password_in_startup_flight,
            token_ttl,
            connect_timeout,
            statement_timeout,
            max_lifetime,
            time,
        } = self;
        let is_same_time = match (time, &other.time) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        let is_same_resolver = match (resolver, &other.resolver) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        *endpoint == other.endpoint
            && *address == other.address
            && *port == other.port
            && *user == other.user
            && *database == other.database
            && *application_name == other.application_name
            && *settings == other.settings
            && credentials.is_same(&other.credentials)
            && trust.is_same(&other.trust)
            && *negotiation == other.negotiation
            && *password_in_startup_flight == other.password_in_startup_flight
            && *token_ttl == other.token_ttl
            && *connect_timeout == other.connect_timeout
            && *statement_timeout == other.statement_timeout
            && *max_lifetime == other.max_lifetime
            && is_same_time
            && is_same_resolver
    }
}

impl Source {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Found, Self::Found) => true,
            #[cfg(feature = "aws-config")]
            (Self::Profile(one), Self::Profile(other)) => one == other,
            (Self::Provider(one), Self::Provider(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Trust {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::BuiltIn, Self::BuiltIn) => true,
            (Self::Roots(one), Self::Roots(other)) => one == other,
            (Self::Caller(one), Self::Caller(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}
