//! `dsql-local token`: signs a token like an AWS SDK.

use std::env::VarError;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use clap::Args;
use dsql_local::{Action, Identity, sign};

use crate::Error;

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Database user to connect as: the action for `admin` differs from that of other users.
    #[arg(long, default_value = "admin")]
    user: String,
    /// Lifetime of the token, in seconds.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    expires: u64,
    /// Seconds by which the signing clock is ahead, or behind if negative: for tokens that are not
    /// valid yet, or expired.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    clock_offset: i32,
}

pub(crate) fn run(arguments: &Token) -> Result<(), Error> {
    let identity = Identity::new(
        "",
        variable("AWS_ACCESS_KEY_ID")?,
        variable("AWS_SECRET_ACCESS_KEY")?,
        std::env::var("AWS_SESSION_TOKEN")
            .ok()
            .filter(|token| !token.is_empty()),
    );
    let token = sign(
        &identity,
        &variable("DSQL_ENDPOINT")?,
        &variable("AWS_REGION")?,
        Action::for_user(&arguments.user),
        signing_time(arguments.clock_offset),
        Duration::from_secs(arguments.expires),
    );
    Ok(writeln!(io::stdout(), "{token}")?)
}

fn signing_time(clock_offset: i32) -> SystemTime {
    let by = Duration::from_secs(clock_offset.unsigned_abs().into());
    match clock_offset < 0 {
        true => SystemTime::now() - by,
        false => SystemTime::now() + by,
    }
}

fn variable(name: &'static str) -> Result<String, Error> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        Ok(_) | Err(VarError::NotPresent) => Err(Error::Missing(name)),
        Err(VarError::NotUnicode(_)) => Err(Error::NotText(name)),
    }
}
