//! Checks the login, by the library itself.

use dsql_conn::{Connection, Error};

use super::Walk;
use crate::finding::Finding;
use crate::report::StepName;

impl Walk<'_> {
    pub(super) async fn login(&mut self) -> Option<Connection> {
        let (mut step, began) = self.begin(StepName::Login);
        match self.config.connect().await {
            Ok(connection) => {
                step.note(format!(
                    "{:?} is logged in: credentials, name, TCP, TLS and login in one go",
                    self.summary.user
                ));
                self.end(step, began)?;
                Some(connection)
            }
            Err(Error::Connect(error)) => {
                if let Some(code) = error.code() {
                    step.note(format!("SQLSTATE {}", code.code()));
                }
                if error.attempts() > 1 {
                    step.note(format!("tried {} times", error.attempts()));
                }
                self.refused(step, began, &error);
                None
            }
            Err(error) => {
                step.fail(Finding::of_error(&error));
                self.end(step, began);
                None
            }
        }
    }
}
