//! What a follower and its tasks share: how far everything is kept, and where it ends.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mongodb::bson::Timestamp;

/// Seconds and increment as one number, in the order of time.
pub(super) fn number(moment: Timestamp) -> u64 {
    u64::from(moment.time) << 32 | u64::from(moment.increment)
}

#[derive(Debug, Default)]
struct State {
    newest: u64,
    end: Option<u64>,
}

/// The end is fixed while no entry is on its way into a spool, so that all tasks cut at one moment.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<State>);

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is part of it.
    Keep,
    /// It and all after it are later than the end.
    Beyond,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Two numbers: they are whole whoever has panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an entry of that moment is kept.
    pub(super) fn take(&self, moment: u64) -> Fate {
        let mut state = self.state();
        match state.end {
            Some(end) if moment > end => Fate::Beyond,
            _ => {
                state.newest = state.newest.max(moment);
                Fate::Keep
            }
        }
    }

    /// Fixes the end: this moment, or that of the newest entry that is kept already.
    pub(super) fn end_at(&self, moment: Timestamp) -> Timestamp {
        let mut state = self.state();
        let end = number(moment).max(state.newest);
        state.end = Some(end);
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        Timestamp { time: (end >> 32) as u32, increment: end as u32 }
    }

    /// Where it ends, if that is known.
    pub(super) fn end(&self) -> Option<u64> {
        self.state().end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_already_is_not_cut_off() {
        let (shared, at) = (Shared::default(), |time, increment| Timestamp { time, increment });
        assert_eq!(shared.take(number(at(5, 3))), Fate::Keep);
        assert_eq!(shared.end_at(at(5, 1)), at(5, 3));
        // The rest of one transaction is of the same moment.
        assert_eq!((shared.take(number(at(5, 3))), shared.take(number(at(5, 4)))), (Fate::Keep, Fate::Beyond));
    }
}
