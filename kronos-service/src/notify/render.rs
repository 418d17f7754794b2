//! Letters in words: what people read, whatever the way.

pub(super) mod html;
pub(super) mod text;

use jiff::tz::TimeZone;
use kronos_core::Timestamp;

use super::letter::{Contents, Letter, PingKind};
use super::notice::Notice;
use super::occasion::Occasion;
use super::quiet::local;
use super::settings::Channel;
use crate::report::{RunReport, StorageEnded, StorageFigures, Trigger};
use crate::words::{bytes, count, duration};

/// So many notices of a letter are told in full; of the others the titles.
pub(super) const IN_FULL: usize = 20;

/// One line of a notice: what it is, and what it says.
pub(super) type Fact = (&'static str, String);

/// The time zone in which a channel is shown times.
pub(super) fn zone(channel: &Channel) -> TimeZone {
    channel.quiet().ok().flatten().map_or(TimeZone::UTC, |quiet| quiet.zone().clone())
}

/// A letter in one line.
pub(super) fn subject(letter: &Letter) -> String {
    match &letter.contents {
        Contents::Test => "a test of notifications".to_owned(),
        Contents::Ping(ping) => match ping.kind {
            PingKind::Start => format!("{}: backup begins", ping.job),
            PingKind::Success => format!("{}: backup done", ping.job),
            PingKind::Failure => format!("{}: backup failed", ping.job),
        },
        Contents::Notices(notices) => {
            // The first of the gravest.
            let gravest = notices.iter().rev().max_by_key(|notice| notice.severity);
            let title = gravest.map_or("", |notice| notice.title.as_str());
            match notices.len() {
                0 | 1 => title.to_owned(),
                n => format!("{title}, and {} more", n - 1),
            }
        }
    }
}

/// What is said at the end of a letter.
pub(super) fn footer(letter: &Letter) -> Vec<String> {
    let mut lines = Vec::new();
    if letter.lost > 0 {
        let were = if letter.lost == 1 { "message before this one was" } else { "messages before this one were" };
        lines.push(format!("{} {were} lost: they could not be delivered", letter.lost));
    }
    lines.push(match &letter.host {
        Some(host) => format!("sent by kronos on {host}"),
        None => "sent by kronos".to_owned(),
    });
    lines
}

/// What a notice says besides its title.
pub(super) fn facts(notice: &Notice, zone: &TimeZone) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(error) = &notice.error {
        facts.push(("error", error.message.clone()));
        facts.extend(error.causes.iter().map(|cause| ("caused by", cause.clone())));
    }
    facts.extend(notice.details.iter().map(|detail| ("note", detail.clone())));
    if let Some(hint) = &notice.hint {
        facts.push(("what to do", hint.clone()));
    }
    let is_over = notice.occasion.ends().is_some();
    if let Some(since) = notice.since.filter(|since| is_over || *since < notice.at) {
        let lasted = duration(notice.at.since(since));
        facts.push(("since", format!("{} ({lasted}, {})", time(since, zone), count(notice.times.into(), "run"))));
    }
    if let Some(last) = notice.last_good {
        facts.push(("last good run", format!("{} ({} before)", time(last, zone), duration(notice.at.since(last)))));
    }
    match &notice.report {
        Some(report) => of_run(report, notice, zone, &mut facts),
        None => facts.push(("time", time(notice.at, zone))),
    }
    facts
}

fn of_run(report: &RunReport, notice: &Notice, zone: &TimeZone, facts: &mut Vec<Fact>) {
    let says_warnings = matches!(notice.occasion, Occasion::Warning | Occasion::Failure);
    // One warning is the title already.
    let is_title = notice.occasion == Occasion::Warning && report.warnings.len() == 1;
    if says_warnings && !is_title {
        facts.extend(report.warnings.iter().map(|warning| ("warning", warning.clone())));
    }
    if let Some(source) = &report.source {
        facts.push(("source", source.clone()));
    }
    facts.extend(report.storages.iter().map(|storage| ("storage", of_storage(storage))));
    if let Some(backup) = &report.backup {
        let rows = backup.rows.map_or(String::new(), |rows| format!(", {}", count(rows, "row")));
        let figures = [backup.bytes, backup.bytes_read, backup.bytes_stored].map(bytes);
        let [all, read, stored] = figures;
        facts.push(("backup", format!("{}: {all}{rows}, read {read}, stored {stored}", backup.id.short())));
    }
    let took = duration(report.finished.since(report.started));
    let asked = match report.trigger {
        Trigger::Manual => "by hand",
        Trigger::Schedule => "by the schedule",
        Trigger::Retry => "again after a failure",
        Trigger::Missed => "for a run that was missed",
    };
    facts.push(("ran", format!("{} for {took}, {asked}", time(report.started, zone))));
    facts.push(("run", report.run.to_string()));
}

fn of_storage(figures: &StorageFigures) -> String {
    let mut text = match figures.ended {
        StorageEnded::Stored => format!("{} has it", figures.storage),
        StorageEnded::Nothing => format!("{}: nothing to do", figures.storage),
        StorageEnded::Dropped => format!("{} was too slow and lacks it", figures.storage),
        StorageEnded::Failed => format!("{} lacks it", figures.storage),
    };
    if let Some(error) = &figures.error {
        text.push_str(": ");
        text.push_str(&error.message);
    }
    if figures.caught_up > 0 {
        let copied = count(figures.caught_up, "earlier backup");
        text.extend([", ", &copied, " copied to it"]);
    }
    if figures.forgotten > 0 {
        let freed = bytes(figures.freed);
        let gone = count(figures.forgotten, "old backup");
        text.extend([", ", &gone, " let go (", &freed, " freed)"]);
    }
    text
}

/// A run in some lines, for dead man's switches.
pub(super) fn summary(report: &RunReport) -> String {
    let occasion = if report.error.is_some() { Occasion::Failure } else { Occasion::Success };
    let severity = super::occasion::Severity::Info;
    let title = format!("{}: {}", report.job, super::notice::name(report.operation));
    let notice = Notice::new(occasion, severity, &report.job, report.finished, &title)
        .of(report)
        .with_error(report.error.as_ref());
    let facts = facts(&notice, &TimeZone::UTC);
    facts.iter().map(|(name, said)| format!("{name}: {said}")).collect::<Vec<_>>().join("\n")
}

/// A point in time as people of a place write it.
pub(super) fn time(time: Timestamp, zone: &TimeZone) -> String {
    match local(time, zone) {
        Some(here) => here.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        None => time.to_string(),
    }
}
