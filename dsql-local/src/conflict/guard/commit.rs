//! COMMIT: the first transaction to commit wins, the others fail with OC000.

use bytes::BytesMut;

use super::transaction::Place;
use super::{ATTEMPTS, Guard, is_true};
use crate::conflict::flight::Segment;
use crate::conflict::writes::{Change, Origins, Writes};
use crate::protocol::ending::Ending;
use crate::sql::role::literal;

impl Guard<'_> {
    /// Commits a transaction whose writes are in the tables, while others are open.
    pub(super) async fn commit(&mut self, segment: &Segment) -> Result<bool, Ending> {
        self.quiesce().await;
        let writes = self.writes().await?;
        if self.conflicts(&writes).await? {
            self.query("SELECT pg_toast.dsql_fail_commit()").await?;
        }
        self.send_commit(segment, writes).await
    }

    /// Commits a transaction that was moved aside: a new transaction applies its writes.
    pub(super) async fn commit_aside(&mut self, segment: &Segment) -> Result<bool, Ending> {
        self.quiesce().await;
        let place = self.transaction.as_mut().map(|transaction| {
            std::mem::replace(&mut transaction.place, Place::Aside(Writes::default()))
        });
        let writes = match place {
            Some(Place::Aside(writes)) => writes,
            Some(Place::Copies(_)) => self.writes().await?,
            Some(Place::Tables) | None => Writes::default(),
        };
        let conflicts = self.conflicts(&writes).await?;
        self.query("ROLLBACK").await?;
        if conflicts || !self.apply(&writes).await? {
            self.query("BEGIN").await?;
            self.query("SELECT pg_toast.dsql_fail_commit()").await?;
        }
        self.send_commit(segment, writes).await
    }

    /// Applies writes in a new transaction, which stays open. Returns false if they conflict.
    async fn apply(&mut self, writes: &Writes) -> Result<bool, Ending> {
        let images = literal(&writes.images());
        let apply = format!("SELECT pg_toast.dsql_apply_writes({images})");
        for attempt in 1.. {
            self.query("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
            let Err(failure) = self.engine.query(&apply).await? else {
                return Ok(true);
            };
            self.query("ROLLBACK").await?;
            match failure.sqlstate.as_str() {
                "55P03" | "40P01" if attempt < ATTEMPTS => {
                    let token = self.token().await?;
                    self.member.move_others_aside(&token, false).await;
                }
                "40001" if attempt < ATTEMPTS => {}
                _ => break,
            }
        }
        Ok(false)
    }

    async fn send_commit(&mut self, segment: &Segment, writes: Writes) -> Result<bool, Ending> {
        let at = self.member.commit_time();
        let mut out = BytesMut::new();
        segment.put(&mut out);
        let answer = self.round_trip(&out).await?;
        if answer.error.is_none() {
            self.member.committed(at, writes);
        }
        Ok(self.accept(answer, 0, segment))
    }

    /// Returns whether the writes conflict with a transaction that committed after the snapshot.
    async fn conflicts(&mut self, writes: &Writes) -> Result<bool, Ending> {
        let mut origins = Origins::default();
        for later in self.member.later_commits() {
            if later.share_keys(writes) {
                return Ok(true);
            }
            let later = later.since_snapshot(&mut origins);
            for (one, other) in later.same_rows(writes) {
                let excludes = match one.excludes(&other) {
                    Some(excludes) => excludes,
                    None => self.changes_key(&one, &other).await?,
                };
                if excludes {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Returns whether the row has another key in these two versions.
    async fn changes_key(&mut self, one: &Change, other: &Change) -> Result<bool, Ending> {
        let image = |change: &Change| literal(change.image.as_deref().unwrap_or_default());
        let changes = format!(
            "SELECT pg_toast.dsql_changes_key({}, {}, {})",
            one.table,
            image(one),
            image(other)
        );
        Ok(is_true(self.query(&changes).await?))
    }
}
