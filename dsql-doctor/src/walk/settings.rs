//! Shows the settings as understood, and the claims of a token.

use super::Walk;
use crate::report::StepName;
use crate::words::rough;

impl Walk<'_> {
    pub(super) fn settings(&mut self) {
        let (mut step, _) = self.begin(StepName::Settings);
        step.evidence.clone_from(&self.doctor.given);
        let endpoint = self.config.endpoint();
        let summary = &self.summary;
        let kind = match (endpoint.dialed() == endpoint.host(), endpoint.host()) {
            (false, _) => format!("by the VPC endpoint {}", endpoint.dialed()),
            (true, host) if host.contains(".dsql-") => "PrivateLink with private DNS".to_owned(),
            (true, _) => "the public endpoint".to_owned(),
        };
        step.note(format!(
            "cluster {} in {}, {kind}",
            endpoint.cluster_id(),
            endpoint.region()
        ));
        step.note(format!(
            "user {:?}, database {:?}, port {}",
            summary.user, summary.database, summary.port
        ));
        let tls = match summary.direct_tls {
            true => "direct TLS",
            false => "TLS asked for first",
        };
        step.note(format!("{tls}, verified by {}", summary.trust));
        let mut session = vec![format!("connect timeout {:?}", summary.connect_timeout)];
        if let Some(timeout) = summary.statement_timeout {
            session.push(format!("statement timeout {timeout:?}"));
        }
        if !summary.settings.is_empty() {
            session.push(format!("session settings: {}", summary.settings.join(", ")));
        }
        step.note(session.join(", "));
        self.keep(step);
    }

    pub(super) fn token(&mut self) {
        let (mut step, _) = self.begin(StepName::Token);
        let endpoint = self.config.endpoint();
        let summary = &self.summary;
        step.note(format!(
            "{} for {:?}, as that user needs",
            summary.action, summary.user
        ));
        step.note(format!(
            "signed for {} in {}, usable for {}",
            endpoint.host(),
            endpoint.region(),
            rough(summary.token_ttl)
        ));
        self.keep(step);
    }
}
