//! The dues between the last one that was dealt with and now: which of them come in time, and
//! which have been missed.

use std::time::Duration;

use kronos_core::Timestamp;

use super::Schedule;

/// More dues than this are not counted one by one.
const COUNTED: u64 = 10_000;

/// Whether a number of dues is what they were; else they were more than 10,000, and nobody knows how many.
pub fn is_counted(dues: u64) -> bool {
    dues <= COUNTED
}

/// A number of dues as people are told of it.
pub(crate) fn in_words(dues: u64) -> String {
    if is_counted(dues) { dues.to_string() } else { "more than 10,000".to_owned() }
}

/// Dues that follow on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many they are; more than 10,000 are not counted on, and then it is one of which [`is_counted`]
    /// says no.
    pub count: u64,
    /// The one before the last.
    before_last: Option<Timestamp>,
}

impl Span {
    /// All but the last one.
    pub fn without_last(self) -> Option<Self> {
        // What ends here is not taken apart a second time.
        // What was not counted does not become a number by it.
        let count = if is_counted(self.count) { self.count - 1 } else { self.count };
        self.before_last.map(|last| Self { last, count, before_last: None, ..self })
    }

    fn add(span: Option<Self>, due: Timestamp) -> Self {
        match span {
            None => Self { first: due, last: due, count: 1, before_last: None },
            Some(span) => Self { last: due, count: span.count + 1, before_last: Some(span.last), ..span },
        }
    }
}

/// What is to be dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pending {
    /// Should have begun so long ago that they count as missed.
    pub late: Option<Span>,
    /// Begin now.
    pub timely: Option<Span>,
}

impl Pending {
    /// The last of them all.
    pub fn last(&self) -> Option<Timestamp> {
        self.timely.or(self.late).map(|span| span.last)
    }
}

impl Schedule {
    /// The dues after `handled` whose runs should have begun by `now`; those that should have more
    /// than `tolerance` ago are late.
    pub fn pending(&self, job: &str, handled: Timestamp, now: Timestamp, tolerance: Duration) -> Pending {
        let mut pending = Pending::default();
        let mut at = handled;
        let mut counted = 0;
        while let Some(due) = self.next_due(at).filter(|due| *due <= now) {
            let begins = self.begins(job, due);
            if begins > now {
                break;
            }
            if now.since(begins) > tolerance {
                pending.late = Some(Span::add(pending.late, due));
            } else {
                pending.timely = Some(Span::add(pending.timely, due));
            }
            at = due;
            counted += 1;
            if counted == COUNTED {
                return self.skim(job, pending, now, tolerance);
            }
        }
        pending
    }

    /// The rest of a very long time: only its end is looked at.
    fn skim(&self, job: &str, counted: Pending, now: Timestamp, tolerance: Duration) -> Pending {
        let Some(done) = counted.last() else { return counted };
        let mut window = Duration::from_hours(1);
        loop {
            let from = now.minus(window).max(done);
            let end = self.pending(job, from, now, tolerance);
            // What lies before a late one is late as well; so one of these has to be in the window.
            if end.late.is_some() || from == done {
                return counted.followed_by(end);
            }
            window = window.saturating_mul(4);
        }
    }
}

impl Pending {
    fn followed_by(self, end: Self) -> Self {
        let late = match (self.late, end.late) {
            (Some(before), Some(after)) => Some(Span {
                first: before.first,
                last: after.last,
                count: before.count + after.count,
                before_last: after.before_last.or(Some(before.last)),
            }),
            (before, after) => after.or(before),
        };
        Self { late, timely: end.timely.or(self.timely) }
    }
}
