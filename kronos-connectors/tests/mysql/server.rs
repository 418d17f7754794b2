//! The server for tests, as `scripts/servers` names it in the environment, and tests that are ignored,
//! with the reason, where there is none.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kronos_connectors::mysql::{MysqlSettings, MysqlSource};
use kronos_core::testing::MemoryStorage;
use kronos_core::{
    BackupInfo, BackupOptions, ChunkerParameters, Protection, Repository, RestoreOptions, RestoreReport, Result,
    RunContext, Secret, backup, find_backup, restore,
};
use libtest_mimic::{Failed, Trial};

/// A server, and the user of it who may do everything.
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

/// Written by a test for which nobody may make users, read by those that do.
pub(crate) static USERS: std::sync::RwLock<()> = std::sync::RwLock::new(());

/// The servers that tests run on, if they are there.
pub(crate) const SERVERS: [&str; 3] = ["mariadb", "mariadb11", "mysql"];

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

    pub(crate) fn is_mariadb(&self) -> bool {
        self.name.starts_with("mariadb")
    }

    pub(crate) fn settings<const N: usize>(&self, databases: [&str; N]) -> MysqlSettings {
        let mut settings = MysqlSettings::new("127.0.0.1", "root");
        settings.port = self.port;
        settings.password = Some(Secret::new(&self.password));
        settings.databases = databases.into_iter().map(str::to_owned).collect();
        settings
    }

    pub(crate) fn source<const N: usize>(&self, databases: [&str; N]) -> MysqlSource {
        MysqlSource::new(self.settings(databases)).unwrap()
    }

    /// One of the server's own programs, by its name without the flavor.
    pub(crate) fn program(&self, program: &str) -> Command {
        let name = match (self.is_mariadb(), program) {
            (true, "client") => "mariadb".to_owned(),
            (true, program) => format!("mariadb-{program}"),
            (false, "client") => "mysql".to_owned(),
            (false, program) => format!("mysql{program}"),
        };
        let mut command = Command::new(format!("{}/{name}", self.bin));
        command.args(["--no-defaults", "--host=127.0.0.1", "--user=root"]).arg(format!("--port={}", self.port));
        command.env("MYSQL_PWD", &self.password).env("LC_ALL", "C");
        command
    }

    /// Runs SQL; gives what it prints.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql.as_bytes()).unwrap()
    }

    pub(crate) fn try_sql(&self, database: &str, sql: &[u8]) -> Result<String, String> {
        let mut client = self.program("client");
        client.args(["--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        if !database.is_empty() {
            client.arg(format!("--database={database}"));
        }
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = client.stdin.take().unwrap();
        let sql = sql.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&sql));
        let done = client.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if done.status.success() { Ok(text(done.stdout).trim_end().to_owned()) } else { Err(text(done.stderr)) }
    }

    /// A database with something in it.
    #[track_caller]
    pub(crate) fn database(&self, sql: &str) -> Database {
        self.database_named(&fresh("db"), "", sql)
    }

    #[track_caller]
    pub(crate) fn database_named(&self, name: &str, options: &str, sql: &str) -> Database {
        self.sql("", &format!("CREATE DATABASE {} {options}", quoted(name)));
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

    pub(crate) fn databases(&self) -> Vec<String> {
        self.sql("", "SHOW DATABASES").lines().map(str::to_owned).collect()
    }

    /// A database as the server's own program sees it, without its name.
    pub(crate) fn dumped(&self, database: &str) -> String {
        let mut dump = self.program("dump");
        dump.args(["--routines", "--triggers", "--events", "--hex-blob", "--single-transaction", "--order-by-primary"]);
        dump.args(["--skip-extended-insert", "--skip-dump-date", "--default-character-set=utf8mb4", "--skip-tz-utc"]);
        if self.is_mariadb() {
            // Of this one of the fixtures it refuses the history.
            dump.arg("--dump-history").arg(format!("--ignore-table={database}.versioned_transactions"));
        } else {
            dump.args(["--set-gtid-purged=OFF", "--no-tablespaces"]);
        }
        let done = dump.arg("--").arg(database).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8_lossy(&done.stdout).replace(&quoted(database), "`?`");
        let lines = text.lines().filter(|line| !line.starts_with("-- ") && !line.contains("enable the sandbox mode"));
        let options = self.sql("", &format!("SHOW CREATE DATABASE {}", quoted(database)));
        let options = options.replace(&quoted(database), "`?`").replace(database, "?");
        std::iter::once(options.as_str()).chain(lines).collect::<Vec<_>>().join("\n")
    }
}

impl Database {
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    pub(crate) fn source(&self) -> MysqlSource {
        self.server.source([&self.name])
    }

    pub(crate) fn with(&self, change: impl FnOnce(&mut MysqlSettings)) -> MysqlSource {
        let mut settings = self.server.settings([&self.name]);
        change(&mut settings);
        MysqlSource::new(settings).unwrap()
    }

    pub(crate) fn all(&self) -> String {
        self.server.dumped(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.server.try_sql("", format!("DROP DATABASE IF EXISTS {}", quoted(&self.name)).as_bytes());
    }
}

/// Compares line by line, and shows only what differs.
#[track_caller]
pub(crate) fn assert_same(found: &str, expected: &str, what: &str) {
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

pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
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

pub(crate) async fn back_up(repository: &Repository, source: &MysqlSource) -> Result<BackupInfo> {
    let report = backup(repository, source, &BackupOptions::new(), &RunContext::new()).await?;
    Ok(report.backup.unwrap())
}

pub(crate) async fn bring_back(
    repository: &Repository,
    target: &MysqlSource,
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
    let shown = format!("{server}::{name}");
    match Server::named(server) {
        Ok(server) => Trial::test(shown, move || {
            test(&server);
            Ok(())
        }),
        Err(reason) if is_required(server) => Trial::test(shown, move || Err(Failed::from(reason))),
        Err(reason) => Trial::test(format!("{shown} ({reason})"), || Ok(())).with_ignored_flag(true),
    }
}

pub(crate) fn is_required(server: &str) -> bool {
    match std::env::var("KRONOS_TEST_REQUIRE").as_deref() {
        Ok("all") => server == "mariadb",
        Ok(names) => names.split([',', ' ']).any(|name| name == server),
        Err(_) => false,
    }
}
