//! `strategy` of a job: what the next backup reads.

use std::sync::Arc;
use std::time::Duration;

use kronos_core::{BackupKind, Differential, Full, Incremental, Strategy};

use super::schema::{Key, Kind, Table};
use super::section::Section;

pub(super) static TABLE: Table = Table::new(
    "What is read: all (`full`), what changed since the newest backup (`incremental`), or since the newest full one \
     (`differential`).",
    &[
        Key::new("kind", Kind::Choice(&["full", "incremental", "differential"]), "Which of them.")
            .default("\"incremental\""),
        Key::new("full_every", Kind::Duration, "A full backup once the newest full one is this old.")
            .otherwise("only when it must be")
            .example("\"7d\""),
    ],
);

/// What the next backup of a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrategyChoice {
    /// Which strategy.
    pub kind: BackupKind,
    /// A full backup once the newest full one is this old.
    pub full_every: Option<Duration>,
}

impl StrategyChoice {
    /// The strategy itself.
    pub fn strategy(self) -> Arc<dyn Strategy> {
        match self.kind {
            BackupKind::Full => Arc::new(Full),
            BackupKind::Incremental => Arc::new(Incremental { full_every: self.full_every }),
            BackupKind::Differential => Arc::new(Differential { full_every: self.full_every }),
        }
    }

    pub(super) fn from_section(job: &Section<'_>) -> Option<Self> {
        let Some(section) = job.section("strategy") else {
            return Some(Self { kind: kind(&job.text("strategy")?)?, full_every: None });
        };
        let kind = match section.find("kind") {
            Some(_) => kind(&section.text("kind")?)?,
            None => BackupKind::Incremental,
        };
        match section.find("full_every") {
            Some(entry) if kind == BackupKind::Full => section.tell(section.at(entry, "every backup is full already")),
            _ => {}
        }
        Some(Self { kind, full_every: section.duration("full_every") })
    }
}

fn kind(text: &str) -> Option<BackupKind> {
    match text {
        "full" => Some(BackupKind::Full),
        "incremental" => Some(BackupKind::Incremental),
        "differential" => Some(BackupKind::Differential),
        _ => None,
    }
}
