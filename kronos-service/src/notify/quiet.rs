//! Quiet hours, in the time of a place.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use kronos_core::{Error, ErrorKind, Result, Timestamp};

use super::occasion::Severity;
use super::settings::QuietHours;

/// Quiet hours that were checked.
#[derive(Debug, Clone)]
pub(super) struct Quiet {
    from: Time,
    to: Time,
    zone: TimeZone,
    except: Option<Severity>,
}

impl Quiet {
    pub(super) fn new(hours: &QuietHours) -> Result<Self> {
        let zone = TimeZone::get(&hours.timezone).map_err(|e| {
            Error::new(ErrorKind::Config, "there is no such time zone")
                .with("timezone", &hours.timezone)
                .with("hint", "names look like Europe/Berlin or UTC")
                .with_source(e)
        })?;
        let (from, to) = (time(&hours.from)?, time(&hours.to)?);
        if from == to {
            return Err(Error::new(ErrorKind::Config, "quiet hours begin when they end")
                .with("from", &hours.from)
                .with("hint", "leave `quiet` out, or give `on` nothing to be told of"));
        }
        Ok(Self { from, to, zone, except: hours.except })
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// When something may be told; `None` is now.
    pub(super) fn until(&self, severity: Severity, now: Timestamp) -> Option<Timestamp> {
        if self.except.is_some_and(|least| severity >= least) {
            return None;
        }
        let here = local(now, &self.zone)?;
        let time = here.time();
        let is_quiet = if self.from < self.to {
            (self.from..self.to).contains(&time)
        } else {
            time >= self.from || time < self.to
        };
        if !is_quiet {
            return None;
        }
        let day = if time < self.to { here.date() } else { here.date().checked_add(1.day()).ok()? };
        let end = day.to_datetime(self.to).to_zoned(self.zone.clone()).ok()?;
        let end = Timestamp::from_micros(end.timestamp().as_microsecond());
        // When the clock is set back, the end may be the first of two.
        Some(if end > now { end } else { now.plus(Duration::from_mins(1)) })
    }
}

/// A point in time as the clocks of a place show it.
pub(super) fn local(time: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    jiff::Timestamp::from_microsecond(time.as_micros()).ok().map(|time| time.to_zoned(zone.clone()))
}

fn time(text: &str) -> Result<Time> {
    let bad =
        || Error::new(ErrorKind::Config, "not a time of the day").with("value", text).with("hint", "write it as 22:00");
    let (hour, minute) = text.split_once(':').ok_or_else(bad)?;
    let number = |digits: &str| match digits.len() {
        1 | 2 if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<i8>().map_err(|_| bad()),
        _ => Err(bad()),
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(from: &str, to: &str) -> Result<Quiet> {
        let timezone = "Europe/Berlin".to_owned();
        Quiet::new(&QuietHours { from: from.to_owned(), to: to.to_owned(), timezone, except: Some(Severity::Critical) })
    }

    #[test]
    fn hours_over_midnight_end_on_the_next_morning() {
        let quiet = quiet("22:00", "7:00").unwrap();
        let at = |text: &str| quiet.until(Severity::Error, Timestamp::parse(text).unwrap()).map(|end| end.to_string());
        assert_eq!(at("2026-11-28T20:59:59Z"), None);
        assert_eq!(at("2026-11-28T21:00:00Z").as_deref(), Some("2026-11-29T06:00:00Z"));
        assert_eq!(at("2026-11-29T05:59:59Z").as_deref(), Some("2026-11-29T06:00:00Z"));
        assert_eq!(at("2026-11-29T06:00:00Z"), None);
        // The night when clocks are set forward is an hour shorter.
        assert_eq!(at("2026-03-28T22:00:00Z").as_deref(), Some("2026-03-29T05:00:00Z"));
        let now = Timestamp::parse("2026-11-28T23:00:00Z").unwrap();
        assert_eq!(quiet.until(Severity::Critical, now), None);
    }

    #[test]
    fn hours_of_a_day_and_what_is_no_time() {
        let lunch = quiet("12:00", "13:30").unwrap();
        let at = |text: &str| lunch.until(Severity::Info, Timestamp::parse(text).unwrap()).map(|end| end.to_string());
        assert_eq!(at("2026-07-01T10:00:00Z").as_deref(), Some("2026-07-01T11:30:00Z"));
        assert_eq!((at("2026-07-01T09:59:00Z"), at("2026-07-01T11:30:00Z")), (None, None));
        // The second of two hours with the same name.
        let fold = quiet("2:00", "2:30").unwrap();
        let now = Timestamp::parse("2026-10-25T01:10:00Z").unwrap();
        assert!(fold.until(Severity::Info, now).unwrap() > now);
        for bad in ["", "22", "24:00", "1:60", "a:b", "+1:00", "22:00:00"] {
            assert!(quiet(bad, "7:00").unwrap_err().context("hint").is_some(), "{bad}");
        }
        assert!(quiet("7:00", "07:00").is_err());
        let zone = QuietHours { from: "1:00".into(), to: "2:00".into(), timezone: "Mars/Base".into(), except: None };
        assert_eq!(Quiet::new(&zone).unwrap_err().context("timezone"), Some("Mars/Base"));
    }
}
