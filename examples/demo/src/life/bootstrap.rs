//! Deploy time: the cluster gets its schema, its role and the role's permissions.

use std::error::Error;

use serde_json::json;

use super::{Life, Outcome};
use crate::step::Proof;

impl Life {
    /// The deploy-time program prepares the cluster, and a second run finds nothing to do.
    pub(crate) async fn bootstrap(&self) -> Outcome<()> {
        let first = self.run_bootstrap().await?;
        let second = self.run_bootstrap().await?;
        let created = |lines: &str| lines.lines().filter(|l| l.starts_with("created ")).count();
        if created(&first) == 0 || created(&second) != 0 {
            return Err(format!("first run: {first}, second run: {second}").into());
        }
        let trust = self
            .cluster
            .query("SELECT pg_role_name, arn FROM sys.iam_pg_role_mappings");
        let expected =
            [[Some("game"), Some(self.function.arn())].map(|text| text.map(str::to_owned))];
        let trust = trust.await?;
        if trust != expected {
            return Err(format!("the cluster's role mappings are {trust:?}").into());
        }
        let proof = Proof {
            words: format!(
                "{} things created (schema, tables, role, ..), a second run created none; role \
                 game trusts {}",
                created(&first),
                self.function.arn(),
            ),
            numbers: json!({ "created": created(&first), "created_again": created(&second) }),
        };
        Ok(((), proof))
    }

    async fn run_bootstrap(&self) -> Result<String, Box<dyn Error>> {
        let output = self
            .environment
            .command(&self.binaries.bootstrap, self.cluster.admin())
            .env("GAME_ROLE_ARN", self.function.arn())
            .output()
            .await?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
