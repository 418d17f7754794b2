//! A time zone: it leads what an expression says of the clock on the wall to points in time.
//! Time is taken in stretches in which that clock runs without a jump.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use kronos_core::{Error, ErrorKind, Result};

use super::cron::Expression;

/// No zone changes its clock back and forth within less.
const SETTLED: i64 = 2 * 86_400;

#[derive(Debug, Clone)]
pub(super) struct Zone(TimeZone);

/// From `begin` to before `end`, the wall shows UTC plus `offset`; seconds since 1970.
struct Stretch {
    begin: Option<i64>,
    end: Option<i64>,
    offset: Offset,
    /// What the clock on the wall had reached before `begin`.
    reached: Option<DateTime>,
}

impl Zone {
    pub(super) fn named(name: &str) -> Result<Self> {
        TimeZone::get(name).map(Self).map_err(|e| {
            Error::new(ErrorKind::Config, "unknown time zone")
                .with("timezone", name)
                .with(
                    "hint",
                    "a name such as Europe/Berlin or UTC; the system's time zone database has to be installed",
                )
                .with_source(e)
        })
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.0
    }

    /// What the clock on the wall shows.
    pub(super) fn wall(&self, at: i64) -> Option<DateTime> {
        Some(self.0.to_datetime(instant(at)?))
    }

    /// The first second after `after` at which the expression is due.
    pub(super) fn next(&self, expression: &Expression, after: i64) -> Option<i64> {
        let earliest = after.checked_add(1)?;
        let mut stretch = self.stretch(earliest)?;
        loop {
            let shown = stretch.offset.to_datetime(instant(stretch.begin.unwrap_or(earliest).max(earliest))?);
            // What names hours is due when the clock on the wall first reaches or passes them.
            let from = match (expression.every_hour(), stretch.reached) {
                (false, Some(reached)) if stretch.begin.is_some_and(|begin| begin >= earliest) => reached,
                (false, Some(reached)) => shown.max(reached),
                _ => shown,
            };
            let wall = expression.at_or_after(from)?;
            let due = stretch.offset.to_timestamp(wall).ok()?.as_second();
            let due = stretch.begin.map_or(due, |begin| due.max(begin));
            match stretch.end {
                Some(end) if due >= end => stretch = self.stretch(end)?,
                _ => return Some(due),
            }
        }
    }

    fn stretch(&self, at: i64) -> Option<Stretch> {
        let here = instant(at)?;
        let begin = self.0.preceding(instant(at.checked_add(1)?)?).next().map(|t| t.timestamp());
        let reached = begin.and_then(|begin| {
            let recent = begin.checked_sub(SignedDuration::from_secs(SETTLED)).ok()?;
            let jumps = self.0.preceding(begin).map(|t| t.timestamp()).take_while(|at| *at > recent);
            std::iter::once(begin).chain(jumps).filter_map(|jump| self.shown_before(jump)).max()
        });
        Some(Stretch {
            begin: begin.map(Timestamp::as_second),
            end: self.0.following(here).next().map(|t| t.timestamp().as_second()),
            offset: self.0.to_offset(here),
            reached,
        })
    }

    /// What the clock would have shown at `jump` had it not jumped.
    fn shown_before(&self, jump: Timestamp) -> Option<DateTime> {
        let before = jump.checked_sub(SignedDuration::from_secs(1)).ok()?;
        Some(self.0.to_offset(before).to_datetime(jump))
    }
}

pub(super) fn instant(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}
