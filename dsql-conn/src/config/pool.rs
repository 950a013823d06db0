//! The settings of a pool that come from variables, next to those of a connection.

use std::num::NonZeroU32;
use std::time::Duration;

use super::parse::{parse, seconds};
use crate::error::ConfigError;

/// What [`Config::from_env`](super::Config::from_env) read for a pool. [`Pool`](crate::Pool) puts
/// it over its defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PoolVariables {
    pub(crate) max_size: Option<u32>,
    pub(crate) min_idle: Option<u32>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) checkout_timeout: Option<Duration>,
    pub(crate) ping_after: Option<Duration>,
    pub(crate) ping_timeout: Option<Duration>,
}

impl PoolVariables {
    pub(super) fn read(
        variable: impl Fn(&'static str) -> Result<Option<String>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let duration = |name| {
            let value = variable(name)?;
            value.map(|value| seconds(name, &value)).transpose()
        };
        let max_size = variable(MAX_SIZE)?
            .map(|size| parse(MAX_SIZE, &size, "a whole number from 1"))
            .transpose()?;
        let min_idle = variable(MIN_IDLE)?
            .map(|count| parse(MIN_IDLE, &count, "a whole number"))
            .transpose()?;
        Ok(Self {
            max_size: max_size.map(NonZeroU32::get),
            min_idle,
            idle_timeout: duration("DSQL_IDLE_TIMEOUT_SECONDS")?,
            checkout_timeout: duration("DSQL_CHECKOUT_TIMEOUT_SECONDS")?,
            ping_after: duration("DSQL_PING_AFTER_SECONDS")?,
            ping_timeout: duration("DSQL_PING_TIMEOUT_SECONDS")?,
        })
    }
}

const MAX_SIZE: &str = "DSQL_POOL_MAX_SIZE";

const MIN_IDLE: &str = "DSQL_POOL_MIN_IDLE";
