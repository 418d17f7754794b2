//! What the tests of schedules share: a plain model of cron that asks each minute of real time what
//! the clock on the wall shows.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kronos_core::Timestamp;

pub const MINUTE: i64 = 60;

/// A cron expression of numbers, `*`, ranges, lists and steps.
pub struct Model {
    fields: [BTreeSet<i8>; 5],
    any_day: bool,
    any_weekday: bool,
    zone: TimeZone,
}

impl Model {
    pub fn new(cron: &str, zone: &str) -> Self {
        let text: Vec<&str> = cron.split(' ').collect();
        let ranges = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
        let fields = std::array::from_fn(|at| values(text[at], ranges[at]));
        Self {
            fields,
            any_day: text[2] == "*",
            any_weekday: text[4] == "*",
            zone: TimeZone::get(zone).expect("the zone is known"),
        }
    }

    fn matches(&self, wall: DateTime) -> bool {
        let [minute, hour, day, month, weekday] = &self.fields;
        let today = wall.weekday().to_sunday_zero_offset();
        let by_day = day.contains(&wall.day());
        let by_weekday = weekday.contains(&today) || (today == 0 && weekday.contains(&7));
        let date = match (self.any_day, self.any_weekday) {
            (true, _) => by_weekday,
            (_, true) => by_day,
            _ => by_day || by_weekday,
        };
        minute.contains(&wall.minute()) && hour.contains(&wall.hour()) && month.contains(&wall.month()) && date
    }

    /// All dues after `from`, up to `to`; both are whole minutes, in seconds since 1970.
    pub fn dues(&self, from: i64, to: i64) -> Vec<i64> {
        let every_hour = self.fields[1].len() == 24;
        let wall = |at: i64| self.zone.to_datetime(jiff::Timestamp::from_second(at).expect("in the calendar"));
        // Long enough before for the clock to have settled.
        let mut at = from - 3 * 86_400;
        let mut reached = wall(at);
        let mut dues = Vec::new();
        while at < to {
            at += MINUTE;
            let shown = wall(at);
            let mut due = false;
            if every_hour {
                due = self.matches(shown);
            } else {
                while reached < shown {
                    reached = reached.checked_add(jiff::Span::new().minutes(1)).expect("in the calendar");
                    due |= self.matches(reached);
                }
            }
            if due && at > from {
                dues.push(at);
            }
        }
        dues
    }
}

fn values(text: &str, (low, high): (i8, i8)) -> BTreeSet<i8> {
    let mut values = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, 1), |(range, step)| (range, step.parse().unwrap()));
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (low, high),
            (_, Some((from, to))) => (from.parse().unwrap(), to.parse().unwrap()),
            _ => (range.parse().unwrap(), range.parse().unwrap()),
        };
        values.extend((from..=to).step_by(step));
    }
    values
}

pub fn seconds(text: &str) -> i64 {
    Timestamp::parse(text).expect("a time").as_micros() / 1_000_000
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}
