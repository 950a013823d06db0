//! Transactions that were moved aside: their writes are read back, their locks released, and later
//! statements run on copies of the tables.

use bytes::BytesMut;

use super::Guard;
use super::statement::savepoint;
use super::transaction::{Place, Transaction, UNPIN};
use crate::conflict::flight::{self, Segment};
use crate::conflict::internal::Failure;
use crate::conflict::rename::Copied;
use crate::conflict::writes::{Lock, Writes};
use crate::protocol::ending::Ending;
use crate::sql::role::literal;

impl Guard<'_> {
    /// Reads back the transaction's writes and releases its locks. Nothing may be in flight.
    pub(super) async fn move_aside(&mut self, with_copies: bool) -> Result<(), Ending> {
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        let has_locks = match transaction.place {
            Place::Tables => true,
            Place::Aside(_) => false,
            Place::Copies(_) => with_copies,
        };
        if !transaction.is_pinned || !has_locks {
            return Ok(());
        }
        if self.status == b'E' {
            // The transaction had failed. Releasing its locks revived it, so it must fail again.
            transaction.place = Place::Aside(Writes::default());
            self.query(UNPIN).await?;
            let _fails = self.engine.query("SELECT dsql_local_refused").await?;
            return Ok(());
        }
        let has_copies = matches!(transaction.place, Place::Copies(_));
        let writes = self.writes().await?;
        self.query(UNPIN).await?;
        if let Some(transaction) = &mut self.transaction
            && (has_copies || !writes.is_empty())
        {
            transaction.place = Place::Aside(writes);
        }
        Ok(())
    }

    /// Reads back what the transaction wrote and locked.
    pub(super) async fn writes(&mut self) -> Result<Writes, Ending> {
        if let Some(transaction) = &mut self.transaction
            && std::mem::take(&mut transaction.has_unnoted_locks)
        {
            let note = format!(
                "SELECT pg_toast.dsql_note_locks('{}', false)",
                Lock::Update.mark()
            );
            self.query(&note).await?;
        }
        let rows = self.query("SELECT * FROM pg_toast.dsql_writes()").await?;
        Ok(Writes::from_rows(rows))
    }

    /// Runs a segment on copies of its tables.
    pub(super) async fn run_on_copies(&mut self, segment: &Segment) -> Result<bool, Ending> {
        match self.copy_tables(&segment.text).await? {
            Ok(()) => {}
            Err(failure) => {
                tracing::warn!(
                    failure.sqlstate,
                    failure.message,
                    "tables could not be copied"
                );
                self.status = b'E';
                self.refuse();
                return Ok(false);
            }
        }
        self.prepare_again(segment).await?;
        let Some(Transaction {
            place: Place::Copies(copied),
            ..
        }) = &self.transaction
        else {
            return self.pass(segment).await;
        };
        let mut out = BytesMut::new();
        flight::put_query(&mut out, savepoint(segment.class));
        out.unsplit(self.statements.renamed(segment, copied)?);
        self.round_trip(&out).await?;
        let answer = self.engine.answer().await?;
        if answer.error.is_none() {
            self.note_locks(segment.class).await?;
        }
        Ok(self.accept(answer, 0, segment))
    }

    /// Copies the tables that a text names, unless the transaction has copies of them, and applies
    /// the writes that were read back.
    async fn copy_tables(&mut self, text: &str) -> Result<Result<(), Failure>, Ending> {
        let Some(transaction) = &mut self.transaction else {
            return Ok(Ok(()));
        };
        let (writes, mut copied) = match &mut transaction.place {
            Place::Tables => return Ok(Ok(())),
            Place::Aside(writes) => (Some(std::mem::take(writes)), Copied::default()),
            Place::Copies(copied) => (None, copied.clone()),
        };
        let tables = writes
            .as_ref()
            .map_or_else(|| "{}".to_owned(), Writes::tables);
        let copy = format!(
            "SELECT * FROM pg_toast.dsql_copy_tables({}, '{tables}')",
            literal(text)
        );
        let rows = match self.engine.query(&copy).await? {
            Ok(rows) => rows,
            Err(failure) => return Ok(Err(failure)),
        };
        let has_new = !rows.is_empty();
        for row in rows {
            if let [Some(schema), Some(name), Some(copy)] = &row[..] {
                copied.add(schema.clone(), name.clone(), copy.clone());
            }
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.place = Place::Copies(copied);
        }
        if let Some(writes) = writes.filter(|writes| !writes.is_empty()) {
            let images = literal(&writes.images());
            let apply = format!("SELECT pg_toast.dsql_apply_to_copies({images})");
            if let Err(failure) = self.engine.query(&apply).await? {
                return Ok(Err(failure));
            }
        }
        if has_new {
            // Prepared statements must resolve their tables again.
            self.query("DISCARD PLANS").await?;
        }
        Ok(Ok(()))
    }

    /// Prepares statements again if their text in the engine names the tables of another place.
    pub(super) async fn prepare_again(&mut self, segment: &Segment) -> Result<(), Ending> {
        let copied = match &self.transaction {
            Some(Transaction {
                place: Place::Copies(copied),
                ..
            }) => Some(copied),
            _ => None,
        };
        let mut out = BytesMut::new();
        self.statements.put_renamed(segment, copied, &mut out)?;
        if !out.is_empty() {
            self.round_trip(&out).await?;
        }
        Ok(())
    }
}
