//! Matches the engine's replies with the client's frames. `server::request` adds each frame that it
//! forwards; `server::reply` asks for each reply whether to change it.

use std::collections::VecDeque;

use crate::faults::Effect;
use crate::refusal::Refusal;

/// What the client sees in place of the engine's reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The reply itself.
    #[default]
    AsIs,
    /// The reply with another command tag.
    Tag(&'static str),
    /// A refusal in place of the error that [`MARKER`] caused.
    Refuse(Refusal),
    /// An error in place of success.
    Instead(Refusal),
    /// A fault's effect in place of success, if this was a commit.
    Committed(Effect),
    /// Nothing: the server sent the frame, not the client.
    Swallow,
}

/// A frame whose reply is pending.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// A simple query: one reply per statement, then `ReadyForQuery`.
    Query(VecDeque<Reply>),
    /// A function call: its result, then `ReadyForQuery`.
    Call,
    Parse(Reply),
    Bind(Reply),
    Describe,
    Execute(Reply),
    Close,
    /// The end of copied data, which has no reply of its own.
    CopyEnd,
    Sync,
}

impl Pending {
    fn ends_with_ready(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Call | Self::Sync)
    }
}

/// The frames whose replies are pending, in order.
#[derive(Debug, Default)]
pub(crate) struct PendingReplies {
    frames: VecDeque<Pending>,
    /// After an error, the engine ignores everything up to a Sync.
    skipping: bool,
    /// While the client copies data in, the engine ignores Syncs.
    copying: bool,
}

impl PendingReplies {
    /// Adds a frame that was forwarded.
    pub(crate) fn add(&mut self, pending: Pending) {
        match pending {
            Pending::Sync if self.copying => return,
            Pending::Sync => self.skipping = false,
            // Outside of COPY no reply removes this frame, so keep only one.
            Pending::CopyEnd if self.frames.back() == Some(&Pending::CopyEnd) => return,
            Pending::CopyEnd => self.copying = false,
            Pending::Query(_)
            | Pending::Call
            | Pending::Parse(_)
            | Pending::Bind(_)
            | Pending::Describe
            | Pending::Execute(_)
            | Pending::Close => {
                if self.skipping {
                    return;
                }
            }
        }
        self.frames.push_back(pending);
    }

    /// Returns whether a `ReadyForQuery` is pending.
    pub(crate) fn awaits_ready(&self) -> bool {
        self.frames.iter().rev().any(Pending::ends_with_ready)
    }

    /// Returns how many `ReadyForQuery` are pending.
    pub(crate) fn ready_count(&self) -> usize {
        self.frames
            .iter()
            .filter(|pending| pending.ends_with_ready())
            .count()
    }

    /// Takes the reply that completed a statement.
    pub(crate) fn completed(&mut self) -> Reply {
        if let Some(Pending::Query(replies)) = self.front() {
            return replies.pop_front().unwrap_or_default();
        }
        self.pop()
    }

    /// Takes the reply to a parse, bind, describe or close.
    pub(crate) fn replied(&mut self) -> Reply {
        if let Some(Pending::Query(_)) = self.front() {
            return Reply::AsIs;
        }
        self.pop()
    }

    /// Takes the engine's request for copied data.
    pub(crate) fn copies_in(&mut self) {
        let end = self
            .frames
            .iter()
            .position(|pending| *pending == Pending::CopyEnd);
        self.copying = end.is_none();
        // The engine ignores the Syncs between the statement and the end of its data.
        let mut index = 0;
        self.frames.retain(|pending| {
            index += 1;
            *pending != Pending::Sync || end.is_some_and(|end| index > end)
        });
    }

    /// Takes an error.
    pub(crate) fn failed(&mut self) -> Reply {
        self.copying = false;
        match self.front() {
            Some(Pending::Query(replies)) => {
                let reply = replies.pop_front().unwrap_or_default();
                replies.clear();
                reply
            }
            Some(Pending::Call | Pending::Sync) | None => Reply::AsIs,
            Some(_) => {
                let reply = self.pop();
                while self
                    .frames
                    .front()
                    .is_some_and(|pending| *pending != Pending::Sync)
                {
                    self.frames.pop_front();
                }
                self.skipping = self.frames.is_empty();
                reply
            }
        }
    }

    /// Takes a `ReadyForQuery`.
    pub(crate) fn ready(&mut self) {
        while let Some(pending) = self.frames.pop_front() {
            if pending.ends_with_ready() {
                break;
            }
        }
    }

    fn front(&mut self) -> Option<&mut Pending> {
        while self.frames.front() == Some(&Pending::CopyEnd) {
            self.frames.pop_front();
        }
        self.frames.front_mut()
    }

    fn pop(&mut self) -> Reply {
        // A frame that ends with ReadyForQuery stays until that arrives.
        let frames = &mut self.frames;
        let is_answered = frames
            .front()
            .is_some_and(|pending| !pending.ends_with_ready());
        match is_answered.then(|| frames.pop_front()).flatten() {
            Some(Pending::Parse(reply) | Pending::Bind(reply) | Pending::Execute(reply)) => reply,
            Some(
                Pending::Query(_)
                | Pending::Call
                | Pending::Describe
                | Pending::Close
                | Pending::CopyEnd
                | Pending::Sync,
            )
            | None => Reply::AsIs,
        }
    }
}

/// Replaces a refused statement: the engine's error message contains this name.
pub(crate) const MARKER: &str = "dsql_local_refused";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_skips_to_the_next_sync() {
        let mut pending = PendingReplies::default();
        pending.add(Pending::Parse(Reply::Refuse(Refusal::WakingUp)));
        pending.add(Pending::Describe);
        assert_eq!(pending.failed(), Reply::Refuse(Refusal::WakingUp));
        pending.add(Pending::Execute(Reply::Tag("never")));
        assert!(!pending.awaits_ready());
        pending.add(Pending::Sync);
        pending.add(Pending::Query([Reply::Tag("next")].into()));
        pending.ready();
        assert_eq!(pending.completed(), Reply::Tag("next"));
        assert_eq!(pending.completed(), Reply::AsIs);
        pending.ready();
        assert!(!pending.awaits_ready());
    }

    #[test]
    fn the_sync_before_copied_data_has_no_reply() {
        for data_first in [true, false] {
            let mut pending = PendingReplies::default();
            pending.add(Pending::Execute(Reply::Tag("copied")));
            pending.add(Pending::Sync);
            if !data_first {
                pending.copies_in();
            }
            pending.add(Pending::CopyEnd);
            pending.add(Pending::Sync);
            if data_first {
                pending.copies_in();
            }
            assert_eq!(pending.completed(), Reply::Tag("copied"));
            pending.ready();
            assert!(!pending.awaits_ready());
        }
    }

    #[test]
    fn unexpected_replies_change_nothing() {
        let mut pending = PendingReplies::default();
        pending.ready();
        assert_eq!(pending.completed(), Reply::AsIs);
        assert_eq!(pending.replied(), Reply::AsIs);
        assert_eq!(pending.failed(), Reply::AsIs);
    }
}
