//! `keep` of a job: how long backups are kept.

use std::time::Duration;

use super::schema::{Key, Kind, Table};
use super::section::Section;

const RULE: Kind = Kind::Integer { least: 1, most: u32::MAX as i64 };

pub(super) static TABLE: Table = Table::new(
    "How long backups are kept: each rule keeps some, the rest may go.",
    &[
        Key::new("last", RULE, "The newest ones.").used("3"),
        Key::new("hourly", RULE, "The newest of each of so many hours.").example("24"),
        Key::new("daily", RULE, "The newest of each of so many days.").used("7"),
        Key::new("weekly", RULE, "The newest of each of so many weeks.").used("5"),
        Key::new("monthly", RULE, "The newest of each of so many months.").used("12"),
        Key::new("yearly", RULE, "The newest of each of so many years.").example("10"),
        Key::new("within", Kind::Duration, "All that are younger than this.").example("\"48h\""),
    ],
);

/// How long backups are kept: each rule keeps some, the rest may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// The newest ones.
    pub last: Option<u32>,
    /// The newest of each of so many hours.
    pub hourly: Option<u32>,
    /// The newest of each of so many days.
    pub daily: Option<u32>,
    /// The newest of each of so many weeks.
    pub weekly: Option<u32>,
    /// The newest of each of so many months.
    pub monthly: Option<u32>,
    /// The newest of each of so many years.
    pub yearly: Option<u32>,
    /// All that are younger than this.
    pub within: Option<Duration>,
}

impl Keep {
    pub(super) fn from_section(section: &Section<'_>) -> Self {
        if section.is_empty() {
            section.tell(section.wrong("nothing would be kept"));
        }
        Self {
            last: section.number("last"),
            hourly: section.number("hourly"),
            daily: section.number("daily"),
            weekly: section.number("weekly"),
            monthly: section.number("monthly"),
            yearly: section.number("yearly"),
            within: section.duration("within"),
        }
    }
}
