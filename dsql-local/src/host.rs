//! The names that a cluster answers to: its public one, and those of PrivateLink.
//! `certificate` asks which to serve; `session` asks which one a token must be signed for.

/// A cluster's host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts {
    pub(crate) id: String,
    pub(crate) public: String,
    /// Under the private domain of the Region's endpoint service.
    pub(crate) private: Option<String>,
    /// How the names of VPC endpoints end, which are every cluster's.
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

    /// Returns the names that the certificate is for. A VPC endpoint's is not among them: nobody can verify it.
    pub(crate) fn certified(&self) -> Vec<String> {
        std::iter::once(&self.public)
            .chain(&self.private)
            .cloned()
            .collect()
    }

    /// Returns whether a connection that asks for this name comes to the right place.
    pub(crate) fn answers_to(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name == self.public || self.private.as_ref() == Some(&name) || self.is_vpc_endpoint(&name)
    }

    /// Returns the host that a token is signed for, or nothing if nobody knows which cluster is meant: a VPC
    /// endpoint's name takes the `amzn-cluster-id` of the startup packet.
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

    fn is_vpc_endpoint(&self, name: &str) -> bool {
        self.vpc_endpoints
            .as_ref()
            .is_some_and(|suffix| name.starts_with("vpce-") && name.ends_with(suffix.as_str()))
    }
}
