//! When a job is due: cron expressions in a time zone, with daylight saving, jitter, windows in
//! which nothing begins, and what becomes of times that were missed. Pure functions of time.
//!
//! # Daylight saving
//!
//! An expression whose hours are all hours (`*/15 * * * *`, `@hourly`) follows real time: when the
//! clock is put back it runs through both hours, and when the clock jumps forward the times that no
//! clock shows are left out. Every other expression names hours, and each time of day that it names
//! comes once a day: one that the clock jumps over is due right after the jump (several of them
//! once), and one that the clock shows twice is due the first time.
//!
//! # Due, and begun
//!
//! A job is *due* when its expression says so. It *begins* a little later where it has a jitter:
//! a part of it that the job's name and the due time decide, so that a restart does not move it,
//! and always before the next time is due. What would begin inside a blackout window begins at the
//! window's end.
//!
//! ```
//! use kronos_core::Timestamp;
//! use kronos_service::schedule::{Schedule, ScheduleSettings};
//!
//! let settings = ScheduleSettings { timezone: "Europe/Berlin".to_owned(), ..ScheduleSettings::new("30 2 * * *") };
//! let schedule = Schedule::new(&settings)?;
//! let due = schedule.next_due(Timestamp::parse("2026-03-28T12:00:00Z")?).unwrap();
//! // On that night there is no half past two.
//! assert_eq!(due, Timestamp::parse("2026-03-29T01:00:00Z")?);
//! # Ok::<(), kronos_core::Error>(())
//! ```

mod blackout;
mod cron;
mod pending;
mod settings;
mod zone;

use std::time::Duration;

use kronos_core::{Digest, Result, Timestamp};

use blackout::Windows;
use cron::Expression;
pub(crate) use pending::in_words;
pub use pending::{Pending, Span, is_counted};
pub use settings::{Blackout, Missed, ScheduleSettings};
use zone::Zone;

/// A schedule that has been checked.
#[derive(Debug, Clone)]
pub struct Schedule {
    settings: ScheduleSettings,
    expression: Expression,
    zone: Zone,
    windows: Windows,
}

impl Schedule {
    /// Checks the settings. Errors are of kind `Config`, and name what is wrong and what would be
    /// right.
    pub fn new(settings: &ScheduleSettings) -> Result<Self> {
        let zone = Zone::named(&settings.timezone)?;
        let expression = Expression::parse(&settings.cron)?;
        let windows = Windows::parse(&settings.blackout)?;
        Ok(Self { settings: settings.clone(), expression, zone, windows })
    }

    /// What it was made from.
    pub fn settings(&self) -> &ScheduleSettings {
        &self.settings
    }

    /// The first time after `after` at which the job is due; none where the calendar ends.
    pub fn next_due(&self, after: Timestamp) -> Option<Timestamp> {
        self.zone.next(&self.expression, after.as_micros().div_euclid(1_000_000)).map(from_seconds)
    }

    /// When the run of `job` that is due at `due` begins. Later dues never begin earlier.
    pub fn begins(&self, job: &str, due: Timestamp) -> Timestamp {
        self.defer(due.plus(self.jitter(job, due)))
    }

    /// `at`, or the end of the blackout window around it.
    pub fn defer(&self, at: Timestamp) -> Timestamp {
        self.windows.defer(&self.zone, at)
    }

    /// The rule in one line: expression and zone. When it changes, what was due under the old one
    /// says nothing about the new one.
    pub fn rule(&self) -> String {
        format!("{} {}", self.settings.timezone, self.settings.cron.trim())
    }

    /// The schedule of a [`rule`](Self::rule), all else as in `settings`.
    pub(crate) fn of_rule(rule: &str, settings: &ScheduleSettings) -> Result<Self> {
        let (timezone, cron) = rule.split_once(' ').unwrap_or(("UTC", rule));
        Self::new(&ScheduleSettings { timezone: timezone.to_owned(), cron: cron.to_owned(), ..settings.clone() })
    }

    fn jitter(&self, job: &str, due: Timestamp) -> Duration {
        if self.settings.jitter.is_zero() {
            return Duration::ZERO;
        }
        let room = self.next_due(due).map_or(Duration::MAX, |next| next.since(due));
        let limit = u64::try_from(self.settings.jitter.min(room).as_micros()).unwrap_or(u64::MAX).max(1);
        let mut seed = due.as_micros().to_le_bytes().to_vec();
        seed.extend_from_slice(job.as_bytes());
        let chance = Digest::of(&seed).0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        Duration::from_micros(chance % limit)
    }
}

fn from_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}
