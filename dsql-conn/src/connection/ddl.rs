//! Changes the schema.
//!
//! Aurora DSQL runs one DDL statement per transaction, separate from DML. It builds indexes in the
//! background, and answers OC001 to sessions that have not seen the last change: [DDL and
//! distributed
//! transactions](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-ddl.html).

use std::slice;

use tokio_postgres::types::Type;

use super::Connection;
use crate::error::Error;
use crate::retry::{RetryPolicy, retry};

/// Schema changes. They take `&mut self`, so that the body of a transaction cannot call them: the
/// service would refuse them there.
///
/// ```compile_fail,E0596
/// # async fn example(pool: dsql_conn::Pool) -> Result<(), dsql_conn::Error> {
/// pool.transaction(async |mut tx| {
///     tx.execute_ddl("CREATE TABLE games (id uuid PRIMARY KEY)").await?;
///     Ok(())
/// }).await
/// # }
/// ```
impl Connection {
    /// Runs one statement that changes the schema or its grants, and retries it while it meets
    /// conflicts. Returns the ID of the background job if it started one, as `CREATE INDEX ASYNC`
    /// does.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), dsql_conn::Error> {
    /// let mut connection = dsql_conn::Config::from_env()?.connect().await?;
    /// connection
    ///     .execute_ddl("CREATE TABLE IF NOT EXISTS games (id uuid PRIMARY KEY, title text)")
    ///     .await?;
    /// let job = connection
    ///     .execute_ddl("CREATE INDEX ASYNC IF NOT EXISTS titles ON games (title)")
    ///     .await?;
    /// if let Some(job) = job {
    ///     connection.wait_for_job(&job).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the connection is lost meanwhile, the outcome is unknown: write the statement so that it
    /// may run twice.
    ///
    /// # Errors
    ///
    /// [`Error::Query`] with the server's refusal, after 16 attempts over some seconds if it was a
    /// conflict.
    ///
    /// # Cancel safety
    ///
    /// A statement that was sent runs to its end although its future is dropped.
    pub async fn execute_ddl(&mut self, statement: &str) -> Result<Option<String>, Error> {
        // The extended protocol refuses a second statement behind a semicolon.
        let rows = retry(RetryPolicy::new(), || self.query_typed(statement, &[])).await?;
        let row = rows.first();
        Ok(row.and_then(|row| row.try_get("job_id").ok()))
    }

    /// Waits until a background job has ended, such as the build of an index.
    ///
    /// A [`statement_timeout`](crate::Config::statement_timeout) limits the wait, too.
    ///
    /// # Errors
    ///
    /// - [`Error::JobFailed`] if the job failed. The server itself reports that as a result, not as
    ///   an error.
    /// - [`Error::Query`] if the job does not exist, or the connection was lost; after the latter,
    ///   wait again on another connection.
    ///
    /// # Cancel safety
    ///
    /// The job continues although the future is dropped.
    pub async fn wait_for_job(&mut self, job_id: &str) -> Result<(), Error> {
        const WAIT: &str = "CALL sys.wait_for_job($1)";
        const DETAILS: &str = "SELECT details::text FROM sys.jobs WHERE job_id = $1";

        let job = (&job_id as _, Type::TEXT);
        let query = async |sql| {
            retry(RetryPolicy::new(), || {
                self.query_typed(sql, slice::from_ref(&job))
            })
            .await
        };
        let rows = query(WAIT).await?;
        let succeeded = rows.first().map(|row| row.try_get::<_, bool>(0));
        if succeeded.transpose()? == Some(true) {
            return Ok(());
        }
        let rows = query(DETAILS).await?;
        let details = rows.first().map(|row| row.try_get::<_, Option<String>>(0));
        Err(Error::JobFailed {
            job_id: job_id.to_owned(),
            details: details
                .transpose()?
                .flatten()
                .unwrap_or_else(|| "no details".to_owned()),
        })
    }
}
