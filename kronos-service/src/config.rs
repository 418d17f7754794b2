//! The configuration: read from TOML or YAML, in layers, into checked types, or refused with all
//! that is wrong, each with file, line and key.

mod check;
mod daemon;
mod databases;
mod encryption;
mod expand;
mod exposed;
mod find;
mod hooks;
mod jobs;
mod json_schema;
mod keep;
// With the feature, what reads the key store; without it, what says so.
#[cfg_attr(not(feature = "keyring"), path = "config/keyring/left_out.rs")]
mod keyring;
mod layers;
mod literal;
mod merge;
mod notify;
mod origin;
mod pool;
mod problems;
mod reference;
mod retry;
mod sample;
mod schedule;
mod schema;
mod secrets;
mod section;
mod show;
mod storages;
mod strategy;
mod toml;
mod tree;
mod units;
mod variables;
mod watching;
mod when;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result};

use crate::metrics::MetricsSettings;

pub use daemon::DaemonConfig;
pub use databases::Database;
pub use encryption::Encryption;
pub use find::{SearchPlaces, config_files};
pub use jobs::{Job, JobLimits, JobMethod, JobSource};
pub use json_schema::json_schema;
pub use keep::Keep;
pub use layers::{Layers, Loaded};
pub use notify::{Notify, NotifyWay, Quiet};
pub use origin::{LayerKind, Origin};
pub use pool::Pool;
pub use problems::Problems;
pub use reference::reference;
pub use retry::Retries;
pub use sample::sample;
pub use secrets::SecretFrom;
pub use show::{Effective, Setting};
pub use storages::StorageEntry;
pub use strategy::StrategyChoice;
pub use units::duration as parse_duration;

use schema::{Key, Kind, Table};
use section::Section;
use tree::Node;

/// Where variables come from: the library never looks at the environment itself.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The language of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
}

impl Format {
    /// The language that the extension of a file tells.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("toml") => Ok(Self::Toml),
            Some("yaml" | "yml") => Ok(Self::Yaml),
            _ => Err(Error::new(ErrorKind::Config, "a configuration file ends in .toml, .yaml or .yml")
                .with("file", path.display())),
        }
    }

    fn read(self, text: &str) -> Result<Node> {
        match self {
            Self::Toml => toml::read(text),
            Self::Yaml => yaml::read(text),
        }
    }
}

/// A whole configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The sources by name.
    pub databases: BTreeMap<String, Database>,
    /// The storages by name.
    pub storages: BTreeMap<String, StorageEntry>,
    /// The jobs by name: those of the file, or one per database if it has none.
    pub jobs: BTreeMap<String, Job>,
    /// How new repositories are encrypted and existing ones opened.
    pub encryption: Option<Encryption>,
    /// Who hears of runs, by name.
    pub notify: BTreeMap<String, Notify>,
    /// Connections for looking into databases.
    pub pool: Pool,
    /// How often what is transient is tried, and with which pauses.
    pub retry: Retries,
    /// Where figures go.
    pub metrics: MetricsSettings,
    /// What is told of runs, and where.
    pub log: crate::logs::LogSettings,
    /// How jobs are run by themselves.
    pub daemon: DaemonConfig,
    /// The directory of the audit log; `None` is that of the state.
    pub audit: Option<PathBuf>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
    /// The files it was read from, the strongest last.
    pub files: Vec<PathBuf>,
}

static TOP: Table = Table::new(
    "The configuration of Kronos.",
    &[
        Key::new("databases", Kind::Named(&databases::TABLE), databases::TABLE.doc),
        Key::new("storages", Kind::Named(&storages::TABLE), storages::TABLE.doc),
        Key::new("encryption", Kind::Table(&encryption::TABLE), encryption::TABLE.doc),
        Key::new("jobs", Kind::Named(&jobs::TABLE), jobs::TABLE.doc),
        Key::new("notify", Kind::Named(&notify::TABLE), notify::TABLE.doc),
        Key::new("retry", Kind::Table(&retry::TABLE), retry::TABLE.doc).always(),
        Key::new("pool", Kind::Table(&pool::TABLE), pool::TABLE.doc).always(),
        Key::new("daemon", Kind::Table(&daemon::TABLE), daemon::TABLE.doc).always(),
        Key::new("log", Kind::Table(&watching::LOG), watching::LOG.doc).always(),
        Key::new("metrics", Kind::Table(&watching::METRICS), watching::METRICS.doc),
        Key::new("audit", Kind::Table(&daemon::AUDIT), daemon::AUDIT.doc),
    ],
);

impl Config {
    /// Reads one file and nothing else.
    pub fn load(path: &Path, environment: Environment<'_>) -> Result<Self, Problems> {
        Ok(Layers::new().with_file(LayerKind::Project, path)?.load(environment)?.config)
    }

    /// Reads one text and nothing else.
    pub fn parse(text: &str, format: Format, environment: Environment<'_>) -> Result<Self, Problems> {
        Ok(Layers::new().with_text(LayerKind::Project, text, format)?.load(environment)?.config)
    }

    /// What has been told already is left out.
    fn from_section(top: &Section<'_>) -> Self {
        let (databases, storages, notify) = (top.named("databases"), top.named("storages"), top.named("notify"));
        let names = |sections: &[(String, Section<'_>)]| sections.iter().map(|(name, _)| name.clone()).collect();
        let known = jobs::Names { databases: names(&databases), storages: names(&storages), notify: names(&notify) };
        let mut config = Self { databases: all(&databases, Database::from_section), ..Self::default() };
        config.storages = all(&storages, |_, section| StorageEntry::from_section(section));
        config.notify = all(&notify, |_, section| Some(Notify::from_section(section)));
        let jobs = top.named("jobs");
        config.jobs = all(&jobs, |name, section| Job::from_section(name, section, &known));
        if jobs.is_empty() {
            config.jobs = known.databases.iter().map(|name| (name.clone(), Job::of(name, &config))).collect();
        }
        config.encryption = top.section("encryption").map(|section| Encryption::from_section(&section));
        config.pool = top.section("pool").map(|section| Pool::from_section(&section)).unwrap_or_default();
        config.retry = top.section("retry").map(|section| Retries::from_section(&section)).unwrap_or_default();
        config.daemon = top.section("daemon").map(|section| DaemonConfig::from_section(&section)).unwrap_or_default();
        config.log = top.section("log").map(|section| watching::log(&section)).unwrap_or_default();
        config.metrics = top.section("metrics").map(|section| watching::metrics(&section)).unwrap_or_default();
        config.audit = top.section("audit").and_then(|section| section.text("directory")).map(PathBuf::from);
        config
    }
}

/// Reads sections under names that the user chose.
fn all<'a, T>(
    sections: &[(String, Section<'a>)],
    read: impl Fn(&str, &Section<'a>) -> Option<T>,
) -> BTreeMap<String, T> {
    sections.iter().filter_map(|(name, section)| Some((name.clone(), read(name, section)?))).collect()
}
