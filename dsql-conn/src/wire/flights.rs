//! Counts the pending replies of the server.

use std::collections::VecDeque;

use super::frames::STARTUP;

/// Messages in flight, up to the `ReadyForQuery` that answers them.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// Oldest first.
    pending: VecDeque<Flight>,
    /// Messages since the last flight was complete.
    incomplete: Incomplete,
    /// The server expects rows for `COPY .. FROM STDIN`.
    copying_in: bool,
}

/// Messages that the server answers with one `ReadyForQuery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flight {
    /// A startup packet, a simple query or a function call.
    Simple,
    /// Messages of the extended protocol up to `Sync`.
    Extended,
    /// `Close` and `Sync`: the driver drops a prepared statement. Never waited for, because it
    /// changes nothing for the next user of the connection.
    Housekeeping,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Incomplete {
    #[default]
    Nothing,
    Closes,
    Work,
}

/// Replies can no longer be matched with requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfStep;

impl Flights {
    /// Follows a message of the driver.
    pub(super) fn sent(&mut self, tag: u8) -> Result<(), OutOfStep> {
        let flight = match tag {
            STARTUP | b'Q' | b'F' => Flight::Simple,
            b'S' => match self.incomplete {
                Incomplete::Closes => Flight::Housekeeping,
                Incomplete::Nothing | Incomplete::Work => Flight::Extended,
            },
            b'C' if self.incomplete != Incomplete::Work => {
                self.incomplete = Incomplete::Closes;
                return Ok(());
            }
            // A password and Terminate have no reply of their own.
            b'p' | b'X' => return Ok(()),
            // CopyFail. The number of replies to it depends on how far the COPY got.
            b'f' => return Err(OutOfStep),
            _ => {
                self.incomplete = Incomplete::Work;
                return Ok(());
            }
        };
        self.incomplete = Incomplete::Nothing;
        self.pending.push_back(flight);
        Ok(())
    }

    /// `ReadyForQuery` arrived.
    pub(super) fn ready(&mut self) -> Result<(), OutOfStep> {
        self.copying_in = false;
        self.pending.pop_front().map(drop).ok_or(OutOfStep)
    }

    /// `CopyInResponse` arrived. The driver sends two Syncs for a COPY, before its rows and behind
    /// them; the server answers only the second. A COPY by simple query never gets rows from this
    /// driver and would wait for them forever.
    pub(super) fn copy_in_begins(&mut self) -> Result<(), OutOfStep> {
        match self.pending.pop_front() {
            Some(Flight::Extended) => {
                self.copying_in = true;
                Ok(())
            }
            _ => Err(OutOfStep),
        }
    }

    pub(super) fn command_completed(&mut self) {
        self.copying_in = false;
    }

    /// An error arrived. How many Syncs of a failed COPY stay unanswered depends on when it failed.
    pub(super) fn failed(&self) -> Result<(), OutOfStep> {
        match self.copying_in {
            true => Err(OutOfStep),
            false => Ok(()),
        }
    }

    /// Returns the number of pending replies, without those to `Close`.
    pub(super) fn due(&self) -> usize {
        let is_work = |flight: &&Flight| **flight != Flight::Housekeeping;
        self.pending.iter().filter(is_work).count()
    }

    /// Returns whether no reply is pending and no request is incomplete.
    pub(super) fn is_settled(&self) -> bool {
        self.incomplete != Incomplete::Work && !self.copying_in && self.due() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(flights: &mut Flights, tags: &[u8]) {
        for &tag in tags {
            flights.sent(tag).unwrap();
        }
    }

    #[test]
    fn a_statement_is_pending_from_first_message_to_reply() {
        let mut flights = Flights::default();
        sent(&mut flights, b"PD");
        assert!(!flights.is_settled(), "without its Sync");
        sent(&mut flights, b"S");
        assert!(!flights.is_settled(), "with its Sync");
        flights.ready().unwrap();
        assert!(flights.is_settled());
    }

    #[test]
    fn housekeeping_is_not_waited_for() {
        let mut flights = Flights::default();
        sent(&mut flights, b"CS");
        assert!(flights.is_settled());
        sent(&mut flights, b"BES");
        assert!(!flights.is_settled());
        flights.ready().unwrap();
        assert!(!flights.is_settled(), "that answered the housekeeping");
        flights.ready().unwrap();
        assert!(flights.is_settled());
    }

    #[test]
    fn copy_in_is_answered_once_for_its_two_syncs() {
        let mut flights = Flights::default();
        sent(&mut flights, b"BES");
        flights.copy_in_begins().unwrap();
        assert!(!flights.is_settled(), "rows are expected");
        sent(&mut flights, b"ddcS");
        flights.command_completed();
        flights.ready().unwrap();
        assert!(flights.is_settled());
    }

    #[test]
    fn replies_that_cannot_be_matched_are_noticed() {
        assert_eq!(Flights::default().ready(), Err(OutOfStep), "surplus reply");

        let mut simple_copy = Flights::default();
        sent(&mut simple_copy, b"Q");
        assert_eq!(simple_copy.copy_in_begins(), Err(OutOfStep));

        let mut failed_copy = Flights::default();
        sent(&mut failed_copy, b"BES");
        failed_copy.copy_in_begins().unwrap();
        assert_eq!(failed_copy.failed(), Err(OutOfStep));

        assert_eq!(Flights::default().sent(b'f'), Err(OutOfStep), "CopyFail");
    }
}
