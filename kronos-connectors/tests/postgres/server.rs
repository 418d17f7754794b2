//! The server for tests, as `scripts/servers` names it in the environment, and tests that are ignored,
//! with the reason, where there is none.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kronos_connectors::postgres::{Method, PostgresSettings, PostgresSource};
use kronos_core::testing::MemoryStorage;
use kronos_core::{
    BackupInfo, BackupOptions, ChunkerParameters, Protection, Repository, RestoreOptions, RestoreReport, Result,
    RunContext, Secret, backup, find_backup, restore,
};
use libtest_mimic::{Failed, Trial};

/// A cluster, and the superuser of it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) password: String,
    pub(crate) bin: String,
}

/// A database that is dropped at the end.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) server: Server,
    pub(crate) name: String,
}

/// The servers that tests run on, if they are there. The first always is where tests are required.
pub(crate) const SERVERS: [&str; 7] =
    ["postgres", "postgres12", "postgres13", "postgres14", "postgres16", "postgres17", "postgres18"];

pub(crate) fn variable(server: &str, name: &str) -> Result<String, String> {
    let name = format!("KRONOS_TEST_{}_{name}", server.to_uppercase());
    std::env::var(&name).map_err(|_| format!("{name} is not set: scripts/servers"))
}

impl Server {
    pub(crate) fn named(name: &'static str) -> Result<Self, String> {
        Ok(Self {
            name,
            port: variable(name, "PORT")?.parse().map_err(|_| "no port".to_owned())?,
            password: variable(name, "PASSWORD")?,
            bin: variable(name, "BIN")?,
        })
    }

    pub(crate) fn variable(&self, name: &str) -> String {
        variable(self.name, name).unwrap()
    }

    /// Settings of the superuser.
    pub(crate) fn settings<const N: usize>(&self, databases: [&str; N]) -> PostgresSettings {
        let mut settings = PostgresSettings::new("127.0.0.1", "postgres");
        settings.port = self.port;
        settings.password = Some(Secret::new(&self.password));
        settings.databases = databases.into_iter().map(str::to_owned).collect();
        settings.tools = vec![self.bin.clone().into()];
        settings
    }

    pub(crate) fn source<const N: usize>(&self, databases: [&str; N]) -> PostgresSource {
        self.source_by(databases, Method::default())
    }

    pub(crate) fn source_by<const N: usize>(&self, databases: [&str; N], method: Method) -> PostgresSource {
        let mut settings = self.settings(databases);
        settings.method = method;
        PostgresSource::new(settings).unwrap()
    }

    /// As in 150018.
    pub(crate) fn version(&self) -> u32 {
        self.sql("postgres", "SHOW server_version_num").parse().unwrap()
    }

    /// A schema as nasty as the server can bear.
    pub(crate) fn nasty(&self) -> String {
        let version = self.version();
        let new = [("BEGIN ATOMIC", 14), ("SET COMPRESSION", 14), ("(id) WHERE", 15)];
        let is_too_new = |line: &&str| new.iter().any(|(word, since)| line.contains(word) && version < since * 10_000);
        include_str!("nasty.sql").lines().filter(|line| !is_too_new(line)).collect::<Vec<_>>().join("\n")
    }

    /// With whoever is in it.
    pub(crate) fn drop_database(&self, name: &str) {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname";
        let text = name.replace('\'', "''");
        let _ = self.try_sql("postgres", &format!("{end} = '{text}'; DROP DATABASE IF EXISTS {}", quoted(name)));
    }

    /// What was started for databases whose names begin so ends by itself.
    #[track_caller]
    pub(crate) fn no_session_is_left(&self, names: &[&str]) {
        let patterns: Vec<String> = names.iter().map(|name| format!("'{name}%'")).collect();
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'kronos%' AND datname LIKE ANY (ARRAY[{}])",
            patterns.join(", ")
        );
        let begun = Instant::now();
        while self.sql("postgres", &sql) != "0" {
            assert!(begun.elapsed() < Duration::from_secs(20), "a session is left");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Where a program is. What a package of an old version lacks is taken from the installed one.
    pub(crate) fn path(&self, program: &str) -> String {
        let own = format!("{}/{program}", self.bin);
        let there = || variable("postgres", "BIN").map(|bin| format!("{bin}/{program}"));
        if std::path::Path::new(&own).exists() { own } else { there().unwrap_or(own) }
    }

    /// One of the server's own programs.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        command.env("PGPASSWORD", &self.password).env("LC_ALL", "C");
        command
    }

    /// Runs SQL; gives what it prints.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap()
    }

    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"]).arg(conninfo(database));
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        psql.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let done = psql.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if done.status.success() { Ok(text(done.stdout).trim_end().to_owned()) } else { Err(text(done.stderr)) }
    }

    /// A database of another server as its own programs bring it here: newer servers write some
    /// things in another way.
    pub(crate) fn reference(&self, source: &Database) -> Database {
        let target = self.database("");
        let mut dump = source.server.program("pg_dump");
        dump.args(["-Fc", "-d"]).arg(conninfo(&source.name)).stdout(Stdio::piped());
        let mut dump = dump.spawn().unwrap();
        let mut restore = self.program("pg_restore");
        restore.arg("-d").arg(conninfo(&target.name)).stdin(dump.stdout.take().unwrap());
        // A program of 17 sets what older servers do not know, says so, and goes on.
        let is_newer = (150_000..170_000).contains(&self.version());
        assert!((restore.status().unwrap().success() || is_newer) && dump.wait().unwrap().success());
        target
    }

    /// A database with something in it.
    pub(crate) fn database(&self, sql: &str) -> Database {
        self.database_named(&fresh("db"), sql)
    }

    pub(crate) fn database_named(&self, name: &str, sql: &str) -> Database {
        self.sql("postgres", &format!("CREATE DATABASE {} TEMPLATE template0", quoted(name)));
        let database = self.none(name);
        database.sql(sql);
        database
    }

    /// One that is not there yet.
    pub(crate) fn none(&self, name: &str) -> Database {
        Database { server: self.clone(), name: name.to_owned() }
    }

    pub(crate) fn new_name(&self) -> Database {
        self.none(&fresh("new"))
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", name.replace('\'', "''"));
        self.sql("postgres", &sql) == "1"
    }

    /// The schema of a database as `pg_dump` sees it.
    pub(crate) fn schema(&self, database: &str) -> String {
        self.dumped(database, "--schema-only").join("\n")
    }

    /// The rows of a database as `pg_dump` sees them, sorted.
    pub(crate) fn rows(&self, database: &str) -> String {
        let mut lines = self.dumped(database, "--data-only");
        lines.sort();
        lines.join("\n")
    }

    fn dumped(&self, database: &str, what: &str) -> Vec<String> {
        let mut dump = self.program("pg_dump");
        dump.arg(what).arg("-d").arg(conninfo(database));
        let done = dump.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        // The key is another each time.
        text.lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .map(str::to_owned)
            .collect()
    }
}

impl Database {
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    pub(crate) fn source(&self) -> PostgresSource {
        self.server.source([&self.name])
    }

    pub(crate) fn source_by(&self, method: Method) -> PostgresSource {
        self.server.source_by([&self.name], method)
    }

    /// Everything that `pg_dump` sees.
    pub(crate) fn all(&self) -> (String, String) {
        (self.server.schema(&self.name), self.server.rows(&self.name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.server.drop_database(&self.name);
    }
}

/// Compares line by line, and shows only what differs.
#[track_caller]
pub(crate) fn assert_same(found: &(String, String), expected: &(String, String), what: &str) {
    for (found, expected) in [(&found.0, &expected.0), (&found.1, &expected.1)] {
        let differing = |of: &str, other: &str| {
            let other: std::collections::HashSet<&str> = other.lines().collect();
            of.lines().filter(|line| !other.contains(line)).take(20).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(
            found == expected,
            "{what}: not expected {:#?}, missing {:#?}",
            differing(found, expected),
            differing(expected, found)
        );
    }
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn conninfo(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

pub(crate) fn fresh(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("kt_{name}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A repository in memory.
pub(crate) async fn repository() -> Repository {
    let run = RunContext::new();
    let storage = Arc::new(MemoryStorage::new());
    Repository::init(storage, &Protection::None, ChunkerParameters::default(), &run).await.unwrap()
}

pub(crate) async fn back_up(repository: &Repository, source: &PostgresSource) -> Result<BackupInfo> {
    let report = backup(repository, source, &BackupOptions::new(), &RunContext::new()).await?;
    Ok(report.backup.unwrap())
}

pub(crate) async fn bring_back(
    repository: &Repository,
    target: &PostgresSource,
    options: &RestoreOptions,
) -> Result<RestoreReport> {
    let run = RunContext::new();
    let latest = find_backup(repository, "latest", &run).await?;
    restore(repository, &latest, target, options, &run).await
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// A test on each server: ignored with the reason where there is none, unless it is required.
pub(crate) fn on_each(name: &str, test: fn(&Server)) -> Vec<Trial> {
    SERVERS.into_iter().map(|server| on(server, name, test)).collect()
}

pub(crate) fn on(server: &'static str, name: &str, test: fn(&Server)) -> Trial {
    let mut shown = String::new();
    let _ = write!(shown, "{server}::{name}");
    match Server::named(server) {
        Ok(server) => Trial::test(shown, move || {
            test(&server);
            Ok(())
        }),
        Err(reason) if is_required(server) => Trial::test(shown, move || Err(Failed::from(reason))),
        Err(reason) => Trial::test(format!("{shown} ({reason})"), || Ok(())).with_ignored_flag(true),
    }
}

fn is_required(server: &str) -> bool {
    match std::env::var("KRONOS_TEST_REQUIRE").as_deref() {
        Ok("all") => server == "postgres",
        Ok(names) => names.split([',', ' ']).any(|name| name == server),
        Err(_) => false,
    }
}
