//! `schedule` of a job and what belongs to it: when runs begin by themselves, and when they do not.

use super::schema::{Key, Kind, Table};
use super::section::Section;
use super::when;
use crate::schedule::{Blackout, Missed, ScheduleSettings};

/// The time zone when none is named.
pub(super) const UTC: &str = "UTC";

pub(super) static BLACKOUT: Table = Table::new(
    "A time in which no run begins by itself.",
    &[
        Key::new("days", Kind::Texts, "The days on which it begins: `mon` to `sun`, or ranges such as `mon-fri`.")
            .otherwise("every day")
            .example("[\"mon-fri\"]"),
        Key::new("from", Kind::Text, "When it begins.").example("\"08:00\""),
        Key::new("to", Kind::Text, "When it ends; earlier than `from` is on the next day.").example("\"18:00\""),
    ],
);

/// The time zone of a job.
pub(super) fn timezone(job: &Section<'_>) -> String {
    job.text("timezone").unwrap_or_else(|| UTC.to_owned())
}

/// The schedule of a job, if it has one. What belongs to one and stands without one is told: it
/// would do nothing.
pub(super) fn from_section(job: &Section<'_>, timezone: &str) -> Option<ScheduleSettings> {
    let blackout: Vec<Blackout> = job.tables("blackout").iter().filter_map(window).collect();
    if job.find("schedule").is_none() {
        let idle = ["jitter", "blackout", "missed", "retries", "retry_pause"];
        for entry in idle.iter().filter_map(|name| job.find(name)) {
            let error = job.at(entry, "this does nothing without a schedule");
            job.tell(error.with("hint", "add `schedule`, or leave this out"));
        }
        // The zone is that of `keep`, too.
        when::check(job, &ScheduleSettings { timezone: timezone.to_owned(), ..ScheduleSettings::new("@daily") });
        return None;
    }
    let default = ScheduleSettings::new(job.text("schedule")?);
    let settings = ScheduleSettings {
        timezone: timezone.to_owned(),
        jitter: job.duration("jitter").unwrap_or(default.jitter),
        blackout,
        missed: match job.text("missed").as_deref() {
            Some("skip") => Missed::Skip,
            _ => default.missed,
        },
        timeout: job.section("limits").and_then(|limits| limits.duration("timeout")),
        retries: job.number("retries").unwrap_or(default.retries),
        retry_pause: job.duration("retry_pause").unwrap_or(default.retry_pause),
        cron: default.cron,
    };
    when::check(job, &settings);
    Some(settings)
}

fn window(section: &Section<'_>) -> Option<Blackout> {
    let (from, to) = (section.required("from"), section.required("to"));
    Some(Blackout { days: section.texts("days").unwrap_or_default(), from: from?, to: to? })
}
