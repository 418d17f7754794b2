//! `[jobs.*]`: what is backed up where, how, and how long it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kronos_core::{BackupKind, Differential, Full, Incremental, Result, Secret, SlowStorage, Strategy, nearest};

use super::StorageEntry;
use super::databases::Database;
use super::section::{Keys, Section};
use super::tree::Value;

pub(super) const KEYS: Keys = Keys {
    known: &["database", "source", "storages", "strategy", "keep", "exclude", "limits", "slow_storage", "method"],
    later: &["schedule", "timezone", "verify", "compression", "hooks", "notify"],
};
const STRATEGY: Keys = Keys { known: &["kind", "full_every"], later: &[] };
const KEEP: Keys = Keys { known: &["last", "hourly", "daily", "weekly", "monthly", "yearly", "within"], later: &[] };
const LIMITS: Keys = Keys { known: &["memory", "parallel", "upload", "download"], later: &["timeout"] };
const SLOW_STORAGE: Keys = Keys { known: &["drop_after"], later: &[] };

/// What a job backs up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobSource {
    /// The database of this name in the configuration.
    Database(String),
    /// A URL, which may hold a password.
    Url(Secret),
}

impl JobSource {
    pub(super) fn holds_password(&self) -> bool {
        let Self::Url(url) = self else { return false };
        let authority = url.expose().split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(rest));
        authority.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'))
    }
}

/// What the next backup of a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrategyChoice {
    /// Which strategy.
    pub kind: BackupKind,
    /// A full backup once the newest full one is this old.
    pub full_every: Option<Duration>,
}

impl StrategyChoice {
    /// The strategy itself.
    pub fn strategy(self) -> Arc<dyn Strategy> {
        match self.kind {
            BackupKind::Full => Arc::new(Full),
            BackupKind::Incremental => Arc::new(Incremental { full_every: self.full_every }),
            BackupKind::Differential => Arc::new(Differential { full_every: self.full_every }),
        }
    }

    fn from_section(job: &Section<'_>) -> Result<Option<Self>> {
        let Some(entry) = job.find("strategy") else { return Ok(None) };
        if matches!(entry.node.value, Value::Text { .. }) {
            return Ok(Some(Self { kind: kind(job, "strategy", &job.required("strategy")?)?, full_every: None }));
        }
        let Some(section) = job.section("strategy", &STRATEGY)? else { return Ok(None) };
        let kind = kind(&section, "kind", &section.required("kind")?)?;
        let full_every = section.duration("full_every")?;
        match section.find("full_every") {
            Some(entry) if kind == BackupKind::Full => Err(section.at(entry, "every backup is full already")),
            _ => Ok(Some(Self { kind, full_every })),
        }
    }
}

fn kind(section: &Section<'_>, key: &str, text: &str) -> Result<BackupKind> {
    match text {
        "full" => Ok(BackupKind::Full),
        "incremental" => Ok(BackupKind::Incremental),
        "differential" => Ok(BackupKind::Differential),
        _ => Err(unknown(section, key, "unknown strategy", text, ["full", "incremental", "differential"])),
    }
}

/// How a database is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobMethod {
    /// By Kronos itself.
    Native,
    /// With the engine's own tool.
    Tool,
}

impl JobMethod {
    fn from_section(job: &Section<'_>) -> Result<Option<Self>> {
        match job.text("method")?.as_deref() {
            None => Ok(None),
            Some("native") => Ok(Some(Self::Native)),
            Some("tool") => Ok(Some(Self::Tool)),
            Some(other) => Err(unknown(job, "method", "unknown method", other, ["native", "tool"])),
        }
    }
}

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
    fn from_section(section: &Section<'_>) -> Result<Self> {
        if section.is_empty() {
            return Err(section.wrong("nothing would be kept"));
        }
        Ok(Self {
            last: section.number("last", 1)?,
            hourly: section.number("hourly", 1)?,
            daily: section.number("daily", 1)?,
            weekly: section.number("weekly", 1)?,
            monthly: section.number("monthly", 1)?,
            yearly: section.number("yearly", 1)?,
            within: section.duration("within")?,
        })
    }
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
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What is backed up.
    pub source: JobSource,
    /// The names of the storages; each gets every backup. Empty when the configuration has none.
    pub storages: Vec<String>,
    /// What the next backup reads; `None` is the default of the program.
    pub strategy: Option<StrategyChoice>,
    /// How long backups are kept; `None` is for ever.
    pub keep: Option<Keep>,
    /// Names with `*` and `?` that are left out.
    pub exclude: Vec<String>,
    /// How much of the machine it may use.
    pub limits: JobLimits,
    /// What is done about a storage that is slower than the others; `None` is the default of the
    /// program.
    pub slow_storage: Option<SlowStorage>,
    /// How the database is read; `None` is the default of the program.
    pub method: Option<JobMethod>,
}

impl Job {
    /// The job of a database for which the configuration has none.
    pub(super) fn of(database: &str, storages: &[String]) -> Self {
        Self {
            source: JobSource::Database(database.to_owned()),
            storages: storages.to_vec(),
            strategy: None,
            keep: None,
            exclude: Vec::new(),
            limits: JobLimits::default(),
            slow_storage: None,
            method: None,
        }
    }

    pub(super) fn from_section(
        name: &str,
        section: &Section<'_>,
        databases: &BTreeMap<String, Database>,
        storages: &BTreeMap<String, StorageEntry>,
    ) -> Result<Self> {
        let limits = section.section("limits", &LIMITS)?;
        Ok(Self {
            source: source(name, section, databases)?,
            storages: chosen_storages(section, storages)?,
            strategy: StrategyChoice::from_section(section)?,
            keep: section.section("keep", &KEEP)?.map(|keep| Keep::from_section(&keep)).transpose()?,
            exclude: section.texts("exclude")?.unwrap_or_default(),
            limits: match limits {
                Some(limits) => JobLimits {
                    memory: limits.size("memory")?,
                    parallel: limits.number("parallel", 1)?,
                    upload: limits.rate("upload")?,
                    download: limits.rate("download")?,
                },
                None => JobLimits::default(),
            },
            slow_storage: slow_storage(section)?,
            method: JobMethod::from_section(section)?,
        })
    }
}

fn slow_storage(job: &Section<'_>) -> Result<Option<SlowStorage>> {
    let Some(entry) = job.find("slow_storage") else { return Ok(None) };
    if !matches!(entry.node.value, Value::Text { .. }) {
        let Some(section) = job.section("slow_storage", &SLOW_STORAGE)? else { return Ok(None) };
        let after = section.duration("drop_after")?;
        let missing = || section.wrong("a key is missing").with("missing", "drop_after");
        return after.map(|after| Some(SlowStorage::Drop { after })).ok_or_else(missing);
    }
    let text = job.required("slow_storage")?;
    match text.as_str() {
        "wait" => Ok(Some(SlowStorage::Wait)),
        "drop" => Ok(Some(SlowStorage::DROP)),
        _ => Err(unknown(job, "slow_storage", "a slow storage is waited for or dropped", &text, ["wait", "drop"])),
    }
}

fn source(name: &str, section: &Section<'_>, databases: &BTreeMap<String, Database>) -> Result<JobSource> {
    match (section.text("database")?, section.text("source")?, section.find("source")) {
        (Some(_), Some(_), Some(entry)) => Err(section.at(entry, "a job has a database or a source, not both")),
        (None, Some(url), _) => Ok(JobSource::Url(Secret::new(url))),
        (Some(database), ..) if databases.contains_key(&database) => Ok(JobSource::Database(database)),
        (Some(database), ..) => {
            let names = databases.keys().map(String::as_str);
            Err(unknown(section, "database", "there is no such database", &database, names))
        }
        (None, ..) if databases.contains_key(name) => Ok(JobSource::Database(name.to_owned())),
        (None, ..) => Err(section.wrong("a job needs a database or a source").with("missing", "database")),
    }
}

fn chosen_storages(section: &Section<'_>, storages: &BTreeMap<String, StorageEntry>) -> Result<Vec<String>> {
    let Some(chosen) = section.texts("storages")? else {
        return Ok(storages.keys().cloned().collect());
    };
    for (place, name) in chosen.iter().enumerate() {
        if !storages.contains_key(name) {
            let names = storages.keys().map(String::as_str);
            return Err(unknown(section, "storages", "there is no such storage", name, names));
        }
        if chosen[..place].contains(name) {
            return Err(section.wrong("a storage is named twice").with("storage", name));
        }
    }
    Ok(chosen)
}

/// An error at a key whose value is none of the names there are.
fn unknown<'a>(
    section: &Section<'_>,
    key: &str,
    message: &str,
    value: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> kronos_core::Error {
    let names: Vec<&str> = names.into_iter().collect();
    let error = match section.find(key) {
        Some(entry) => section.at(entry, message),
        None => section.wrong(message),
    };
    let error = error.with("value", value);
    match nearest(value, names.iter().copied()) {
        Some(near) => error.with("did you mean", near),
        None => error.with("known", names.join(" ")),
    }
}
