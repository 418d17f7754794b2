//! The engines, and for each case a database of its own with the same tables.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kronos_connectors::inspect::AnyDatabase;
use kronos_connectors::mock::MockDatabase;
use kronos_core::inspect::{Inspect, PoolSettings, Query, QueryResult, TableName};
use kronos_core::{Result, Secret, SourceSettings};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    Mariadb,
    Mysql,
    Mock,
}

pub(crate) const ENGINES: [Engine; 5] =
    [Engine::Sqlite, Engine::Postgres, Engine::Mariadb, Engine::Mysql, Engine::Mock];

/// A database with tables, and the service that looks into it.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) engine: Engine,
    pub(crate) database: AnyDatabase,
    /// The name of the database.
    pub(crate) name: String,
    settings: SourceSettings,
    directory: Option<tempfile::TempDir>,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

fn variable(server: &str, name: &str) -> Result<String, String> {
    let name = format!("KRONOS_TEST_{server}_{name}");
    std::env::var(&name).map_err(|_| format!("{name} is not set: scripts/servers"))
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
            Self::Mock => "mock",
        }
    }

    /// Its connector.
    pub(crate) fn connector(self) -> &'static str {
        if self == Self::Mariadb { "mysql" } else { self.name() }
    }

    fn server(self) -> Option<&'static str> {
        match self {
            Self::Sqlite | Self::Mock => None,
            Self::Postgres => Some("POSTGRES"),
            Self::Mariadb => Some("MARIADB"),
            Self::Mysql => Some("MYSQL"),
        }
    }

    pub(crate) fn is_there(self) -> Result<(), String> {
        self.server().map_or(Ok(()), |server| variable(server, "PORT").map(drop))
    }

    pub(crate) fn is_required(self) -> bool {
        // Oracle's server is not on every machine.
        self != Self::Mysql && std::env::var_os("KRONOS_TEST_REQUIRE").is_some()
    }

    /// The superuser of the server.
    fn settings(self) -> SourceSettings {
        let server = self.server().unwrap();
        let mut settings = SourceSettings {
            host: Some("127.0.0.1".to_owned()),
            port: Some(variable(server, "PORT").unwrap().parse().unwrap()),
            password: Some(Secret::new(variable(server, "PASSWORD").unwrap())),
            ..SourceSettings::default()
        };
        settings.user = Some(if self == Self::Postgres { "postgres" } else { "root" }.to_owned());
        settings
    }

    /// The place of the n-th parameter.
    pub(crate) fn parameter(self, number: usize) -> String {
        match self {
            Self::Postgres => format!("${number}"),
            Self::Sqlite | Self::Mariadb | Self::Mysql | Self::Mock => "?".to_owned(),
        }
    }

    /// A statement that takes a long time.
    pub(crate) fn slow(self) -> &'static str {
        match self {
            Self::Postgres => "SELECT pg_sleep(60)",
            // SLEEP is told that it was cut short, and the statement goes on; of rows there are enough.
            Self::Mariadb | Self::Mysql => {
                "SELECT count(*) FROM information_schema.columns a, information_schema.columns b, \
                 information_schema.columns c WHERE a.column_name LIKE concat(b.column_name, c.column_name, '%x')"
            }
            Self::Sqlite | Self::Mock => {
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000) \
                 SELECT count(*) FROM n"
            }
        }
    }

    /// It is SQLite, in a file or in memory: all that runs is in this program.
    pub(crate) fn is_sqlite(self) -> bool {
        matches!(self, Self::Sqlite | Self::Mock)
    }

    pub(crate) fn is_mysql(self) -> bool {
        matches!(self, Self::Mariadb | Self::Mysql)
    }

    /// A statement that gives numbers from 1.
    pub(crate) fn numbers(self, to: u32) -> String {
        match self {
            Self::Postgres => format!("SELECT i FROM generate_series(1, {to}) AS i"),
            Self::Mariadb => format!("SELECT seq AS i FROM seq_1_to_{to}"),
            Self::Mysql => {
                let list = |to: u32| {
                    format!("JSON_TABLE(CONCAT('[1', REPEAT(',1', {to} - 1), ']'), '$[*]' COLUMNS (n FOR ORDINALITY))")
                };
                // A text has a longest length: of many, there are at least as many.
                match to {
                    1_000_000.. => format!("SELECT a.n AS i FROM {} AS a, {} AS b", list(10_000), list(to / 10_000)),
                    _ => format!("SELECT n AS i FROM {} AS t", list(to)),
                }
            }
            Self::Sqlite | Self::Mock => format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {to}) SELECT i FROM n"
            ),
        }
    }

    fn schema(self) -> Vec<String> {
        let (text, serial) = match self {
            Self::Postgres => ("varchar(40)", "integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
            Self::Sqlite | Self::Mock => ("VARCHAR(40)", "INTEGER PRIMARY KEY"),
            Self::Mariadb | Self::Mysql => ("varchar(40)", "integer AUTO_INCREMENT PRIMARY KEY"),
        };
        vec![
            format!("CREATE TABLE customers (id {serial}, name {text} NOT NULL DEFAULT 'nobody', note text)"),
            "CREATE UNIQUE INDEX customers_name ON customers (name)".to_owned(),
            format!(
                "CREATE TABLE orders (customer integer NOT NULL, number integer NOT NULL, \
                 total integer CHECK (total >= 0), PRIMARY KEY (customer, number), \
                 FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE)"
            ),
            format!(
                "CREATE TABLE items (id {serial}, a integer, b integer, \
                 FOREIGN KEY (a, b) REFERENCES orders (customer, number))"
            ),
            "CREATE VIEW big AS SELECT * FROM orders WHERE total > 100".to_owned(),
            "INSERT INTO customers (id, name) VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Edsger')".to_owned(),
            "INSERT INTO orders VALUES (1, 1, 10), (1, 2, 200), (2, 1, 300), (2, 2, 5), (3, 7, NULL)".to_owned(),
        ]
    }
}

impl Fixture {
    pub(crate) async fn new(engine: Engine) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("kronos_inspect_{}_{number}", std::process::id());
        let fixture = match engine {
            Engine::Sqlite => {
                let directory = tempfile::tempdir().unwrap();
                let name = format!("{name}.db");
                rusqlite::Connection::open(directory.path().join(&name))
                    .unwrap()
                    .execute_batch("PRAGMA journal_mode = WAL")
                    .unwrap();
                let settings = SourceSettings {
                    host: Some(directory.path().to_string_lossy().into_owned()),
                    databases: vec![name.clone()],
                    ..SourceSettings::default()
                };
                Self { engine, database: open(engine, &settings, pool()), name, settings, directory: Some(directory) }
            }
            Engine::Postgres | Engine::Mariadb | Engine::Mysql => {
                let mut settings = engine.settings();
                server(engine, &settings, &format!("CREATE DATABASE {name}")).await;
                settings.databases = vec![name.clone()];
                Self { engine, database: open(engine, &settings, pool()), name, settings, directory: None }
            }
            Engine::Mock => {
                let mock = MockDatabase::builder().name(&name).pool(pool()).build().unwrap();
                let settings = SourceSettings::default();
                Self { engine, database: AnyDatabase::Mock(mock), name, settings, directory: None }
            }
        };
        for statement in engine.schema() {
            fixture.write(&statement).await;
        }
        fixture
    }

    /// Another pool of the same database.
    pub(crate) fn with_pool(&self, pool: PoolSettings) -> AnyDatabase {
        match &self.database {
            AnyDatabase::Mock(mock) => AnyDatabase::Mock(mock.to_builder().pool(pool).build().unwrap()),
            _ => open(self.engine, &self.settings, pool),
        }
    }

    /// Does what must work.
    pub(crate) async fn write(&self, statement: &str) -> QueryResult {
        let query = Query::new(statement).writing().confirmed();
        self.database.execute_query(&query).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"))
    }

    /// The rows of what must work, as text.
    pub(crate) async fn read(&self, statement: &str) -> String {
        let query = Query::new(statement).confirmed();
        let result = self.database.execute_query(&query).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        serde_json::to_string(&result.rows).unwrap()
    }

    pub(crate) fn table(name: &str) -> TableName {
        TableName::new(name)
    }

    /// How many statements of others run in the database, as the server says.
    pub(crate) async fn running(&self) -> i64 {
        match self.engine {
            // Nothing runs beside the program itself.
            Engine::Sqlite | Engine::Mock => i64::from(self.database.pool().active) - 1,
            Engine::Mariadb | Engine::Mysql => {
                let text = "SELECT count(*) FROM information_schema.processlist WHERE db = database() \
                            AND command NOT IN ('Sleep', 'Daemon') AND id <> connection_id()";
                let query = Query::new(text).confirmed();
                self.database.execute_query(&query).await.unwrap().rows[0][0].as_i64().unwrap()
            }
            Engine::Postgres => {
                let text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                            AND state <> 'idle' AND pid <> pg_backend_pid()";
                let query = Query::new(text).confirmed();
                self.database.execute_query(&query).await.unwrap().rows[0][0].as_i64().unwrap()
            }
        }
    }

    /// Waits until the server has ended everything.
    pub(crate) async fn until_nothing_runs(&self) {
        for _ in 0..100 {
            let running = if self.engine.is_sqlite() { 0 } else { self.running().await };
            if running == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} statements still run", self.running().await);
    }

    pub(crate) async fn remove(self) {
        self.database.close().await;
        if !self.engine.is_sqlite() {
            let force = if self.engine == Engine::Postgres { " WITH (FORCE)" } else { "" };
            let mut settings = self.settings.clone();
            settings.databases.clear();
            server(self.engine, &settings, &format!("DROP DATABASE {}{force}", self.name)).await;
        }
        drop(self.directory);
    }

    /// The file of SQLite.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.as_ref().unwrap().path().join(&self.name)
    }

    /// How its server is reached.
    pub(crate) fn settings(&self) -> SourceSettings {
        self.settings.clone()
    }

    /// What may never be shown.
    pub(crate) fn secret(&self) -> Option<String> {
        self.engine.server().map(|server| variable(server, "PASSWORD").unwrap())
    }
}

/// Short times: a test that hangs is one that fails.
pub(crate) fn pool() -> PoolSettings {
    let mut pool = PoolSettings::default();
    pool.max_connections = 5;
    pool.acquire_timeout = Duration::from_secs(3);
    pool
}

fn open(engine: Engine, settings: &SourceSettings, pool: PoolSettings) -> AnyDatabase {
    AnyDatabase::open(engine.connector(), settings, pool).unwrap()
}

/// A statement on the server itself.
async fn server(engine: Engine, settings: &SourceSettings, statement: &str) {
    let mut patient = pool();
    // There may be many tables in a database.
    patient.query_timeout = Duration::from_mins(5);
    let database = open(engine, settings, patient);
    database.execute_query(&Query::new(statement).writing().confirmed()).await.unwrap();
    database.close().await;
}
