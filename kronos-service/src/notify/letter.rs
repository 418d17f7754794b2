//! What is sent in one go.

use kronos_core::{Id, Timestamp};
use serde::{Deserialize, Serialize};

use super::notice::Notice;

/// One message, as it is handed to a [`Courier`](super::Courier).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Letter {
    /// Its identity: the same when it is sent again, because nobody knows whether it has arrived.
    pub id: Id,
    /// When it is sent.
    pub at: Timestamp,
    /// The machine it comes from.
    pub host: Option<String>,
    /// What it says.
    pub contents: Contents,
    /// How many notices before it were given up.
    pub lost: u64,
}

/// What a letter says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contents {
    /// What has happened, oldest first.
    Notices(Vec<Notice>),
    /// A signal for a dead man's switch.
    Ping(PingSignal),
    /// Somebody tries whether messages arrive.
    Test,
}

/// A signal for a dead man's switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingSignal {
    /// The job.
    pub job: String,
    /// The run.
    pub run: Id,
    /// What it says.
    pub kind: PingKind,
    /// When that was.
    pub at: Timestamp,
    /// Some lines about it.
    pub text: String,
}

/// What a signal for a dead man's switch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PingKind {
    /// A backup begins.
    Start,
    /// It is made.
    Success,
    /// It has failed.
    Failure,
}
