//! The host names of a cluster: the public one, and those of PrivateLink. `certificate` asks which
//! names to serve; `login` asks for which name a token must be signed.

/// A cluster's host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts {
    pub(crate) id: String,
    pub(crate) public: String,
    /// The name in the private domain of the Region's endpoint service.
    pub(crate) private: Option<String>,
    /// The suffix of VPC endpoint names, which all clusters share.
    vpc_endpoints: Option<String>,
}

impl Hosts {
    pub(crate) fn new(id: String, region: &str, private_link: Option<&str>) -> Self {
        Self {
            public: format!("{id}.dsql.{region}.on.aws"),
            private: private_link.map(|suffix| format!("{id}.dsql-{suffix}.{region}.on.aws")),
            vpc_endpoints: private_link
                .map(|suffix| format!(".dsql-{suffix}.{region}.vpce.amazonaws.com")),
            id,
        }
    }

    /// Returns the names in the certificate. VPC endpoint names are not among them: the service's
    /// certificate does not cover them either.
    pub(crate) fn certified(&self) -> Vec<String> {
        std::iter::once(&self.public)
            .chain(&self.private)
            .cloned()
            .collect()
    }

    /// Returns whether this is a name of the cluster.
    pub(crate) fn answers_to(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name == self.public || self.private.as_ref() == Some(&name) || self.is_vpc_endpoint(&name)
    }

    /// Returns the host that a token must be signed for, or `None` if the cluster is unknown: a VPC
    /// endpoint's name needs the `amzn-cluster-id` of the startup packet.
    pub(crate) fn signed(&self, name: Option<&str>, cluster_id: Option<&str>) -> Option<&str> {
        let name = name?.to_ascii_lowercase();
        if cluster_id.is_some_and(|id| id != self.id) {
            return None;
        }
        match &self.private {
            Some(private) if *private == name => Some(private),
            _ if name == self.public || cluster_id.is_some() => Some(&self.public),
            _ => None,
        }
    }

    /// Returns whether a name cannot be the endpoint of any cluster, such as `localhost`: a mistake
    /// that only a local cluster sees.
    pub(crate) fn is_not_an_endpoint(name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        !name.ends_with(".on.aws") && !name.ends_with(".amazonaws.com")
    }

    fn is_vpc_endpoint(&self, name: &str) -> bool {
        self.vpc_endpoints
            .as_ref()
            .is_some_and(|suffix| name.starts_with("vpce-") && name.ends_with(suffix.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PUBLIC: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
    const PRIVATE: &str = "abcdefghijklmnopqrstuvwx23.dsql-fnh4.us-east-1.on.aws";
    const INTERFACE: &str = "vpce-0a1b-c2.dsql-fnh4.us-east-1.vpce.amazonaws.com";

    fn hosts(private_link: Option<&str>) -> Hosts {
        Hosts::new(PUBLIC[..26].to_owned(), "us-east-1", private_link)
    }

    /// Returns a name, or a mutation of it.
    fn name() -> impl Strategy<Value = String> {
        let names = prop::sample::select(&[PUBLIC, PRIVATE, INTERFACE][..]);
        let change = (
            any::<prop::sample::Index>(),
            prop::option::of(any::<char>()),
            any::<bool>(),
        );
        (names, prop::option::of(change), any::<bool>()).prop_map(|(name, change, upper)| {
            let mut name = name.to_owned();
            if let Some((at, c, inserts)) = change {
                let at = at.index(name.len());
                let end = if inserts { at } else { at + 1 };
                name.replace_range(at..end, &c.map(String::from).unwrap_or_default());
            }
            if upper {
                name.make_ascii_uppercase();
            }
            name
        })
    }

    proptest! {
        #[test]
        fn only_the_clusters_names_are_served_and_signed_for(
            name in prop_oneof![name(), ".{0,60}"],
            id in prop::option::of(prop_oneof![Just(PUBLIC[..26].to_owned()), "[a-z0-9]{25,27}"]),
            private_link in any::<bool>(),
        ) {
            let hosts = hosts(private_link.then_some("fnh4"));
            let lower = name.to_ascii_lowercase();
            let is_private = private_link && lower == PRIVATE;
            let is_interface = private_link
                && lower.starts_with("vpce-")
                && lower.ends_with(&INTERFACE[12..]);
            prop_assert_eq!(hosts.answers_to(&name), lower == PUBLIC || is_private || is_interface);

            let names_this = id.as_deref() == Some(&PUBLIC[..26]);
            let expected = match () {
                () if id.is_some() && !names_this => None,
                () if is_private => Some(PRIVATE),
                () if lower == PUBLIC || names_this => Some(PUBLIC),
                () => None,
            };
            prop_assert_eq!(hosts.signed(Some(&name), id.as_deref()), expected);
            prop_assert_eq!(hosts.signed(None, id.as_deref()), None);
        }
    }
}
