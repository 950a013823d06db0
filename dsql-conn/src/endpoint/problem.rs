//! What is wrong with a string that should name a cluster.

use std::fmt;

/// A string that is not a cluster's endpoint, with what is wrong and the expected form.
///
/// What may contain a password, such as a URL, is not repeated.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointError {
    value: String,
    problem: EndpointProblem,
}

impl EndpointError {
    pub(super) fn new(value: &str, problem: EndpointProblem) -> Self {
        Self {
            value: repeatable(value),
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
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint {:?} {}", self.value, self.problem)
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
    /// It is a URL.
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

impl fmt::Display for EndpointProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self {
            Self::Empty => "is empty",
            Self::Whitespace => "starts or ends with white space: remove it",
            Self::Scheme => "is a URL: leave out the scheme",
            Self::NotAHost => "has more than a host name in it: leave out path, query and user",
            Self::Port => "has a port in it: set the port separately",
            Self::TrailingDot => "ends with a dot: remove it",
            Self::UpperCase => "has upper-case letters: write it in lower case",
            Self::ClusterId { length } => {
                return write!(
                    f,
                    "starts with a cluster ID of {length} characters: it must be 26 of a-z and \
                     0-9{EXPECTED}"
                );
            }
            Self::RegionMissing => {
                "is a cluster ID without a Region: give the Region, too, or the whole host name"
            }
            Self::OtherRegion { region } => {
                return write!(
                    f,
                    "names another Region than {region:?}: leave that out, or give the one in the \
                     host name"
                );
            }
            Self::ClusterMissing => {
                "is an interface endpoint, which does not name the cluster: give the cluster's own \
                 host name, and this one as the name to dial (Endpoint::via, DSQL_VPC_ENDPOINT)"
            }
            Self::Interface => {
                return f.write_str(
                    "is not the name of an interface endpoint; expected \
                     vpce-<id>.dsql-<suffix>.<region>.vpce.amazonaws.com",
                );
            }
            Self::Region => "does not contain a Region such as us-east-1",
            Self::Form => "is not a cluster's host name",
        };
        write!(f, "{problem}{EXPECTED}")
    }
}

/// Returns the value if an error may repeat it. Anything like a URL may contain a password.
pub(crate) fn repeatable(value: &str) -> String {
    match value.contains(['@', '?', '=']) {
        true => "(not repeated)".to_owned(),
        false => value.to_owned(),
    }
}

const EXPECTED: &str = "; expected <26 characters>.dsql.<region>.on.aws";
