//! Times the stages of an opening, if a subscriber wants their events.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::event;

/// The stage in progress, and when it began. Reads no clock unless the events are wanted.
#[derive(Debug, Default)]
pub(crate) struct Stages(Mutex<Option<(&'static str, Instant)>>);

impl Stages {
    pub(crate) fn enter(&self, stage: &'static str) {
        if event::wants_stages() {
            self.replace(Some((stage, Instant::now())));
        }
    }

    /// Ends the stage in progress.
    pub(crate) fn end(&self) {
        if event::wants_stages() {
            self.replace(None);
        }
    }

    fn replace(&self, next: Option<(&'static str, Instant)>) {
        let ended = {
            let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, next)
        };
        if let Some((stage, began)) = ended {
            event::stage(stage, began.elapsed());
        }
    }
}
