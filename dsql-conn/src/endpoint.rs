//! Names the cluster: the host that tokens are signed for, that certificates are verified for, and its Region.
//!
//! First in the flow: every other room takes an [`Endpoint`] and never a string.

use std::{fmt, str::FromStr};

use crate::error::{ConfigError, EndpointProblem, repeatable};

/// The host name of an Aurora DSQL cluster, parsed once.
///
/// Two forms are accepted, each with a 26-character cluster ID in front:
///
/// | form | used by |
/// |---|---|
/// | `<id>.dsql.<region>.on.aws` | the [public endpoint](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/accessing.html) |
/// | `<id>.dsql-<suffix>.<region>.on.aws` | [PrivateLink](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/privatelink-managing-clusters.html) with private DNS |
///
/// Every peer of a multi-Region cluster has an endpoint of its own in one of these forms. Without private DNS a PrivateLink
/// connection is dialed by another name: [`Endpoint::via`].
///
/// ```
/// use dsql_conn::Endpoint;
///
/// let endpoint: Endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws".parse()?;
/// assert_eq!(endpoint.region(), "us-east-1");
/// # Ok::<(), dsql_conn::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    region: String,
    /// The name to dial where it is not the host's own.
    interface: Option<String>,
}

impl Endpoint {
    /// Returns the public endpoint of the cluster with this ID in this Region.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Endpoint`] if the ID is not 26 lower-case letters and digits, or the Region is not one.
    pub fn from_cluster_id(cluster_id: &str, region: &str) -> Result<Self, ConfigError> {
        format!("{cluster_id}.dsql.{region}.on.aws").parse()
    }

    /// Reads a host name, or a cluster ID that is in this Region.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Endpoint`] if it is neither; [`ConfigError::Region`] if the host name names another Region.
    pub fn in_region(name: &str, region: &str) -> Result<Self, ConfigError> {
        if is_cluster_id(name) {
            return Self::from_cluster_id(name, region);
        }
        let endpoint: Self = name.parse()?;
        match endpoint.region == region {
            true => Ok(endpoint),
            false => Err(ConfigError::Region {
                host: endpoint.host,
                region: repeatable(region),
            }),
        }
    }

    /// Dials the cluster by the name of an interface VPC endpoint, `vpce-<id>.dsql-<suffix>.<region>.vpce.amazonaws.com`.
    ///
    /// That is for [PrivateLink without private DNS](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/privatelink-managing-clusters.html).
    /// The token is signed, SNI sent and the certificate verified for the public host all the same, and the cluster is named
    /// in the startup option `amzn-cluster-id`. The service documents the option and the signed name; that its certificate
    /// for the public host is served there has not been tried.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Endpoint`] if the name has another form; [`ConfigError::Region`] if it names another Region.
    pub fn via(mut self, interface: &str) -> Result<Self, ConfigError> {
        let region = interface_region(interface).ok_or_else(|| ConfigError::Endpoint {
            value: repeatable(interface),
            problem: EndpointProblem::Interface,
        })?;
        if region != self.region {
            return Err(ConfigError::Region {
                host: interface.to_owned(),
                region: self.region,
            });
        }
        self.interface = Some(interface.to_owned());
        Ok(self)
    }

    /// The host name: what tokens are signed for, what is sent as SNI and what the certificate must say.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name that is looked up and dialed: the host's, or the interface endpoint's.
    pub fn dialed(&self) -> &str {
        self.interface.as_deref().unwrap_or(&self.host)
    }

    /// Whether the cluster must be named in the startup packet, because the dialed name does not name it.
    pub(crate) fn is_via_interface(&self) -> bool {
        self.interface.is_some()
    }

    /// The 26-character cluster ID.
    pub fn cluster_id(&self) -> &str {
        &self.host[..CLUSTER_ID_LENGTH]
    }

    /// The Region that tokens are signed for, such as `us-east-1`.
    pub fn region(&self) -> &str {
        &self.region
    }
}

impl FromStr for Endpoint {
    type Err = ConfigError;

    fn from_str(value: &str) -> Result<Self, ConfigError> {
        match parse_region(value) {
            Ok(region) => Ok(Self {
                host: value.to_owned(),
                region: region.to_owned(),
                interface: None,
            }),
            Err(problem) => Err(ConfigError::Endpoint {
                value: repeatable(value),
                problem,
            }),
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

/// Returns the Region inside a well-formed host name, or the first thing that is wrong with it.
///
/// The near misses come first, so that a pasted URL is told about its scheme and not about its cluster ID.
fn parse_region(host: &str) -> Result<&str, EndpointProblem> {
    if host.is_empty() {
        return Err(EndpointProblem::Empty);
    }
    if host.trim() != host {
        return Err(EndpointProblem::Whitespace);
    }
    if host.contains("://") {
        return Err(EndpointProblem::Scheme);
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

/// Whether this is a Region by its form: words joined by hyphens, the last one a number (`ap-southeast-2`).
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

/// The most that DNS can hold between two dots. A longer one would be found out by TLS, in other words.
const LABEL_LENGTH: usize = 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::{DnsName, ServerName};

    use super::*;
    use crate::corpus::{mistaken, walk};

    const ID: &str = "abcdefghijklmnopqrstuvwx23";

    fn problem(host: &str) -> EndpointProblem {
        match host.parse::<Endpoint>() {
            Err(ConfigError::Endpoint { value, problem }) => {
                assert_eq!(value, host);
                problem
            }
            other => panic!("{host:?}: {other:?}"),
        }
    }

    #[test]
    fn hosts_of_the_service_are_taken_apart() {
        for (host, region) in [
            (format!("{ID}.dsql.us-east-1.on.aws"), "us-east-1"),
            (format!("{ID}.dsql-fnh4.eu-west-2.on.aws"), "eu-west-2"),
            (format!("{ID}.dsql.us-gov-west-1.on.aws"), "us-gov-west-1"),
        ] {
            let endpoint: Endpoint = host.parse().unwrap();
            assert_eq!(endpoint.host(), host);
            assert_eq!(endpoint.cluster_id(), ID);
            assert_eq!(endpoint.region(), region);
        }
        assert_eq!(
            Endpoint::from_cluster_id(ID, "us-east-1").unwrap().host(),
            format!("{ID}.dsql.us-east-1.on.aws")
        );
    }

    #[test]
    fn a_near_miss_is_told_what_is_wrong() {
        let short = &ID[1..];
        for (host, expected) in [
            (String::new(), EndpointProblem::Empty),
            (
                format!(" {ID}.dsql.us-east-1.on.aws"),
                EndpointProblem::Whitespace,
            ),
            (
                format!("https://{ID}.dsql.us-east-1.on.aws"),
                EndpointProblem::Scheme,
            ),
            (
                format!("{ID}.dsql.us-east-1.on.aws/"),
                EndpointProblem::NotAHost,
            ),
            (
                format!("{ID}.dsql.us-east-1.on.aws:5432"),
                EndpointProblem::Port,
            ),
            (
                format!("{ID}.dsql.us-east-1.on.aws."),
                EndpointProblem::TrailingDot,
            ),
            (
                format!("{}.dsql.us-east-1.on.aws", ID.to_uppercase()),
                EndpointProblem::UpperCase,
            ),
            (
                format!("{short}.dsql.us-east-1.on.aws"),
                EndpointProblem::ClusterId { length: 25 },
            ),
            (format!("{ID}.dsql.useast1.on.aws"), EndpointProblem::Region),
            (
                format!("{ID}.dsql-.us-east-1.on.aws"),
                EndpointProblem::Form,
            ),
            (
                format!("{ID}.rds.us-east-1.amazonaws.com"),
                EndpointProblem::Form,
            ),
            ("localhost".to_owned(), EndpointProblem::Form),
        ] {
            assert_eq!(problem(&host), expected, "{host:?}");
        }
    }

    #[test]
    fn a_password_in_what_was_given_is_not_repeated() {
        let url = format!("postgres://admin:hunter2@{ID}.dsql.us-east-1.on.aws");
        let error = url.parse::<Endpoint>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn a_bare_cluster_id_needs_its_region() {
        assert_eq!(problem(ID), EndpointProblem::RegionMissing);
        let endpoint = Endpoint::in_region(ID, "eu-west-1").unwrap();
        assert_eq!(endpoint.host(), format!("{ID}.dsql.eu-west-1.on.aws"));
    }

    #[test]
    fn a_region_that_contradicts_the_host_is_refused_with_both() {
        let host = format!("{ID}.dsql.us-east-1.on.aws");
        assert!(Endpoint::in_region(&host, "us-east-1").is_ok());
        let error = Endpoint::in_region(&host, "eu-west-1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("us-east-1") && error.contains("eu-west-1"),
            "{error}"
        );
    }

    #[test]
    fn an_interface_endpoint_changes_what_is_dialed_and_nothing_else() {
        const INTERFACE: &str = "vpce-0a1b2c3d-xyz9.dsql-fnh4.us-east-1.vpce.amazonaws.com";
        let public: Endpoint = format!("{ID}.dsql.us-east-1.on.aws").parse().unwrap();
        assert_eq!(public.dialed(), public.host());
        let endpoint = public.clone().via(INTERFACE).unwrap();
        assert_eq!(endpoint.dialed(), INTERFACE);
        assert_eq!(endpoint.host(), public.host());

        assert_eq!(problem(INTERFACE), EndpointProblem::ClusterMissing);
        let elsewhere = INTERFACE.replace("us-east-1", "eu-west-1");
        let error = public.clone().via(&elsewhere).unwrap_err().to_string();
        assert!(
            error.contains("us-east-1") && error.contains("eu-west-1"),
            "{error}"
        );
        assert!(public.via("vpce.example.com").is_err());
    }

    #[test]
    fn a_password_in_place_of_another_name_is_not_repeated() {
        let endpoint: Endpoint = format!("{ID}.dsql.us-east-1.on.aws").parse().unwrap();
        let url = format!("postgres://admin:hunter2@{}", endpoint.host());
        let as_region = Endpoint::in_region(endpoint.host(), &url).unwrap_err();
        let as_interface = endpoint.via(&url).unwrap_err();
        for error in [as_region, as_interface] {
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_kept_is_read_with_any_mistake() {
        walk("endpoint", |name| read(&String::from_utf8_lossy(name)));
    }

    /// Checks that what is taken for a host can be looked up, and verified in a certificate.
    fn read(name: &str) {
        let is_dns_name = |name: &str| {
            let parsed = ServerName::try_from(name.to_owned());
            let is_same = |parsed: &DnsName<'_>| parsed.as_ref() == name;
            matches!(&parsed, Ok(ServerName::DnsName(parsed)) if is_same(parsed))
        };
        match name.parse::<Endpoint>() {
            Ok(endpoint) => {
                assert!(is_dns_name(endpoint.host()), "{name}");
                assert_eq!(endpoint.host(), name);
                assert!(name.starts_with(endpoint.cluster_id()));
                assert_eq!(name.split('.').nth(2), Some(endpoint.region()));
            }
            Err(error) => assert!(!name.contains('@') || !error.to_string().contains("hunter2")),
        }
        let region = name.split('.').nth(2).unwrap_or("us-east-1");
        if let Ok(endpoint) =
            Endpoint::from_cluster_id(ID, region).and_then(|public| public.via(name))
        {
            assert!(is_dns_name(endpoint.dialed()), "{name}");
            assert_eq!((endpoint.dialed(), endpoint.region()), (name, region));
        }
    }

    proptest! {
        #[test]
        fn no_string_panics(host in ".*", region in ".*") {
            let _ = Endpoint::in_region(&host, &region).and_then(|endpoint| endpoint.via(&region));
            read(&host);
        }

        #[test]
        fn no_mistakes_panic(name in mistaken("endpoint")) {
            read(&String::from_utf8_lossy(&name));
        }

        #[test]
        fn a_host_is_one_that_dns_can_hold(
            service in "dsql(-[a-z0-9]{0,70})?",
            region in "[a-z]{1,70}-[a-z0-9]{0,9}-[0-9]{0,2}",
            interface in "vpce-[a-z0-9]{0,70}(-[a-z0-9]{0,3})?",
        ) {
            read(&format!("{ID}.{service}.{region}.on.aws"));
            read(&format!("{interface}.{service}.us-east-1.vpce.amazonaws.com"));
        }

        #[test]
        fn what_is_parsed_is_what_is_signed(id in "[a-z0-9]{26}", region in "[a-z]{2}-[a-z]{4,9}-[1-9]") {
            let endpoint = Endpoint::from_cluster_id(&id, &region).unwrap();
            prop_assert_eq!(endpoint.cluster_id(), &id);
            prop_assert_eq!(endpoint.region(), &region);
            prop_assert_eq!(endpoint.to_string(), endpoint.host());
        }
    }
}
