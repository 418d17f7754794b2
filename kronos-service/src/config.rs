//! The configuration: read from TOML or YAML into checked types, or refused with key and line.

mod databases;
mod encryption;
mod expand;
mod find;
mod jobs;
mod passwords;
mod pool;
mod retry;
mod section;
mod storages;
mod toml;
mod tree;
mod units;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result};

pub use databases::Database;
pub use encryption::Encryption;
pub use find::{SearchPlaces, find_config};
pub use jobs::{Job, JobLimits, JobMethod, JobSource, Keep, StrategyChoice};
pub use passwords::PasswordFrom;
pub use pool::Pool;
pub use retry::Retries;
use section::{Keys, Section};
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
}

/// One storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageEntry {
    /// Its location, as `kronos_storage::parse_storage_url` takes it: the URL of the file, with the
    /// further keys of its section as options.
    pub url: String,
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
    /// Connections for looking into databases.
    pub pool: Pool,
    /// How often what is transient is tried, and with which pauses.
    pub retry: Retries,
    /// How new repositories are encrypted and existing ones opened.
    pub encryption: Option<Encryption>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
    /// The file it was read from.
    pub path: Option<PathBuf>,
}

const TOP: Keys = Keys {
    known: &["databases", "storages", "jobs", "encryption", "pool", "retry"],
    later: &["notify", "metrics", "log"],
};

impl Config {
    /// Reads a file.
    pub fn load(path: &Path, environment: Environment<'_>) -> Result<Self> {
        let format = Format::of(path)?;
        let text = std::fs::read_to_string(path).map_err(|e| {
            let kind = match e.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                _ => ErrorKind::Config,
            };
            Error::new(kind, "the configuration could not be read").with("file", path.display()).with_source(e)
        })?;
        let mut config = Self::parse(&text, format, environment).map_err(|e| e.with("file", path.display()))?;
        if config.holds_passwords() && others_can_read(path) {
            config.warnings.push(format!("{} holds a password and others can read it: chmod 600", path.display()));
        }
        config.path = Some(path.to_owned());
        Ok(config)
    }

    /// Reads a text.
    pub fn parse(text: &str, format: Format, environment: Environment<'_>) -> Result<Self> {
        let mut tree = match format {
            Format::Toml => toml::read(text)?,
            Format::Yaml => yaml::read(text)?,
        };
        expand::expand(&mut tree, "", environment)?;
        Self::from_tree(&tree)
    }

    fn from_tree(tree: &Node) -> Result<Self> {
        let top = Section::new("", tree, &TOP)?;
        let mut config = Self::default();
        for (name, section) in top.sections("databases", &databases::KEYS)? {
            let database = Database::from_section(&name, &section)?;
            config.databases.insert(name, database);
        }
        for (name, section) in top.sections_of_any_keys("storages")? {
            let entry = StorageEntry { url: storages::url(&section)? };
            if let Some(secret) = storages::plain_secret(&section) {
                let advice = format!("use {secret}_env or {secret}_file instead of {secret} in the file");
                config.warnings.push(format!("storages.{name}: {advice}"));
            }
            config.storages.insert(name, entry);
        }
        config.encryption =
            top.section("encryption", &encryption::KEYS)?.map(|s| Encryption::from_section(&s)).transpose()?;
        if let Some(section) = top.section("pool", &pool::KEYS)? {
            config.pool = Pool::from_section(&section)?;
        }
        if let Some(section) = top.section("retry", &retry::KEYS)? {
            config.retry = Retries::from_section(&section)?;
        }
        let written = top.sections("jobs", &jobs::KEYS)?;
        for (name, section) in &written {
            let job = Job::from_section(name, section, &config.databases, &config.storages)?;
            config.jobs.insert(name.clone(), job);
        }
        if written.is_empty() {
            let storages: Vec<String> = config.storages.keys().cloned().collect();
            config.jobs = config.databases.keys().map(|name| (name.clone(), Job::of(name, &storages))).collect();
        }
        config.warn_of_passwords();
        Ok(config)
    }

    fn warn_of_passwords(&mut self) {
        const ADVICE: &str = "use password_env, password_file or password_command instead of a password in the file";
        for (name, _) in self.databases.iter().filter(|(_, d)| matches!(d.password, Some(PasswordFrom::Plain(_)))) {
            self.warnings.push(format!("databases.{name}: {ADVICE}"));
        }
        for (name, _) in self.jobs.iter().filter(|(_, j)| j.source.holds_password()) {
            self.warnings.push(format!("jobs.{name}.source: {ADVICE}"));
        }
    }

    fn holds_passwords(&self) -> bool {
        self.databases.values().any(|d| matches!(d.password, Some(PasswordFrom::Plain(_))))
            || self.jobs.values().any(|j| j.source.holds_password())
    }
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o044 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_: &Path) -> bool {
    false
}
