//! Changes the schema, with the patience that this takes here.
//!
//! Aurora DSQL runs one DDL statement a transaction, apart from any DML, builds indexes in the background, and answers OC001
//! to sessions that have not seen the last change:
//! [DDL and distributed transactions](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-ddl.html).

use tokio_postgres::types::Type;

use super::Connection;
use crate::{
    error::Error,
    retry::{RetryPolicy, retry},
};

impl Connection {
    /// Runs one statement that changes the schema or its grants, and again while it meets conflicts. Returns the ID of the job
    /// that goes on in the background, if there is one: `CREATE INDEX ASYNC` starts one.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), dsql_conn::Error> {
    /// let connection = dsql_conn::Config::from_env()?.connect().await?;
    /// connection.execute_ddl("CREATE TABLE IF NOT EXISTS games (id uuid PRIMARY KEY, title text)").await?;
    /// let job = connection.execute_ddl("CREATE INDEX ASYNC IF NOT EXISTS titles ON games (title)").await?;
    /// if let Some(job) = job {
    ///     connection.wait_for_job(&job).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A connection lost meanwhile leaves open whether the statement was applied: write it so that it may run twice.
    ///
    /// # Errors
    ///
    /// [`Error::Query`] with what the server said, after sixteen attempts over some seconds if it was a conflict.
    ///
    /// # Cancel safety
    ///
    /// A statement that was sent is carried out though its future is dropped.
    pub async fn execute_ddl(&self, statement: &str) -> Result<Option<String>, Error> {
        // In the extended protocol, which takes no second statement behind a semicolon.
        let rows = retry(RetryPolicy::new(), || self.query_typed(statement, &[])).await?;
        let row = rows.first();
        Ok(row.and_then(|row| row.try_get("job_id").ok()))
    }

    /// Waits until a background job has ended, such as the one that builds an index. Not inside a transaction.
    ///
    /// # Errors
    ///
    /// - [`Error::JobFailed`] if the job failed. The server itself reports that as a result and not as an error.
    /// - [`Error::Query`] if there is no such job, or the connection was lost: then it may be waited for again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the job to go on.
    pub async fn wait_for_job(&self, job_id: &str) -> Result<(), Error> {
        const WAIT: &str = "CALL sys.wait_for_job($1)";
        const DETAILS: &str = "SELECT details::text FROM sys.jobs WHERE job_id = $1";

        let job = (&job_id as _, Type::TEXT);
        let rows = retry(RetryPolicy::new(), || {
            self.query_typed(WAIT, std::slice::from_ref(&job))
        })
        .await?;
        let succeeded = rows
            .first()
            .map(|row| row.try_get::<_, bool>(0))
            .transpose()?;
        if succeeded == Some(true) {
            return Ok(());
        }
        let rows = retry(RetryPolicy::new(), || {
            self.query_typed(DETAILS, std::slice::from_ref(&job))
        })
        .await?;
        let details = rows
            .first()
            .map(|row| row.try_get::<_, Option<String>>(0))
            .transpose()?;
        Err(Error::JobFailed {
            job_id: job_id.to_owned(),
            details: details.flatten().unwrap_or_else(|| "no details".to_owned()),
        })
    }
}
