//! The roles that get access. Their names go into statements unquoted, so they are parsed.

use std::str::FromStr;
use std::{env, fmt};

use super::BootstrapError;

/// A database role, and the IAM role that may assume it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grantee {
    /// The database role that a function connects as.
    pub role: RoleName,
    /// The IAM role of the function.
    pub arn: RoleArn,
}

impl Grantee {
    /// Reads `GAME_ROLE`, which defaults to `game`, and `GAME_ROLE_ARN`, which is required.
    ///
    /// # Errors
    ///
    /// When a variable is missing or not of its form.
    pub fn from_env() -> Result<Self, BootstrapError> {
        let role = env::var("GAME_ROLE").unwrap_or_else(|_| "game".to_owned());
        let arn = env::var("GAME_ROLE_ARN").map_err(|_| BootstrapError::NoArn)?;
        Ok(Self {
            role: role.parse()?,
            arn: arn.parse()?,
        })
    }

    /// Reads `GAME_SWEEPER_ROLE`, which defaults to `game_sweeper`, and `GAME_SWEEPER_ROLE_ARN`.
    /// `None` without the ARN.
    ///
    /// # Errors
    ///
    /// When a variable is not of its form.
    pub fn sweeper_from_env() -> Result<Option<Self>, BootstrapError> {
        let Ok(arn) = env::var("GAME_SWEEPER_ROLE_ARN") else {
            return Ok(None);
        };
        let role = env::var("GAME_SWEEPER_ROLE").unwrap_or_else(|_| "game_sweeper".to_owned());
        Ok(Some(Self {
            role: role.parse()?,
            arn: arn.parse()?,
        }))
    }
}

/// A role name that SQL takes without quotes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoleName(String);

impl RoleName {
    /// Returns the name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleName {
    type Err = BootstrapError;

    fn from_str(name: &str) -> Result<Self, BootstrapError> {
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let goes_on_well = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if starts_well && goes_on_well && name.len() <= LONGEST_IDENTIFIER {
            Ok(Self(name.to_owned()))
        } else {
            Err(BootstrapError::RoleName(name.to_owned()))
        }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of an IAM role: `arn:aws:iam::123456789012:role/name`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoleArn(String);

impl RoleArn {
    /// Returns the ARN's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleArn {
    type Err = BootstrapError;

    fn from_str(arn: &str) -> Result<Self, BootstrapError> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ok = match parts.as_slice() {
            ["arn", partition, "iam", "", account, resource] => {
                partition.starts_with("aws")
                    && account.len() == 12
                    && account.bytes().all(|b| b.is_ascii_digit())
                    && resource.strip_prefix("role/").is_some_and(|name| {
                        // The characters that IAM allows; a quote is not among them.
                        !name.is_empty()
                            && name
                                .bytes()
                                .all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b))
                    })
            }
            _ => false,
        };
        if ok {
            Ok(Self(arn.to_owned()))
        } else {
            Err(BootstrapError::RoleArn(arn.to_owned()))
        }
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const LONGEST_IDENTIFIER: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_need_no_quotes() {
        for name in ["game", "_game", "game_2"] {
            assert_eq!(name.parse::<RoleName>().unwrap().to_string(), name);
        }
        for name in [
            "",
            "2game",
            "Game",
            "ga-me",
            "game\"",
            "game;",
            &"g".repeat(64),
        ] {
            assert!(name.parse::<RoleName>().is_err(), "{name}");
        }
    }

    #[test]
    fn role_arns_are_of_roles_and_hold_no_quote() {
        for arn in [
            "arn:aws:iam::123456789012:role/game",
            "arn:aws-cn:iam::123456789012:role/service-role/Game+x=,.@-_",
        ] {
            assert_eq!(arn.parse::<RoleArn>().unwrap().to_string(), arn);
        }
        for arn in [
            "",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:user/game",
            "arn:aws:iam::1234:role/game",
            "arn:aws:iam:us-east-1:123456789012:role/game",
            "arn:aws:sts::123456789012:assumed-role/game/session",
            "arn:aws:iam::123456789012:role/game'; DROP SCHEMA games; --",
        ] {
            assert!(arn.parse::<RoleArn>().is_err(), "{arn}");
        }
    }
}
