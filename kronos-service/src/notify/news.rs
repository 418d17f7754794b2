//! What a notifier is told.

use kronos_core::Timestamp;

use crate::mask::mask;
use crate::report::RunReport;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "there is one for each run, and it is moved once or twice")]
pub enum News {
    /// A run has ended.
    Ended(RunReport),
    /// Runs that the schedule wanted did not take place.
    Missed(Missed),
    /// Changes were not captured.
    CaptureGap(CaptureGap),
}

/// Runs that did not take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The job.
    pub job: String,
    /// When the first of them was due.
    pub due: Timestamp,
    /// How many they are; what is above 10,000 is told as more than that.
    pub runs: u32,
    /// When it was noticed.
    pub at: Timestamp,
    /// Why, in one line.
    pub why: String,
    /// Whether one run makes up for them now.
    pub is_made_up: bool,
}

/// A time that no restore can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureGap {
    /// The job.
    pub job: String,
    /// The last moment before it that can be reached.
    pub from: Timestamp,
    /// The first one after it.
    pub to: Timestamp,
    /// Why, in one line.
    pub why: String,
}

impl News {
    /// The same with other words.
    pub(super) fn map_texts(mut self, map: &dyn Fn(&str) -> String) -> Self {
        match &mut self {
            Self::Ended(report) => map_report(report, map),
            Self::Missed(Missed { why, .. }) | Self::CaptureGap(CaptureGap { why, .. }) => *why = map(why),
        }
        self
    }
}

/// The same report with other words.
pub(super) fn map_report(report: &mut RunReport, map: &dyn Fn(&str) -> String) {
    for text in report.warnings.iter_mut().chain(&mut report.notes).chain(&mut report.source) {
        *text = map(text);
    }
    for storage in &mut report.storages {
        // A storage without a name is called by its address.
        storage.storage = mask(&map(&storage.storage));
    }
    let storages = report.storages.iter_mut().filter_map(|storage| storage.error.as_mut());
    for failure in storages.chain(&mut report.error) {
        let texts = failure.causes.iter_mut().chain(&mut failure.hint);
        for text in texts.chain([&mut failure.message]) {
            *text = map(text);
        }
    }
}
