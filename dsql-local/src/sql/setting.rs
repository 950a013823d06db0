//! The settings that a session can set, by `SET` or in the startup packet.

/// Who defines a setting that a session can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    OfPostgres,
    OfTheService,
}

/// Returns who defines a setting, if sessions can set it. The name is in lower case.
pub(crate) fn setting(name: &str) -> Option<Setting> {
    if OF_POSTGRES.contains(&name) {
        Some(Setting::OfPostgres)
    } else if OF_THE_SERVICE.contains(&name) {
        Some(Setting::OfTheService)
    } else {
        None
    }
}

/// Names the cluster, for a connection through a VPC endpoint.
pub(crate) const CLUSTER_ID: &str = "amzn-cluster-id";
const OF_POSTGRES: &[&str] = &[
    "application_name",
    "client_encoding",
    "datestyle",
    "extra_float_digits",
    "intervalstyle",
    "timezone",
    "search_path",
    "enable_bitmapscan",
    "enable_hashjoin",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_seqscan",
];
/// Settings that are accepted, but not sent to the engine.
const OF_THE_SERVICE: &[&str] = &[
    CLUSTER_ID,
    "disable_sync_create_index",
    "dsql.enable_batched_nestloop",
];
