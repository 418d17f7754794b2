//! How far the reading of documents is: what was written meanwhile is complete only after the last.

use kronos_core::{Error, ErrorKind, Result};
use tokio::sync::watch;

/// How many parts are still to be read.
#[derive(Debug)]
pub(super) struct Pace {
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    left: usize,
    has_failed: bool,
}

/// A part that is being read. Dropped before it is done, nobody need wait for the others.
#[derive(Debug)]
pub(super) struct Lap<'a> {
    pace: &'a Pace,
    is_done: bool,
}

impl Pace {
    pub(super) fn new(parts: usize) -> Self {
        Self { state: watch::Sender::new(State { left: parts, has_failed: false }) }
    }

    pub(super) fn begin(&self) -> Lap<'_> {
        Lap { pace: self, is_done: false }
    }

    /// Waits until every part has been read.
    pub(super) async fn all(&self) -> Result<()> {
        let mut seen = self.state.subscribe();
        let state = seen.wait_for(|state| state.left == 0 || state.has_failed).await;
        let state = *state.map_err(|_| super::error::internal("the dump has gone"))?;
        if state.has_failed {
            return Err(Error::new(ErrorKind::Cancelled, "another part of the backup has failed"));
        }
        Ok(())
    }
}

impl Lap<'_> {
    pub(super) fn done(mut self) {
        self.is_done = true;
        self.pace.state.send_modify(|state| state.left -= 1);
    }
}

impl Drop for Lap<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.pace.state.send_modify(|state| state.has_failed = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_wait_for_every_part_and_for_none_that_has_failed() {
        let pace = Pace::new(2);
        pace.begin().done();
        let waited = tokio::time::timeout(std::time::Duration::from_millis(20), pace.all()).await;
        assert!(waited.is_err(), "one part is left");
        pace.begin().done();
        pace.all().await.unwrap();
        let pace = Pace::new(1);
        drop(pace.begin());
        assert_eq!(pace.all().await.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
