//! What a notifier does with what it remembers: takes in news, hands out letters, notes how they fared.
//! Pure: time and random numbers come from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use kronos_core::{Entropy, Error, Id, Result, Timestamp};

use super::letter::{PingKind, PingSignal};
use super::news::News;
use super::outbox::Taken;
use super::policy::{admits, close, due_at};
use super::quiet::Quiet;
use super::render;
use super::settings::{Channel, Way};
use super::state::{ChannelState, NotifyState};
use crate::report::{Ended, Operation, RunReport};

/// Signals that wait at most: one for each job.
const SIGNALS: usize = 5000;

/// What is kept for a channel that no configuration has any more.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// A channel that was checked.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) channel: Channel,
    pub(super) quiet: Option<Quiet>,
}

pub(super) type Channels = BTreeMap<String, Ready>;

impl Ready {
    /// The ways with the names of their outboxes.
    fn ways(&self) -> impl Iterator<Item = (String, &Way)> {
        let ways = &self.channel.ways;
        ways.iter().enumerate().map(|(n, way)| {
            let same = ways[..n].iter().filter(|other| other.name() == way.name()).count();
            (if same == 0 { way.name().to_owned() } else { format!("{}-{}", way.name(), same + 1) }, way)
        })
    }

    fn pings(&self) -> impl Iterator<Item = String> {
        self.ways().filter(|(_, way)| matches!(way, Way::Ping(_))).map(|(name, _)| name)
    }

    fn writes(&self) -> impl Iterator<Item = String> {
        self.ways().filter(|(_, way)| !matches!(way, Way::Ping(_))).map(|(name, _)| name)
    }
}

/// One letter that is to be sent.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) channel: String,
    pub(super) outbox: String,
    pub(super) way: Way,
    pub(super) taken: Taken,
}

/// Takes in what has happened, for these channels.
pub(super) fn take_in(state: &mut NotifyState, channels: &Channels, news: &News, to: &[String], now: Timestamp) {
    let lesson = state.history.learn(news);
    for (name, ready) in channels {
        let known = state.channels.entry(name.clone()).or_default();
        known.touched = now;
        for subject in &lesson.over {
            known.told.remove(subject);
        }
        for notice in &lesson.notices {
            // Whoever was told that a storage is down hears that it is back, from whatever job.
            let was_told = notice.subject.as_ref().is_some_and(|subject| known.told.contains_key(subject));
            let is_end = notice.occasion.ends().is_some() && was_told;
            if (is_end || to.contains(name)) && admits(&ready.channel, known, notice) {
                known.waiting.push_back(notice.clone());
            }
        }
        if let News::Ended(report) = news
            && to.contains(name)
        {
            let kind = match report.ended {
                Ended::Succeeded | Ended::Warnings | Ended::Nothing => Some(PingKind::Success),
                Ended::Failed => Some(PingKind::Failure),
                Ended::Cancelled => None,
            };
            if let Some(kind) = kind {
                signal(known, ready, report, kind, report.finished);
            }
        }
        close(&ready.channel, ready.quiet.as_ref(), known, &ready.writes().collect::<Vec<_>>(), now, false);
    }
    state.channels.retain(|name, known| channels.contains_key(name) || now.since(known.touched) < KEPT);
}

/// Tells dead man's switches that a run begins.
pub(super) fn begin(state: &mut NotifyState, channels: &Channels, report: &RunReport, to: &[String]) {
    for (name, ready) in channels.iter().filter(|(name, _)| to.contains(name)) {
        let known = state.channels.entry(name.clone()).or_default();
        known.touched = report.started;
        signal(known, ready, report, PingKind::Start, report.started);
    }
}

/// Only backups count: a switch that a verification keeps calm would not tell that there are no new ones.
fn signal(known: &mut ChannelState, ready: &Ready, report: &RunReport, kind: PingKind, at: Timestamp) {
    if report.operation != Operation::Backup {
        return;
    }
    for name in ready.pings() {
        let text = render::summary(report);
        let ping = PingSignal { job: report.job.clone(), run: report.run, kind, at, text };
        known.ways.entry(name).or_default().signal(ping, SIGNALS);
    }
}

/// Takes what is due, at most one letter for each way.
pub(super) fn take_due(
    state: &mut NotifyState,
    channels: &Channels,
    now: Timestamp,
    hurry: bool,
    entropy: &dyn Entropy,
) -> Vec<Errand> {
    let mut errands = Vec::new();
    for (name, ready) in channels {
        let Some(known) = state.channels.get_mut(name) else { continue };
        let quiet = ready.quiet.as_ref();
        close(&ready.channel, quiet, known, &ready.writes().collect::<Vec<_>>(), now, hurry);
        for (outbox, way) in ready.ways() {
            let Some(queue) = known.ways.get_mut(&outbox) else { continue };
            if let Some(taken) = queue.take(quiet, now, Id(random(entropy))) {
                errands.push(Errand { channel: name.clone(), outbox, way: way.clone(), taken });
            }
        }
    }
    errands
}

/// Notes how a letter fared; gives the time of the next attempt after a failure, if there is one.
pub(super) fn settle(
    state: &mut NotifyState,
    errand: &Errand,
    outcome: &Result<()>,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Option<Timestamp> {
    let outbox = state.channels.get_mut(&errand.channel)?.ways.get_mut(&errand.outbox)?;
    match outcome {
        Ok(()) => {
            outbox.arrived(&errand.taken);
            None
        }
        Err(error) => outbox.failed(&errand.taken, error, now, u16::from_le_bytes(random(entropy))),
    }
}

/// When something is due next.
pub(super) fn next(state: &NotifyState, channels: &Channels, now: Timestamp) -> Option<Timestamp> {
    let of_one = |(name, ready): (&String, &Ready)| {
        let known = state.channels.get(name)?;
        let quiet = ready.quiet.as_ref();
        let waiting = known.waiting.iter().map(|notice| due_at(&ready.channel, quiet, known.last, notice, now, false));
        let ways = ready.ways().filter_map(|(outbox, _)| known.ways.get(&outbox)?.due_at(quiet, now));
        waiting.chain(ways).min()
    };
    channels.iter().filter_map(of_one).min()
}

fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The error that a channel is not there.
pub(super) fn unknown(channels: &Channels, name: &str) -> Error {
    let names = channels.keys().map(String::as_str);
    let error =
        Error::new(kronos_core::ErrorKind::Config, "there is no such channel for notifications").with("channel", name);
    match kronos_core::nearest(name, names.clone()) {
        Some(near) => error.with("did you mean", near),
        None => error.with("known", names.collect::<Vec<_>>().join(" ")),
    }
}
