//! Who is told of what, and when: what a channel wants to hear, quiet hours, no storms. Pure.

use std::collections::VecDeque;

use kronos_core::Timestamp;

use super::notice::Notice;
use super::quiet::Quiet;
use super::settings::Channel;
use super::state::{ChannelState, Item};

/// So many notices wait at most.
const WAITING: usize = 200;

/// Whether a channel is told of it, and what it then remembers.
pub(super) fn admits(channel: &Channel, state: &mut ChannelState, notice: &Notice) -> bool {
    let wanted = channel.on.contains(&notice.occasion);
    let Some(subject) = &notice.subject else { return wanted };
    if let Some(trouble) = notice.occasion.ends() {
        // Told of the end is who was told of the beginning, or does not want to hear of beginnings.
        let was_told = state.told.remove(subject).is_some();
        return wanted && (was_told || !channel.on.contains(&trouble));
    }
    let due = state
        .told
        .get(subject)
        .is_none_or(|last| channel.every_nth > 0 && notice.times >= last.saturating_add(channel.every_nth));
    if wanted && due {
        state.told.insert(subject.clone(), notice.times);
    }
    wanted && due
}

/// Puts what is due into the outboxes of these ways. `hurry` does not wait for others to come along.
pub(super) fn close(
    channel: &Channel,
    quiet: Option<&Quiet>,
    state: &mut ChannelState,
    ways: &[String],
    now: Timestamp,
    hurry: bool,
) {
    let (due, held): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut state.waiting)
        .into_iter()
        .partition(|notice| due_at(channel, quiet, state.last, notice, now, hurry) <= now);
    state.waiting = held;
    if !due.is_empty() {
        state.last = Some(now);
        for way in ways {
            let outbox = state.ways.entry(way.clone()).or_default();
            outbox.queue.extend(due.iter().cloned().map(|notice| Item::Notice(Box::new(notice))));
            outbox.bound(WAITING);
        }
    }
    while state.waiting.len() > WAITING {
        state.waiting.pop_front();
        for way in ways {
            state.ways.entry(way.clone()).or_default().lost += 1;
        }
    }
}

/// When something that waits may go out.
pub(super) fn due_at(
    channel: &Channel,
    quiet: Option<&Quiet>,
    last: Option<Timestamp>,
    notice: &Notice,
    now: Timestamp,
    hurry: bool,
) -> Timestamp {
    if let Some(end) = quiet.and_then(|quiet| quiet.until(notice.severity, now)) {
        return end;
    }
    match last {
        // A clock that was set back must not hold anything up.
        Some(last) if !hurry && last <= now => last.plus(channel.group_within),
        _ => now,
    }
}
