//! `[databases.*]`: the sources.

use std::collections::BTreeMap;

use kronos_core::{Engine, Result, SourceSettings};

use super::Environment;
use super::schema::{Key, Kind, Table};
use super::secrets::SecretFrom;
use super::section::Section;

pub(super) static TABLE: Table = Table::new(
    "A source: a database server, or SQLite files. A section that is named after an engine needs no `engine`.",
    &[
        Key::new("engine", Kind::Text, "`sqlite`, `postgres`, `mysql` (MariaDB as well) or `mongodb`.")
            .otherwise("the name of the section")
            .used("\"sqlite\""),
        Key::new("host", Kind::Text, "Host name or address; for SQLite the directory of the files.")
            .otherwise("localhost")
            .used("\"/var/lib/app\""),
        Key::new("port", Kind::Integer { least: 1, most: 65_535 }, "Port.").otherwise("the engine's").example("5432"),
        Key::new("user", Kind::Text, "The user that reads.").example("\"backup\""),
        Key::new("password", Kind::Secret, "The password of the user.")
            .otherwise("the engine's own files")
            .example("\"APP_DB_PASSWORD\""),
        Key::new("databases", Kind::Texts, "The databases that are backed up; for SQLite the files.")
            .otherwise("all of the server")
            .used("[\"app.db\"]"),
        Key::new(
            "tls",
            Kind::Setting,
            "`off`, `require`, `verify-ca` or `verify-full`, as far as the engine has them.",
        )
        .otherwise("the engine's")
        .example("\"verify-full\""),
        Key::new("tls_ca", Kind::Setting, "File with the certificates that are trusted.")
            .example("\"/etc/kronos/db-ca.pem\""),
        Key::new("tls_cert", Kind::Setting, "File with the client's certificate; for MongoDB with its key.")
            .example("\"/etc/kronos/client.pem\""),
        Key::new("tls_key", Kind::Setting, "File with the client's key.").example("\"/etc/kronos/client.key\""),
        Key::new("tools", Kind::Setting, "Directories of the engine's own programs, with colons between.")
            .otherwise("found by `PATH`")
            .example("\"/usr/lib/postgresql/18/bin\""),
        Key::new("connect_timeout", Kind::Setting, "How long connecting may take, in seconds.")
            .otherwise("`10s`")
            .example("\"10s\""),
        Key::new("lock_timeout", Kind::Setting, "How long locks are waited for, in seconds. PostgreSQL, MySQL.")
            .otherwise("the engine's")
            .example("\"60s\""),
        Key::new("read_timeout", Kind::Setting, "How long a silent server is waited for, in seconds.")
            .otherwise("`300s`")
            .example("\"300s\""),
        Key::new("spool_dir", Kind::Setting, "Where a copy is put that must be taken fast. SQLite, PostgreSQL.")
            .otherwise("the directory for temporary files")
            .example("\"/var/tmp\""),
        Key::new("maintenance_database", Kind::Setting, "PostgreSQL: what is connected to first.")
            .otherwise("`postgres`")
            .example("\"postgres\""),
        Key::new("tablespaces", Kind::Setting, "PostgreSQL: whether a restore keeps tablespaces.")
            .otherwise("`true`")
            .example("true"),
        Key::new("socket", Kind::Setting, "MySQL: the socket of a server on this machine.")
            .example("\"/run/mysqld/mysqld.sock\""),
        Key::new(
            "consistency",
            Kind::Setting,
            "MySQL: how connections come to see one state: `auto`, `lock`, `positions`.",
        )
        .otherwise("`auto`")
        .example("\"auto\""),
        Key::new("strict", Kind::Setting, "MySQL: tables that no snapshot can hold still make a backup fail.")
            .otherwise("`false`, a warning")
            .example("true"),
        Key::new("binlog", Kind::Setting, "MySQL: whether a restore goes into the target's binary log.")
            .otherwise("`true`")
            .example("true"),
        Key::new("srv", Kind::Setting, "MongoDB: the hosts are found under the one name that is given.")
            .otherwise("`false`")
            .example("true"),
        Key::new("auth_database", Kind::Setting, "MongoDB: the database of the user.")
            .otherwise("`admin`")
            .example("\"admin\""),
        Key::new("auth_mechanism", Kind::Setting, "MongoDB: how the user logs in.")
            .otherwise("what the server likes best")
            .example("\"SCRAM-SHA-256\""),
        Key::new("replica_set", Kind::Setting, "MongoDB: the name that the replica set must have.").example("\"rs0\""),
        Key::new("direct", Kind::Setting, "MongoDB: the one host is talked to alone.")
            .otherwise("`false`")
            .example("true"),
        Key::new(
            "changes",
            Kind::Setting,
            "MongoDB: from where changes during a backup are known: `auto`, `change-stream`, `oplog`, `none`.",
        )
        .otherwise("`auto`")
        .example("\"auto\""),
        Key::new("wal_limit", Kind::Setting, "SQLite: by how much a log may grow while a backup holds it.")
            .otherwise("`256MiB`")
            .example("\"256MiB\""),
        Key::new("machine", Kind::Setting, "SQLite: the name of this machine, a part of what tells sources apart.")
            .otherwise("its network name")
            .example("\"web1\""),
        Key::new("options", Kind::Settings { secret: false }, "Whatever else the engine is told, by name.")
            .example("{}"),
    ],
);

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
    pub password: Option<SecretFrom>,
    /// What else the engine is told, such as `tls`.
    pub options: BTreeMap<String, String>,
}

impl Database {
    pub(super) fn from_section(name: &str, section: &Section<'_>) -> Option<Self> {
        let described = TABLE.keys.iter().filter(|key| matches!(key.kind, Kind::Setting));
        let mut options: BTreeMap<String, String> =
            described.filter_map(|key| Some((key.name.to_owned(), section.setting(key.name)?))).collect();
        options.extend(section.settings("options"));
        Some(Self {
            host: section.text("host"),
            port: section.number("port"),
            user: section.text("user"),
            databases: section.texts("databases").unwrap_or_default(),
            password: SecretFrom::from_section(section, "password"),
            options,
            engine: engine(name, section)?,
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

fn engine(name: &str, section: &Section<'_>) -> Option<Engine> {
    let Some(entry) = section.find("engine") else {
        let engine = of_name(name);
        if engine.is_none() {
            let message = "the engine is missing, and the section's name is not one";
            section.tell(section.wrong(message).with("missing", "engine"));
        }
        return engine;
    };
    let text = section.text("engine")?;
    let engine = Engine::new(&text).ok();
    if engine.is_none() {
        section.tell(section.at(entry, "not the name of an engine").with("engine", &text));
    }
    engine
}

/// The engine that a section is named after. Any other name could be that of an engine from
/// outside as well as a user's own, and must not be guessed.
fn of_name(name: &str) -> Option<Engine> {
    let known = [Engine::SQLITE, Engine::POSTGRES, Engine::MYSQL, Engine::MONGODB];
    Engine::new(name).ok().filter(|engine| known.contains(engine))
}
