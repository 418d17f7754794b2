//! What goes out by one way: taken, sent, tried again, given up. Pure.

use std::time::Duration;

use kronos_core::{Error, Id, Retry, Timestamp};

use super::letter::{Contents, PingSignal};
use super::quiet::Quiet;
use super::state::{Attempt, Item, Outbox};

/// The pause after the first failed attempt; it doubles, up to the longest.
const PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The longest pause that a receiver may ask for.
const LONGEST_WISH: Duration = Duration::from_hours(6);

/// Whoever sends says within this time how it went.
const LEASE: Duration = Duration::from_mins(15);

/// What could not be sent for so long is given up.
const GIVEN_UP: Duration = Duration::from_hours(3 * 24);

/// What was taken to be sent.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) id: Id,
    pub(super) contents: Contents,
    pub(super) lost: u64,
}

impl Outbox {
    /// When the next attempt is due; none when nothing is to be sent.
    pub(super) fn due_at(&self, quiet: Option<&Quiet>, now: Timestamp) -> Option<Timestamp> {
        let first = self.queue.front()?;
        // A clock that was set back must not hold anything up.
        let not_beyond = |time: Timestamp, most: Duration| if time > now.plus(most) { now } else { time };
        let mut due = now;
        if let Some(attempt) = self.attempt {
            due = due.max(not_beyond(attempt.until, LEASE));
        }
        if let Some(again) = self.again {
            due = due.max(not_beyond(again, LONGEST_WISH));
        }
        let gravest = match first {
            Item::Ping(_) => None,
            Item::Notice(_) => self.queue.iter().filter_map(severity).max(),
        };
        let quiet_until = gravest.and_then(|gravest| quiet?.until(gravest, now));
        Some(due.max(quiet_until.unwrap_or(due)))
    }

    /// Takes what is due. `new` becomes its identity, unless it repeats an attempt.
    pub(super) fn take(&mut self, quiet: Option<&Quiet>, now: Timestamp, new: Id) -> Option<Taken> {
        if self.due_at(quiet, now)? > now {
            return None;
        }
        let (count, contents) = match self.queue.front()? {
            Item::Ping(ping) => (1, Contents::Ping(ping.clone())),
            // After a breakdown everything comes in one message.
            Item::Notice(_) => {
                let notices = self.queue.iter().map_while(|item| match item {
                    Item::Notice(notice) => Some((**notice).clone()),
                    Item::Ping(_) => None,
                });
                let notices: Vec<_> = notices.collect();
                (notices.len(), Contents::Notices(notices))
            }
        };
        let id = match self.before {
            Some((id, before)) if before == count => id,
            _ => new,
        };
        self.attempt = Some(Attempt { id, count, until: now.plus(LEASE) });
        self.before = Some((id, count));
        Some(Taken { id, contents, lost: self.lost })
    }

    /// Notes that what was taken has arrived.
    pub(super) fn arrived(&mut self, taken: &Taken) {
        if let Some(count) = self.finish(taken) {
            self.queue.drain(..count);
            self.lost = self.lost.saturating_sub(taken.lost);
            (self.failed, self.again, self.before) = (0, None, None);
        }
    }

    /// Notes that what was taken has not arrived; gives the time of the next attempt, if there is one.
    pub(super) fn failed(&mut self, taken: &Taken, error: &Error, now: Timestamp, chance: u16) -> Option<Timestamp> {
        let count = self.finish(taken)?;
        if error.retry() == Retry::Never {
            self.give_up(count);
            (self.failed, self.again) = (0, None);
            return None;
        }
        self.failed = self.failed.saturating_add(1);
        let old = self.queue.iter().take_while(|item| now.since(item.at()) > GIVEN_UP).count();
        self.give_up(old);
        let pause = kronos_core::backoff(PAUSE, LONGEST_PAUSE, self.failed, chance);
        let wish = error.retry_after().unwrap_or_default().min(LONGEST_WISH);
        self.again = Some(now.plus(pause.max(wish)));
        if self.queue.is_empty() { None } else { self.again }
    }

    /// Adds a signal; an older one of the same job is of no use any more.
    pub(super) fn signal(&mut self, ping: PingSignal, most: usize) {
        let sending = self.attempt.map_or(0, |attempt| attempt.count);
        let mut n = 0;
        self.queue.retain(|item| {
            n += 1;
            n <= sending || !matches!(item, Item::Ping(old) if old.job == ping.job)
        });
        if sending == 0 {
            // The first one may be another now.
            self.before = None;
        }
        self.queue.push_back(Item::Ping(ping));
        self.bound(most);
    }

    /// Keeps the newest ones.
    pub(super) fn bound(&mut self, most: usize) {
        let sending = self.attempt.map_or(0, |attempt| attempt.count);
        while self.queue.len() > most.max(sending) {
            let is_notice = matches!(self.queue.remove(sending), Some(Item::Notice(_)));
            self.lost += u64::from(is_notice);
            self.before = self.before.filter(|_| sending > 0);
        }
    }

    /// How many were being sent, if it is still this attempt.
    fn finish(&mut self, taken: &Taken) -> Option<usize> {
        let attempt = self.attempt.take_if(|attempt| attempt.id == taken.id)?;
        Some(attempt.count.min(self.queue.len()))
    }

    fn give_up(&mut self, count: usize) {
        let gone = self.queue.drain(..count);
        self.lost += gone.filter(|item| matches!(item, Item::Notice(_))).count() as u64;
        if count > 0 {
            self.before = None;
        }
    }
}

fn severity(item: &Item) -> Option<super::occasion::Severity> {
    match item {
        Item::Notice(notice) => Some(notice.severity),
        Item::Ping(_) => None,
    }
}
