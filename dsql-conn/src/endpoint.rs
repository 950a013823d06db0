//! The cluster's endpoint: the host for which tokens are signed and certificates verified, and its
//! Region.
//!
//! First in the flow: all other modules take an [`Endpoint`], never a string.

mod problem;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

pub use self::problem::{EndpointError, EndpointProblem};
pub(crate) use self::problem::{quoted, repeatable};

/// The host name of an Aurora DSQL cluster, parsed once.
///
/// Two forms are accepted. Each starts with a cluster ID of 26 characters:
///
/// - `<id>.dsql.<region>.on.aws`, the
///   [public endpoint](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/accessing.html);
/// - `<id>.dsql-<suffix>.<region>.on.aws`, for [PrivateLink](
///   https://docs.aws.amazon.com/aurora-dsql/latest/userguide/privatelink-managing-clusters.html)
///   with private DNS.
///
/// Each Region of a multi-Region cluster has an endpoint of its own. Without private DNS, a
/// PrivateLink connection dials another name: [`Endpoint::via`].
///
/// ```
/// use dsql_conn::Endpoint;
///
/// let endpoint: Endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws".parse()?;
/// assert_eq!(endpoint.region(), "us-east-1");
/// # Ok::<(), dsql_conn::EndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    region: String,
    /// The name to dial, if that is not the host's own.
    interface: Option<String>,
}

impl Endpoint {
    /// Returns the public endpoint of the cluster with this ID in this Region.
    ///
    /// # Errors
    ///
    /// [`EndpointProblem::ClusterId`] if the ID is not 26 lower-case letters and digits, another
    /// problem if the Region is malformed.
    pub fn from_cluster_id(cluster_id: &str, region: &str) -> Result<Self, EndpointError> {
        format!("{cluster_id}.dsql.{region}.on.aws").parse()
    }

    /// Parses a host name in this Region, or the ID of a cluster in this Region.
    ///
    /// # Errors
    ///
    /// [`EndpointProblem::OtherRegion`] if the host name contains another Region, another problem
    /// if `name` is neither.
    pub fn in_region(name: &str, region: &str) -> Result<Self, EndpointError> {
        if is_cluster_id(name) {
            return Self::from_cluster_id(name, region);
        }
        let endpoint: Self = name.parse()?;
        match endpoint.region == region {
            true => Ok(endpoint),
            false => Err(other_region(name, region)),
        }
    }

    /// Dials the cluster by the name of an interface VPC endpoint,
    /// `vpce-<id>.dsql-<suffix>.<region>.vpce.amazonaws.com`.
    ///
    /// This is for [PrivateLink without private DNS](
    /// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/privatelink-managing-clusters.html
    /// ). Tokens are still signed, SNI is sent and certificates are verified for the public host,
    /// and the startup option `amzn-cluster-id` names the cluster. The service documents the option
    /// and the signed name. It was not verified that it presents the public host's certificate
    /// there.
    ///
    /// # Errors
    ///
    /// [`EndpointProblem::Interface`] if the name has another form,
    /// [`EndpointProblem::OtherRegion`] if it contains another Region.
    pub fn via(mut self, interface: &str) -> Result<Self, EndpointError> {
        let region = interface_region(interface)
            .ok_or_else(|| EndpointError::new(interface, EndpointProblem::Interface))?;
        if region != self.region {
            return Err(other_region(interface, &self.region));
        }
        self.interface = Some(interface.to_owned());
        Ok(self)
    }

    /// Returns the host name. Tokens are signed for it, SNI contains it, and the certificate must
    /// match it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the name that is resolved and dialed: the host name, or the interface endpoint's.
    pub fn dialed(&self) -> &str {
        self.interface.as_deref().unwrap_or(&self.host)
    }

    /// Returns whether the startup packet must name the cluster, because the dialed name does not.
    pub(crate) fn is_via_interface(&self) -> bool {
        self.interface.is_some()
    }

    /// Returns the cluster ID, which has 26 characters.
    pub fn cluster_id(&self) -> &str {
        &self.host[..CLUSTER_ID_LENGTH]
    }

    /// Returns the Region that tokens are signed for, such as `us-east-1`.
    pub fn region(&self) -> &str {
        &self.region
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(value: &str) -> Result<Self, EndpointError> {
        match parse_region(value) {
            Ok(region) => Ok(Self {
                host: value.to_owned(),
                region: region.to_owned(),
                interface: None,
            }),
            Err(problem) => Err(EndpointError::new(value, problem)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.host)
    }
}

fn other_region(name: &str, region: &str) -> EndpointError {
    let region = repeatable(region);
    EndpointError::new(name, EndpointProblem::OtherRegion { region })
}

/// Returns the Region inside a well-formed host name, or the first thing that is wrong with it.
///
/// Common mistakes are checked first: the error for a pasted URL names its scheme, not its cluster
/// ID.
fn parse_region(host: &str) -> Result<&str, EndpointProblem> {
    if host.is_empty() {
        return Err(EndpointProblem::Empty);
    }
    if host.trim() != host {
        return Err(EndpointProblem::Whitespace);
    }
    if host.starts_with("arn:") {
        return Err(EndpointProblem::Arn);
    }
    if host.starts_with("postgres://") || host.starts_with("postgresql://") {
        return Err(EndpointProblem::ConnectionUrl);
    }
    if host.contains("://") {
        return Err(EndpointProblem::Scheme);
    }
    if host.contains("host=") {
        return Err(EndpointProblem::KeyValues);
    }
    if host.contains(['/', '@', '?']) {
        return Err(EndpointProblem::NotAHost);
    }
    if host.contains(':') {
        return Err(EndpointProblem::Port);
    }
    if host.ends_with('.') {
        return Err(EndpointProblem::TrailingDot);
    }
    if host.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(EndpointProblem::UpperCase);
    }

    if is_cluster_id(host) {
        return Err(EndpointProblem::RegionMissing);
    }
    if interface_region(host).is_some() {
        return Err(EndpointProblem::ClusterMissing);
    }

    let labels: Vec<&str> = host.split('.').collect();
    let &[cluster_id, service, region, "on", "aws"] = labels.as_slice() else {
        return Err(EndpointProblem::Form);
    };
    if service != "dsql" && !is_private_service(service) {
        return Err(EndpointProblem::Form);
    }
    if !is_cluster_id(cluster_id) {
        return Err(EndpointProblem::ClusterId {
            length: cluster_id.chars().count(),
        });
    }
    if !is_region(region) {
        return Err(EndpointProblem::Region);
    }
    Ok(region)
}

/// Returns the Region in the name of an interface endpoint.
fn interface_region(name: &str) -> Option<&str> {
    let labels: Vec<&str> = name.split('.').collect();
    let &[interface, service, region, "vpce", "amazonaws", "com"] = labels.as_slice() else {
        return None;
    };
    let id = interface.strip_prefix("vpce-")?;
    let is_interface = interface.len() <= LABEL_LENGTH && id.split('-').all(is_alphanumeric);
    (is_interface && is_private_service(service) && is_region(region)).then_some(region)
}

fn is_private_service(service: &str) -> bool {
    service.len() <= LABEL_LENGTH && service.strip_prefix("dsql-").is_some_and(is_alphanumeric)
}

fn is_cluster_id(label: &str) -> bool {
    label.len() == CLUSTER_ID_LENGTH && is_alphanumeric(label)
}

/// Returns whether a text has the form of a Region: words joined by hyphens, the last one a number.
fn is_region(region: &str) -> bool {
    let mut words = region.rsplit('-');
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    region.len() <= LABEL_LENGTH
        && words.next().is_some_and(is_number)
        && region.contains('-')
        && words.all(is_alphanumeric)
}

fn is_alphanumeric(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The length of every cluster ID: `[a-z0-9]{26}` in the service's API model.
const CLUSTER_ID_LENGTH: usize = 26;

/// The longest label of a DNS name. TLS would refuse a longer one with an unhelpful error.
const LABEL_LENGTH: usize = 63;
