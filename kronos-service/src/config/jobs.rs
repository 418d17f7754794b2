//! `[jobs.*]`: what is backed up where, how, when, and how long it is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use kronos_core::{Retention, Secret, SlowStorage};

use super::Config;
use super::check::like;
use super::hooks;
use super::keep::{self, Keep};
use super::schedule;
use super::schema::{Key, Kind, Table};
use super::section::Section;
use super::strategy::{self, StrategyChoice};
use crate::hooks::HookSettings;
use crate::schedule::ScheduleSettings;

static LIMITS: Table = Table::new(
    "How much of the machine the job may use.",
    &[
        Key::new("memory", Kind::Size, "Memory.").default("\"256MiB\""),
        Key::new("parallel", Kind::Integer { least: 1, most: 256 }, "Streams that are read at a time.").default("4"),
        Key::new("upload", Kind::Rate, "Bytes a second that are written to each storage.")
            .otherwise("no limit")
            .example("\"50MB/s\""),
        Key::new("download", Kind::Rate, "Bytes a second that are read from it.")
            .otherwise("no limit")
            .example("\"50MB/s\""),
        Key::new("timeout", Kind::Duration, "How long a run may take before it is stopped.")
            .otherwise("no limit")
            .example("\"6h\""),
    ],
);

static SLOW_STORAGE: Table = Table::new(
    "What is done about a storage that is slower than the others: `wait`, `drop`, or a time after which it is left \
     out. A copy brings it the backup afterwards.",
    &[Key::new("drop_after", Kind::Duration, "How long the others wait for it, altogether.").example("\"1m\"")],
);

static COMPRESSION: Table = Table::new(
    "How much is compressed.",
    &[Key::new("level", Kind::Integer { least: 1, most: 19 }, "The zstd level.").default("2")],
);

pub(super) static TABLE: Table = Table::new(
    "What is backed up where, how, when, and how long it is kept. Without any `[jobs]` each database is a job.",
    &[
        Key::new("database", Kind::Text, "A database of this configuration.")
            .otherwise("the one of the same name")
            .used("\"app\""),
        Key::new("source", Kind::Text, "Instead of `database`: a URL or the path of a SQLite file.")
            .example("\"postgres://backup@db.internal/shop\""),
        Key::new("storages", Kind::Texts, "The storages; each gets every backup.").otherwise("all").used("[\"main\"]"),
        Key::new("schedule", Kind::Text, "When `kronos daemon` runs it: a cron expression, `@daily` and the like.")
            .otherwise("never by itself")
            .used("\"0 3 * * *\""),
        Key::new("timezone", Kind::Text, "The time zone of `schedule`, `blackout` and `keep`.").default("\"UTC\""),
        Key::new("jitter", Kind::Duration, "Runs begin by up to so much later, each job by its own.").default("\"0s\""),
        Key::new("blackout", Kind::Tables(&schedule::BLACKOUT), "Times in which no run begins. What is due waits.")
            .example("[{ days = [\"mon\", \"fri\"], from = \"08:00\", to = \"18:00\" }]"),
        Key::new(
            "missed",
            Kind::Choice(&["once", "skip"]),
            "What is done about runs that were missed: one for all of them, or none.",
        )
        .default("\"once\""),
        Key::new("retries", Kind::Integer { least: 0, most: 100 }, "How often a failed run is tried again.")
            .default("0"),
        Key::new("retry_pause", Kind::Duration, "The pause before that; it doubles each time.").default("\"5m\""),
        Key::new(
            "strategy",
            Kind::ChoiceOr(&["full", "incremental", "differential"], &strategy::TABLE),
            strategy::TABLE.doc,
        )
        .default("\"incremental\""),
        Key::new(
            "method",
            Kind::Choice(&["native", "tool"]),
            "How the database is read: by Kronos, or with the engine's own tool.",
        )
        .default("\"native\""),
        Key::new("exclude", Kind::Texts, "Names with `*` and `?` that are left out.").example("[\"shop.audit_*\"]"),
        Key::new("tags", Kind::Settings { secret: false }, "Attached to each backup.").example("{ team = \"shop\" }"),
        Key::new("notify", Kind::Texts, "Who of `[notify]` hears of its runs.").otherwise("all").example("[\"ops\"]"),
        Key::new("slow_storage", Kind::ChoiceOr(&["wait", "drop"], &SLOW_STORAGE), SLOW_STORAGE.doc)
            .default("\"wait\""),
        Key::new("keep", Kind::Table(&keep::TABLE), keep::TABLE.doc).otherwise("all for ever"),
        Key::new("limits", Kind::Table(&LIMITS), LIMITS.doc).always(),
        Key::new("compression", Kind::Table(&COMPRESSION), COMPRESSION.doc).always(),
        Key::new("hooks", Kind::Table(&hooks::TABLE), hooks::TABLE.doc),
        Key::new("verify", Kind::Later, "Restores to see that backups can be."),
    ],
);

/// What a job backs up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobSource {
    /// The database of this name in the configuration.
    Database(String),
    /// A URL, which may hold a password.
    Url(Secret),
}

/// How a database is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobMethod {
    /// By Kronos itself.
    Native,
    /// With the engine's own tool.
    Tool,
}

/// How much of the machine a job may use; `None` is the default of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobLimits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Streams read at a time.
    pub parallel: Option<usize>,
    /// Bytes a second that are written to each storage; a limit of the storage's own wins.
    pub upload: Option<u64>,
    /// Bytes a second that are read from it.
    pub download: Option<u64>,
    /// How long a run may take; `None` is as long as it needs.
    pub timeout: Option<Duration>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What is backed up.
    pub source: JobSource,
    /// The names of the storages; each gets every backup. Empty when the configuration has none.
    pub storages: Vec<String>,
    /// When it runs by itself; `None` is never.
    pub schedule: Option<ScheduleSettings>,
    /// The time zone in which days begin: for its schedule and for what it keeps.
    pub timezone: String,
    /// What the next backup reads; `None` is the default of the program.
    pub strategy: Option<StrategyChoice>,
    /// How long backups are kept; `None` is for ever.
    pub keep: Option<Keep>,
    /// Names with `*` and `?` that are left out.
    pub exclude: Vec<String>,
    /// Attached to each backup.
    pub tags: BTreeMap<String, String>,
    /// How much of the machine it may use.
    pub limits: JobLimits,
    /// What is done about a storage that is slower than the others; `None` is the default of the
    /// program.
    pub slow_storage: Option<SlowStorage>,
    /// How the database is read; `None` is the default of the program.
    pub method: Option<JobMethod>,
    /// The zstd level, 1 to 19; `None` is the default of the core.
    pub compression: Option<i32>,
    /// Commands around its runs.
    pub hooks: HookSettings,
    /// The names of those who hear of its runs; all, when the file names none.
    pub notify: Vec<String>,
}

impl Job {
    /// The job of a database for which the configuration has none.
    pub(super) fn of(database: &str, config: &Config) -> Self {
        Self {
            source: JobSource::Database(database.to_owned()),
            storages: config.storages.keys().cloned().collect(),
            schedule: None,
            timezone: schedule::UTC.to_owned(),
            strategy: None,
            keep: None,
            exclude: Vec::new(),
            tags: BTreeMap::new(),
            limits: JobLimits::default(),
            slow_storage: None,
            method: None,
            compression: None,
            hooks: HookSettings::default(),
            notify: config.notify.keys().cloned().collect(),
        }
    }

    /// What is kept of its backups, by days that begin in its time zone; `None` is everything.
    pub fn retention(&self) -> Option<Retention> {
        let keep = self.keep?;
        Some(Retention {
            last: keep.last.unwrap_or(0),
            hourly: keep.hourly.unwrap_or(0),
            daily: keep.daily.unwrap_or(0),
            weekly: keep.weekly.unwrap_or(0),
            monthly: keep.monthly.unwrap_or(0),
            yearly: keep.yearly.unwrap_or(0),
            within: keep.within,
            time_zone: (self.timezone != schedule::UTC).then(|| self.timezone.clone()),
        })
    }

    /// Reads a job; what it may name has been read before.
    pub(super) fn from_section(name: &str, section: &Section<'_>, names: &Names) -> Option<Self> {
        let limits = section.section("limits");
        let timezone = schedule::timezone(section);
        Some(Self {
            storages: chosen(section, "storages", "there is no such storage", &names.storages),
            schedule: schedule::from_section(section, &timezone),
            timezone,
            strategy: StrategyChoice::from_section(section),
            keep: section.section("keep").map(|keep| Keep::from_section(&keep)),
            exclude: section.texts("exclude").unwrap_or_default(),
            tags: section.settings("tags").into_iter().collect(),
            limits: limits.as_ref().map(read_limits).unwrap_or_default(),
            slow_storage: slow_storage(section),
            method: section.text("method").map(|text| match text.as_str() {
                "tool" => JobMethod::Tool,
                _ => JobMethod::Native,
            }),
            compression: section.section("compression").and_then(|compression| compression.number("level")),
            hooks: section.section("hooks").map(|hooks| hooks::from_section(&hooks)).unwrap_or_default(),
            notify: chosen(section, "notify", "there is nobody of this name in [notify]", &names.notify),
            source: source(name, section, &names.databases)?,
        })
    }
}

/// What a job may name: also what could not be read, so that it is told once only.
pub(super) struct Names {
    pub(super) databases: Vec<String>,
    pub(super) storages: Vec<String>,
    pub(super) notify: Vec<String>,
}

fn read_limits(section: &Section<'_>) -> JobLimits {
    JobLimits {
        memory: section.size("memory"),
        parallel: section.number("parallel"),
        upload: section.rate("upload"),
        download: section.rate("download"),
        timeout: section.duration("timeout"),
    }
}

fn slow_storage(job: &Section<'_>) -> Option<SlowStorage> {
    let Some(section) = job.section("slow_storage") else {
        return job.text("slow_storage").map(|text| match text.as_str() {
            "drop" => SlowStorage::DROP,
            _ => SlowStorage::Wait,
        });
    };
    if section.find("drop_after").is_none() {
        section.tell(section.wrong("a key is missing").with("missing", "drop_after"));
    }
    section.duration("drop_after").map(|after| SlowStorage::Drop { after })
}

fn source(name: &str, section: &Section<'_>, databases: &[String]) -> Option<JobSource> {
    let (database, url) = (section.find("database"), section.find("source"));
    match (database, url) {
        (Some(_), Some(entry)) => section.tell(section.at(entry, "a job has a database or a source, not both")),
        (None, Some(_)) => return section.text("source").map(|url| JobSource::Url(Secret::new(url))),
        (Some(entry), None) => {
            let database = section.text("database")?;
            if databases.contains(&database) {
                return Some(JobSource::Database(database));
            }
            let error = section.at(entry, "there is no such database").with("value", &database);
            section.tell(like(error, &database, databases.iter().map(String::as_str)));
        }
        (None, None) if databases.iter().any(|database| database == name) => {
            return Some(JobSource::Database(name.to_owned()));
        }
        (None, None) => section.tell(section.wrong("a job needs a database or a source").with("missing", "database")),
    }
    None
}

/// The names that a job lists, each of which must exist; all, when it lists none.
fn chosen(section: &Section<'_>, key: &str, missing: &str, known: &[String]) -> Vec<String> {
    let Some(chosen) = section.texts(key) else { return known.to_vec() };
    for (place, name) in chosen.iter().enumerate() {
        if !known.contains(name) {
            let error = section.at_key(key, missing).with("value", name);
            section.tell(like(error, name, known.iter().map(String::as_str)));
        } else if chosen[..place].contains(name) {
            section.tell(section.at_key(key, "a name stands here twice").with("value", name));
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use kronos_core::{BackupOptions, Limits};

    use super::*;
    use crate::config::units;

    #[test]
    fn the_defaults_are_those_of_the_core() {
        let default = |table: &Table, name| table.find(name).unwrap().0.default.unwrap().trim_matches('"').to_owned();
        let core = Limits::default();
        assert_eq!(units::size(&default(&LIMITS, "memory")), Some(core.memory));
        assert_eq!(default(&LIMITS, "parallel"), core.parallel.to_string());
        assert_eq!(default(&COMPRESSION, "level"), BackupOptions::new().compression.to_string());
        assert_eq!(default(&TABLE, "strategy"), BackupOptions::new().strategy.name());
    }
}
