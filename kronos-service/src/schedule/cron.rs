//! Cron expressions: five fields, or a name such as `@daily`. They know the clock on the wall, and
//! no time zone.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use kronos_core::{Error, ErrorKind, Result};

/// Name, values and an example of each field.
const FIELDS: [(&str, &str, &str); 5] = [
    ("minute", "0-59", "30, or */15 for every quarter of an hour"),
    ("hour", "0-23", "3, or 8-18 for the hours of a working day"),
    ("day of the month", "1-31, or L for the last", "1, or 1,15 for two days of each month"),
    ("month", "1-12 or JAN-DEC", "*, or 1,4,7,10 for the first month of each quarter"),
    ("day of the week", "0-7 or SUN-SAT", "*, or MON-FRI for working days"),
];
const NAMES: [&str; 7] = ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];
const EXAMPLE: &str = "five fields, minute hour day month weekday: \"30 3 * * *\" is each day at 3:30; or @daily";

#[derive(Debug, Clone)]
pub(super) struct Expression {
    cron: Cron,
    every_hour: bool,
}

impl Expression {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let bad = |message: String, hint: &str| {
            Error::new(ErrorKind::Config, message).with("schedule", text).with("hint", hint)
        };
        let trimmed = text.trim();
        let name = trimmed.to_ascii_lowercase();
        let cron = if trimmed.starts_with('@') {
            if !NAMES.contains(&name.as_str()) {
                return Err(bad("unknown name of a schedule".to_owned(), &format!("one of {}", NAMES.join(", "))));
            }
            parse(if name == "@midnight" { "@daily" } else { &name })
        } else {
            let fields: Vec<&str> = trimmed.split_whitespace().collect();
            if fields.len() != FIELDS.len() {
                return Err(bad(format!("a schedule of {} fields", fields.len()), EXAMPLE));
            }
            for (at, (name, values, example)) in FIELDS.into_iter().enumerate() {
                let mut alone = ["*"; 5];
                alone[at] = fields[at];
                if parse(&alone.join(" ")).is_none() {
                    let message = format!("the {name} of the schedule is wrong: \"{}\"", fields[at]);
                    return Err(bad(message, &format!("values are {values}, such as {example}")));
                }
            }
            parse(trimmed)
        };
        let cron = cron.ok_or_else(|| bad("not a schedule".to_owned(), EXAMPLE))?;
        let every_hour = cron.pattern.hours.values().len() == 24;
        let expression = Self { cron, every_hour };
        if expression.at_or_after(DateTime::constant(2000, 1, 1, 0, 0, 0, 0)).is_none() {
            return Err(bad("the schedule names a day that never comes".to_owned(), EXAMPLE));
        }
        Ok(expression)
    }

    /// Whether it runs in each hour of the day, and so follows real time.
    pub(super) fn every_hour(&self) -> bool {
        self.every_hour
    }

    /// The first time that matches, from `from` on.
    pub(super) fn at_or_after(&self, from: DateTime) -> Option<DateTime> {
        self.cron.find_next_occurrence(&from, true).ok()
    }
}

fn parse(text: &str) -> Option<Cron> {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Optional).build().parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_field_and_an_example() {
        for (text, field) in [
            ("60 3 * * *", "minute"),
            ("0 24 * * *", "hour"),
            ("0 3 32 * *", "day of the month"),
            ("0 3 * 13 *", "month"),
            ("0 3 * * 8", "day of the week"),
            ("0 3 * * MONDAY", "day of the week"),
            ("x 3 * * *", "minute"),
        ] {
            let error = Expression::parse(text).expect_err(text);
            assert!(error.message().starts_with(&format!("the {field} of the schedule")), "{text}: {error}");
            assert!(error.context("hint").is_some_and(|hint| hint.contains("such as")), "{text}: {error:?}");
        }
        for text in ["", "0 3 * *", "0 0 3 * * *", "@reboot", "@every 5m", "0 0 30 2 *"] {
            let error = Expression::parse(text).expect_err(text);
            assert!(error.kind() == ErrorKind::Config && error.context("hint").is_some(), "{text}: {error:?}");
        }
    }

    #[test]
    fn names_and_words_are_known() {
        for text in ["@daily", "@Midnight", " 0 3 * * mon-fri ", "0 0 L * *", "0 0 29 2 *", "*/7 8-18/2 1,15 jan-mar 7"]
        {
            Expression::parse(text).expect(text);
        }
        assert!(Expression::parse("*/15 * * * *").is_ok_and(|e| e.every_hour()));
        assert!(Expression::parse("@hourly").is_ok_and(|e| e.every_hour()));
        assert!(Expression::parse("0 */2 * * *").is_ok_and(|e| !e.every_hour()));
    }
}
