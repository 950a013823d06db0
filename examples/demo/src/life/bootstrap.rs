//! Deploy time: the cluster gets its schema, its role and the role's permissions.

use serde_json::{Value, json};

use super::{Life, Outcome};
use crate::lambda::Lambda;
use crate::step::Proof;

impl Life {
    /// The deployment's custom resource prepares the cluster; a second run changes nothing, and
    /// deleting the resource removes nothing.
    pub(crate) async fn bootstrap(&self) -> Outcome<()> {
        let mut command = self
            .environment
            .command(&self.binaries.bootstrap, self.cluster.admin());
        command.env("GAME_ROLE_ARN", self.function.arn());
        let mut function = Lambda::start(command, self.echo).await?;
        function.initialized().await?;

        let mut call = async |kind| {
            let event = json!({ "RequestType": kind });
            function.call(event, Lambda::TIMEOUT).await
        };
        let first = call("Create").await?;
        let second = call("Update").await?;
        call("Delete").await?;
        let created = |answer: &Value| -> usize {
            let steps = answer["steps"].as_array().into_iter().flatten();
            let created = steps
                .filter_map(Value::as_str)
                .filter(|step| step.starts_with("created "));
            created.count()
        };
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
}
