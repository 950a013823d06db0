//! Late deliveries of a fault.

use std::time::Duration;

use crate::faults::Late;
use crate::server::cluster::Cluster;

/// Waits until a late delivery is due.
pub(crate) async fn due(cluster: &Cluster, late: Late) {
    match late {
        Late::By(time) => tokio::time::sleep(time).await,
        Late::ByStatements(statements) => {
            // The late session itself sends no statement meanwhile.
            let due = cluster.log.counts().statements + statements;
            while cluster.log.counts().statements < due {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}
