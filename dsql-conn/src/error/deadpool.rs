//! deadpool's errors as ours.

use deadpool::managed::{HookError, PoolError};

use super::{ConfigError, Error};

impl From<PoolError<Self>> for Error {
    fn from(error: PoolError<Self>) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                error
            }
            PoolError::Timeout(_) => Self::CheckoutTimeout {
                waited: None,
                cause: None,
            },
            PoolError::Closed => Self::PoolClosed,
            PoolError::NoRuntimeSpecified => {
                let expected = "set, because a timeout needs it";
                ConfigError::value("deadpool's runtime", "none", expected).into()
            }
            PoolError::PostCreateHook(HookError::Message(said)) => {
                let answer = "the answer of deadpool's post_create hook";
                ConfigError::value(answer, &said, "Ok for a new connection").into()
            }
        }
    }
}
