//! What is said about a job's schedule, as it is written in a configuration.

use std::time::Duration;

/// The schedule of one job. Checked by [`Schedule::new`](super::Schedule::new).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSettings {
    /// Five fields (minute, hour, day of the month, month, day of the week), or `@hourly`,
    /// `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
    pub cron: String,
    /// A name of the time zone database, such as `Europe/Berlin`. Default `UTC`.
    pub timezone: String,
    /// Runs begin up to this much later than they are due. Default none.
    pub jitter: Duration,
    /// Windows in which no run begins by itself. Default none.
    pub blackout: Vec<Blackout>,
    /// What becomes of times that were missed. Default [`Missed::Once`].
    pub missed: Missed,
    /// How long a run may take. Default: as long as it needs.
    pub timeout: Option<Duration>,
    /// How often a failed run is tried again. Default 0.
    pub retries: u32,
    /// The pause before the first of these; it doubles each time, up to 6 hours. Default 5 minutes.
    pub retry_pause: Duration,
}

impl ScheduleSettings {
    /// This expression, everything else as by default.
    pub fn new(cron: impl Into<String>) -> Self {
        Self {
            cron: cron.into(),
            timezone: "UTC".to_owned(),
            jitter: Duration::ZERO,
            blackout: Vec::new(),
            missed: Missed::Once,
            timeout: None,
            retries: 0,
            retry_pause: Duration::from_mins(5),
        }
    }
}

/// What becomes of runs that were due while the machine was off or the daemon not running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// One run makes up for all of them.
    #[default]
    Once,
    /// None; they are reported as missed.
    Skip,
}

/// A window in which no run begins by itself, in the job's time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blackout {
    /// The days on which it begins: `mon` to `sun`, ranges such as `mon-fri`. None: every day.
    pub days: Vec<String>,
    /// When it begins: `08:00`.
    pub from: String,
    /// When it ends: `18:30`, at the latest `24:00`; earlier than `from`: on the next day.
    pub to: String,
}
