//! `[databases.*]`: the sources.

use std::collections::BTreeMap;

use kronos_core::{Engine, Result, SourceSettings};

use super::Environment;
use super::passwords::PasswordFrom;
use super::section::{Keys, Section};

pub(super) const KEYS: Keys = Keys {
    known: &[
        "engine",
        "host",
        "port",
        "user",
        "databases",
        "password",
        "password_env",
        "password_file",
        "password_command",
        "tls",
        "tls_ca",
        "tls_cert",
        "tls_key",
        "tools",
        "maintenance_database",
        "connect_timeout",
        "lock_timeout",
        "read_timeout",
        "tablespaces",
    ],
    later: &["auth_database"],
};
/// Keys that the engine itself reads, as text.
const OPTIONS: [&str; 10] = [
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "tools",
    "maintenance_database",
    "connect_timeout",
    "lock_timeout",
    "read_timeout",
    "tablespaces",
];

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its engine.
    pub engine: Engine,
    /// Host name; for SQLite the directory of the files.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// User name.
    pub user: Option<String>,
    /// The databases chosen; for SQLite the files. Empty: all.
    pub databases: Vec<String>,
    /// Where the password comes from.
    pub password: Option<PasswordFrom>,
    /// What else the engine is told, such as `tls`.
    pub options: BTreeMap<String, String>,
}

impl Database {
    pub(super) fn from_section(name: &str, section: &Section<'_>) -> Result<Self> {
        let engine = match (section.text("engine")?, section.find("engine")) {
            (Some(engine), Some(entry)) => Engine::new(&engine)
                .map_err(|_| section.at(entry, "not the name of an engine").with("engine", &engine))?,
            _ => of_name(name).ok_or_else(|| {
                section.wrong("the engine is missing, and the section's name is not one").with("missing", "engine")
            })?,
        };
        Ok(Self {
            engine,
            host: section.text("host")?,
            port: section.number("port", 1)?,
            user: section.text("user")?,
            databases: section.texts("databases")?.unwrap_or_default(),
            password: PasswordFrom::from_section(section)?,
            options: OPTIONS
                .into_iter()
                .filter_map(|name| section.text(name).transpose().map(|text| Ok((name.to_owned(), text?))))
                .collect::<Result<_>>()?,
        })
    }

    /// What a connector is made from; gets the password.
    pub fn settings(&self, environment: Environment<'_>) -> Result<SourceSettings> {
        Ok(SourceSettings {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            password: self.password.as_ref().map(|from| from.read(environment)).transpose()?,
            databases: self.databases.clone(),
            options: self.options.clone(),
        })
    }
}

/// The engine that a section is named after. Any other name could be that of an engine from
/// outside as well as a user's own, and must not be guessed.
fn of_name(name: &str) -> Option<Engine> {
    let known = [Engine::SQLITE, Engine::POSTGRES, Engine::MYSQL, Engine::MONGODB];
    Engine::new(name).ok().filter(|engine| known.contains(engine))
}
