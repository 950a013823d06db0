//! What is wrong with a string that should name a cluster.

use std::fmt;

use super::Endpoint;

/// A string that is not a cluster's endpoint, with what is wrong and the expected form.
///
/// A value that may contain a password, such as a URL, is not repeated.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointError {
    value: String,
    problem: EndpointProblem,
    /// The endpoint that the caller probably meant.
    meant: Option<String>,
}

impl EndpointError {
    pub(super) fn new(value: &str, problem: EndpointProblem) -> Self {
        Self {
            value: repeatable(value),
            meant: problem.is_about_form().then(|| meant(value)).flatten(),
            problem,
        }
    }

    /// Returns the value that was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns what is wrong with it.
    pub fn problem(&self) -> &EndpointProblem {
        &self.problem
    }

    /// Returns what to do about the problem.
    pub fn remedy(&self) -> String {
        let is_interface = self.value.starts_with("vpce-");
        let remedy = match self.problem {
            EndpointProblem::OtherRegion { .. } if is_interface => {
                "give the VPC endpoint in the cluster's Region"
            }
            _ => self.problem.remedy(),
        };
        match &self.meant {
            Some(meant) => format!("{remedy}: {meant}"),
            None => format!("{remedy}; expected {}", self.problem.expected()),
        }
    }

    pub(crate) fn what(&self) -> String {
        format!("endpoint {} {}", quoted(&self.value), self.problem)
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.remedy())
    }
}

/// Like `Display`: a `main` that returns an error prints it by `Debug`.
impl fmt::Debug for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for EndpointError {}

/// What is wrong with an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointProblem {
    /// It is empty.
    Empty,
    /// It starts or ends with white space.
    Whitespace,
    /// It is the ARN of a cluster.
    Arn,
    /// It is a connection URL, such as `postgres://`.
    ConnectionUrl,
    /// It is a list of settings, such as `host=.. user=..`.
    KeyValues,
    /// It is another URL, such as `https://`.
    Scheme,
    /// It contains a path, a query or a user.
    NotAHost,
    /// It contains a port.
    Port,
    /// It ends with a dot.
    TrailingDot,
    /// It has upper-case letters, which the signature would not match.
    UpperCase,
    /// The cluster ID does not have 26 characters of `a-z` and `0-9`.
    ClusterId {
        /// The number of characters that were given.
        length: usize,
    },
    /// Its Region does not have the form of one.
    Region,
    /// It is a cluster ID without a Region.
    RegionMissing,
    /// It names another Region than the one given beside it.
    OtherRegion {
        /// The Region given beside it.
        region: String,
    },
    /// It is the name of an interface VPC endpoint, which does not name the cluster.
    ClusterMissing,
    /// It should be the name of an interface VPC endpoint.
    Interface,
    /// It has no form that the service uses.
    Form,
}

impl EndpointProblem {
    /// Returns whether the value may contain a host name.
    fn is_about_form(&self) -> bool {
        matches!(
            self,
            Self::Whitespace
                | Self::Arn
                | Self::ConnectionUrl
                | Self::KeyValues
                | Self::Scheme
                | Self::NotAHost
                | Self::Port
                | Self::TrailingDot
                | Self::UpperCase
        )
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Empty => "give the cluster's host name",
            Self::Whitespace => "remove the white space",
            Self::Arn => "give the host name of the cluster",
            Self::ConnectionUrl => "read the URL by Config::from_str, or give its host name alone",
            Self::KeyValues => "give the value of host alone",
            Self::Scheme => "leave out the scheme",
            Self::NotAHost => "leave out path, query and user",
            Self::Port => "set the port separately",
            Self::TrailingDot => "remove the dot",
            Self::UpperCase => "write it in lower case",
            Self::ClusterId { .. } => "copy the cluster ID again, 26 characters of a-z and 0-9",
            Self::RegionMissing => "give the Region, too, or the whole host name",
            Self::OtherRegion { .. } => {
                "leave out the other Region (DSQL_REGION, or `region` of a URL), or give the one \
                 in the host name"
            }
            Self::ClusterMissing => {
                "give the cluster's own host name, and this one as the name to dial \
                 (Endpoint::via, DSQL_VPC_ENDPOINT)"
            }
            Self::Interface => "give the DNS name of the VPC endpoint",
            Self::Region => "copy the Region again, such as us-east-1",
            Self::Form => "copy the cluster's endpoint again",
        }
    }

    fn expected(&self) -> &'static str {
        match self {
            Self::Interface => "vpce-<id>.dsql-<suffix>.<region>.vpce.amazonaws.com",
            _ => "<26 characters>.dsql.<region>.on.aws",
        }
    }
}

impl fmt::Display for EndpointProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::Whitespace => "starts or ends with white space",
            Self::Arn => "is an ARN",
            Self::ConnectionUrl => "is a connection URL",
            Self::KeyValues => "is a list of settings",
            Self::Scheme => "is a URL",
            Self::NotAHost => "has more than a host name in it",
            Self::Port => "has a port in it",
            Self::TrailingDot => "ends with a dot",
            Self::UpperCase => "has upper-case letters",
            Self::ClusterId { length } => {
                return write!(f, "starts with a cluster ID of {length} characters, not 26");
            }
            Self::RegionMissing => "is a cluster ID without a Region",
            Self::OtherRegion { region } => {
                return write!(f, "names another Region than {}", quoted(region));
            }
            Self::ClusterMissing => "is an interface endpoint, which does not name the cluster",
            Self::Interface => "is not the name of an interface endpoint",
            Self::Region => "does not contain a Region",
            Self::Form => "is not a cluster's host name",
        })
    }
}

/// Returns the host name inside of a URL, an ARN or a list of settings, if it is a cluster's.
fn meant(value: &str) -> Option<String> {
    let value = value.trim().to_ascii_lowercase();
    let parts = |arn: &str| -> Option<String> {
        let mut parts = arn.strip_prefix("arn:")?.split(':').skip(2);
        let (region, resource) = (parts.next()?, parts.nth(1)?);
        let id = resource.strip_prefix("cluster/")?;
        Some(format!("{id}.dsql.{region}.on.aws"))
    };
    let host = parts(&value).unwrap_or_else(|| {
        let value = value.split("host=").last().unwrap_or_default();
        let value = value.split_once("://").map_or(value, |(_, rest)| rest);
        let authority = value.split(['/', '?', ' ']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        host.trim_matches(['\'', '.']).to_owned()
    });
    host.parse::<Endpoint>().is_ok().then_some(host)
}

/// Returns the value if an error may repeat it. Anything like a URL may contain a password.
pub(crate) fn repeatable(value: &str) -> String {
    match value.contains(['@', '?', '=']) {
        true => NOT_REPEATED.to_owned(),
        false => value.to_owned(),
    }
}

/// Quotes a value, unless it replaces one that is not repeated.
pub(crate) fn quoted(value: &str) -> String {
    match value {
        NOT_REPEATED => NOT_REPEATED.to_owned(),
        value => format!("{value:?}"),
    }
}

const NOT_REPEATED: &str = "(not repeated)";
