//! Windows in which no run begins by itself: days of the week, from and to on the clock on the wall.

use jiff::ToSpan;
use jiff::civil::{DateTime, Weekday};
use kronos_core::{Error, ErrorKind, Result, Timestamp};

use super::settings::Blackout;
use super::zone::{Zone, instant};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u32 = 24 * 60;

#[derive(Debug, Clone)]
pub(super) struct Windows(Vec<Window>);

/// Minutes of the day; a window that goes over midnight ends on the day after.
#[derive(Debug, Clone)]
struct Window {
    days: [bool; 7],
    from: u32,
    to: u32,
}

impl Windows {
    pub(super) fn parse(blackout: &[Blackout]) -> Result<Self> {
        let windows = Self(blackout.iter().map(Window::parse).collect::<Result<_>>()?);
        let some_minute = |day: usize| (0..DAY).any(|minute| windows.around(day, minute).is_none());
        if (0..7).any(some_minute) {
            Ok(windows)
        } else {
            Err(Error::new(
                ErrorKind::Config,
                "the blackout windows leave no time of the week in which a run may begin",
            ))
        }
    }

    /// `at`, or the first moment after it that is in no window.
    pub(super) fn defer(&self, zone: &Zone, at: Timestamp) -> Timestamp {
        let mut free = at;
        // Windows that follow on each other; all of them end within a week.
        while let Some(end) = self.end(zone, free) {
            free = end;
        }
        free
    }

    /// When the window around `at` ends; none where there is no window, or the calendar ends.
    fn end(&self, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
        let seconds = at.as_micros().div_euclid(1_000_000);
        let wall = zone.wall(seconds)?;
        let minutes = self.around_wall(wall)?;
        let midnight = wall.date().to_datetime(jiff::civil::Time::midnight());
        let to = midnight.checked_add(i64::from(minutes).minutes()).ok()?;
        let ambiguous = zone.zone().to_ambiguous_zoned(to);
        let earlier = ambiguous.clone().earlier().ok()?.timestamp().as_second();
        let later = ambiguous.later().ok()?.timestamp().as_second();
        let end = if earlier > seconds { earlier } else { later };
        // A jump of the clock may end it before.
        let jump = zone.zone().following(instant(seconds)?).next().map(|t| t.timestamp().as_second());
        let end = match jump {
            Some(jump) if jump < end && zone.wall(jump).is_some_and(|wall| self.around_wall(wall).is_none()) => jump,
            _ => end,
        };
        let end = Timestamp::from_micros(end.saturating_mul(1_000_000));
        (end > at).then_some(end)
    }

    fn around_wall(&self, wall: DateTime) -> Option<u32> {
        let minute = u32::try_from(i32::from(wall.hour()) * 60 + i32::from(wall.minute())).ok()?;
        self.around(day(wall.weekday()), minute)
    }

    /// The end of the window around a minute of a day, in minutes from the beginning of that day.
    fn around(&self, day: usize, minute: u32) -> Option<u32> {
        self.0.iter().filter_map(|window| window.end(day, minute)).max()
    }
}

impl Window {
    fn parse(blackout: &Blackout) -> Result<Self> {
        let from = time(&blackout.from)?;
        let to = time(&blackout.to)?;
        if from == to || from == DAY {
            return Err(wrong("a blackout window without length", &format!("{}-{}", blackout.from, blackout.to)));
        }
        let mut days = [blackout.days.is_empty(); 7];
        for text in &blackout.days {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (mut at, last) = (weekday(first)?, weekday(last)?);
            days[at] = true;
            while at != last {
                at = (at + 1) % 7;
                days[at] = true;
            }
        }
        Ok(Self { days, from, to })
    }

    fn end(&self, day: usize, minute: u32) -> Option<u32> {
        let over_midnight = self.to < self.from;
        let today = self.days[day] && minute >= self.from;
        if today && (over_midnight || minute < self.to) {
            return Some(if over_midnight { DAY + self.to } else { self.to });
        }
        (over_midnight && self.days[(day + 6) % 7] && minute < self.to).then_some(self.to)
    }
}

fn day(weekday: Weekday) -> usize {
    usize::try_from(weekday.to_monday_zero_offset()).unwrap_or(0)
}

fn time(text: &str) -> Result<u32> {
    let minutes = text.trim().split_once(':').and_then(|(hours, minutes)| {
        let whole = |part: &str| (part.len() <= 2).then(|| part.parse::<u32>().ok()).flatten();
        let (hours, minutes) = (whole(hours)?, whole(minutes)?);
        (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
    });
    minutes.ok_or_else(|| wrong("not a time of day", text).with("hint", "hours and minutes, such as 08:00 or 24:00"))
}

fn weekday(text: &str) -> Result<usize> {
    let name = text.trim().to_lowercase();
    DAYS.iter().position(|day| *day == name).ok_or_else(|| {
        wrong("not a day of the week", text).with("hint", "mon, tue, wed, thu, fri, sat, sun, or mon-fri")
    })
}

fn wrong(message: &str, text: &str) -> Error {
    Error::new(ErrorKind::Config, message).with("blackout", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[&str], from: &str, to: &str) -> Blackout {
        let days = days.iter().map(|day| (*day).to_owned()).collect();
        Blackout { days, from: from.to_owned(), to: to.to_owned() }
    }

    fn deferred(windows: &[Blackout], at: &str) -> String {
        let zone = Zone::named("Europe/Berlin").unwrap();
        Windows::parse(windows).unwrap().defer(&zone, Timestamp::parse(at).unwrap()).to_string()
    }

    #[test]
    fn a_run_waits_till_the_end_of_the_window() {
        let work = [window(&["mon-fri"], "08:00", "18:30")];
        assert_eq!(deferred(&work, "2026-11-27T08:00:00Z"), "2026-11-27T17:30:00Z");
        assert_eq!(deferred(&work, "2026-11-27T06:59:59Z"), "2026-11-27T06:59:59Z");
        assert_eq!(deferred(&work, "2026-11-28T08:00:00Z"), "2026-11-28T08:00:00Z");
        let night = [window(&["fri", "sat"], "22:00", "04:00"), window(&[], "04:00", "05:00")];
        assert_eq!(deferred(&night, "2026-11-29T00:30:00Z"), "2026-11-29T04:00:00Z");
        assert_eq!(deferred(&night, "2026-11-30T00:30:00Z"), "2026-11-30T00:30:00Z");
        let day = [window(&["sun"], "00:00", "24:00")];
        assert_eq!(deferred(&day, "2026-11-29T12:00:00Z"), "2026-11-29T23:00:00Z");
    }

    #[test]
    fn a_window_ends_where_the_clock_jumps_over_its_end() {
        let night = [window(&[], "01:00", "02:30")];
        // 02:00 becomes 03:00.
        assert_eq!(deferred(&night, "2026-03-29T00:15:00Z"), "2026-03-29T01:00:00Z");
        // 03:00 becomes 02:00: half past two comes twice, and so does the window's last half hour.
        assert_eq!(deferred(&night, "2026-10-25T00:15:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(deferred(&night, "2026-10-25T01:15:00Z"), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (days, from, to) in [
            (&["mon"][..], "8", "18:00"),
            (&[], "08:00", "24:01"),
            (&[], "08:00", "08:00"),
            (&[], "00:00", "24:00"),
            (&["monday"], "08:00", "09:00"),
        ] {
            Windows::parse(&[window(days, from, to)]).expect_err(to);
        }
    }
}
