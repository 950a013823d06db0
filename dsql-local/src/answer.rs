//! Which of the engine's answers belongs to which of the client's frames.
//! `forward` asks for each frame it passes on, and is told for each answer whether to change it.

use std::collections::VecDeque;

use crate::fault::Effect;
use crate::refusal::Refusal;

/// What the client sees in place of the engine's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The answer itself.
    #[default]
    AsIs,
    /// The answer with another command tag.
    Tag(&'static str),
    /// A refusal in place of the error that the marker provoked.
    Refuse(Refusal),
    /// An error in place of success.
    Instead(Refusal),
    /// What strikes in place of success, if this was a commit.
    Committed(Effect),
    /// Nothing: the front asked, not the client.
    Swallow,
}

/// A frame that an answer is due for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A simple query: one reply per statement, then `ReadyForQuery`.
    Query(VecDeque<Reply>),
    /// A function call: its result, then `ReadyForQuery`.
    Call,
    Parse(Reply),
    Bind(Reply),
    Describe,
    Execute(Reply),
    Close,
    /// The end of copied data, which has no answer of its own.
    CopyEnd,
    Sync,
}

impl Due {
    fn ends_with_ready(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Call | Self::Sync)
    }
}

/// The answers that are still due, in order.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    due: VecDeque<Due>,
    /// After an error, the engine ignores everything up to a Sync.
    skipping: bool,
    /// While the client copies data in, the engine ignores Syncs.
    copying: bool,
}

impl Answers {
    /// Notes a frame that was passed on.
    pub(crate) fn ask(&mut self, due: Due) {
        match due {
            Due::Sync if self.copying => return,
            Due::Sync => self.skipping = false,
            // There is no answer that would strike it off while nobody copies, and two are no more
            // than one.
            Due::CopyEnd if self.due.back() == Some(&Due::CopyEnd) => return,
            Due::CopyEnd => self.copying = false,
            _ if self.skipping => return,
            _ => {}
        }
        self.due.push_back(due);
    }

    /// Returns whether some `ReadyForQuery` is due.
    pub(crate) fn awaits_ready(&self) -> bool {
        self.due.iter().rev().any(Due::ends_with_ready)
    }

    /// Returns how many `ReadyForQuery` are due.
    pub(crate) fn ready_due(&self) -> usize {
        self.due.iter().filter(|due| due.ends_with_ready()).count()
    }

    /// A statement completed.
    pub(crate) fn completed(&mut self) -> Reply {
        match self.front() {
            Some(Due::Query(replies)) => replies.pop_front().unwrap_or_default(),
            _ => self.pop(),
        }
    }

    /// Anything else that has an answer of its own was answered: parse, bind, describe or close.
    pub(crate) fn answered(&mut self) -> Reply {
        match self.front() {
            Some(Due::Query(_)) => Reply::AsIs,
            _ => self.pop(),
        }
    }

    /// The engine is ready to copy data in.
    pub(crate) fn copies_in(&mut self) {
        let end = self.due.iter().position(|due| *due == Due::CopyEnd);
        self.copying = end.is_none();
        // The Syncs between the statement and the end of its data are not answered.
        let mut index = 0;
        self.due.retain(|due| {
            index += 1;
            *due != Due::Sync || end.is_some_and(|end| index > end)
        });
    }

    /// The engine reported an error.
    pub(crate) fn failed(&mut self) -> Reply {
        self.copying = false;
        match self.front() {
            Some(Due::Query(replies)) => {
                let reply = replies.pop_front().unwrap_or_default();
                replies.clear();
                reply
            }
            Some(Due::Call | Due::Sync) | None => Reply::AsIs,
            Some(_) => {
                let reply = self.pop();
                while self.due.front().is_some_and(|due| *due != Due::Sync) {
                    self.due.pop_front();
                }
                self.skipping = self.due.is_empty();
                reply
            }
        }
    }

    /// The engine is ready for the next query.
    pub(crate) fn ready(&mut self) {
        while let Some(due) = self.due.pop_front() {
            if due.ends_with_ready() {
                break;
            }
        }
    }

    fn front(&mut self) -> Option<&mut Due> {
        while self.due.front() == Some(&Due::CopyEnd) {
            self.due.pop_front();
        }
        self.due.front_mut()
    }

    fn pop(&mut self) -> Reply {
        // What ends with ReadyForQuery stays until it comes.
        match self.due.pop_front_if(|due| !due.ends_with_ready()) {
            Some(Due::Parse(reply) | Due::Bind(reply) | Due::Execute(reply)) => reply,
            _ => Reply::AsIs,
        }
    }
}

/// Stands in for what is refused: the engine complains of it by this name.
pub(crate) const MARKER: &str = "dsql_local_refused";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_skips_to_the_next_sync() {
        let mut answers = Answers::default();
        answers.ask(Due::Parse(Reply::Refuse(Refusal::WakingUp)));
        answers.ask(Due::Describe);
        assert_eq!(answers.failed(), Reply::Refuse(Refusal::WakingUp));
        answers.ask(Due::Execute(Reply::Tag("never")));
        assert!(!answers.awaits_ready());
        answers.ask(Due::Sync);
        answers.ask(Due::Query([Reply::Tag("next")].into()));
        answers.ready();
        assert_eq!(answers.completed(), Reply::Tag("next"));
        assert_eq!(answers.completed(), Reply::AsIs);
        answers.ready();
        assert!(!answers.awaits_ready());
    }

    #[test]
    fn the_sync_before_copied_data_has_no_answer() {
        for data_first in [true, false] {
            let mut answers = Answers::default();
            answers.ask(Due::Execute(Reply::Tag("copied")));
            answers.ask(Due::Sync);
            if !data_first {
                answers.copies_in();
            }
            answers.ask(Due::CopyEnd);
            answers.ask(Due::Sync);
            if data_first {
                answers.copies_in();
            }
            assert_eq!(answers.completed(), Reply::Tag("copied"));
            answers.ready();
            assert!(!answers.awaits_ready());
        }
    }

    #[test]
    fn answers_that_nobody_asked_for_change_nothing() {
        let mut answers = Answers::default();
        answers.ready();
        assert_eq!(answers.completed(), Reply::AsIs);
        assert_eq!(answers.answered(), Reply::AsIs);
        assert_eq!(answers.failed(), Reply::AsIs);
    }
}
