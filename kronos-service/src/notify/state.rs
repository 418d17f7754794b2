//! What a notifier remembers from one run to the next: the history, what each channel was told, and
//! what waits to be sent. No secret is in it.

use std::collections::{BTreeMap, VecDeque};

use kronos_core::{Id, Timestamp};
use serde::{Deserialize, Serialize};

use super::history::History;
use super::letter::PingSignal;
use super::notice::Notice;

/// What a notifier remembers. Programs keep it as JSON, or as they like, and do not look into it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NotifyState {
    #[serde(default)]
    pub(super) history: History,
    /// By the name of the channel.
    #[serde(default)]
    pub(super) channels: BTreeMap<String, ChannelState>,
}

/// What one channel was told and is still to be told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ChannelState {
    /// When it was last of use.
    #[serde(default)]
    pub(super) touched: Timestamp,
    /// What lasts and was told: how many runs it had met when it was last told.
    #[serde(default)]
    pub(super) told: BTreeMap<String, u32>,
    /// Held back: for quiet hours, or to become one message with others.
    #[serde(default)]
    pub(super) waiting: VecDeque<Notice>,
    /// When something was last handed to the ways.
    #[serde(default)]
    pub(super) last: Option<Timestamp>,
    /// By the name of the way.
    #[serde(default)]
    pub(super) ways: BTreeMap<String, Outbox>,
}

/// What goes out by one way, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Outbox {
    #[serde(default)]
    pub(super) queue: VecDeque<Item>,
    /// Somebody is sending the first ones.
    #[serde(default)]
    pub(super) attempt: Option<Attempt>,
    /// The attempt before, which a next one with the same things repeats.
    #[serde(default)]
    pub(super) before: Option<(Id, usize)>,
    /// Failed attempts in a row.
    #[serde(default)]
    pub(super) failed: u32,
    /// Not before this.
    #[serde(default)]
    pub(super) again: Option<Timestamp>,
    /// Notices that were given up and of which nobody knows yet.
    #[serde(default)]
    pub(super) lost: u64,
}

/// What goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Item {
    Notice(Box<Notice>),
    Ping(PingSignal),
}

impl Item {
    pub(super) fn at(&self) -> Timestamp {
        match self {
            Self::Notice(notice) => notice.at,
            Self::Ping(ping) => ping.at,
        }
    }
}

/// The first `count` ones are being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) id: Id,
    pub(super) count: usize,
    /// Whoever sends them has died if it has not said how that went by then.
    pub(super) until: Timestamp,
}
