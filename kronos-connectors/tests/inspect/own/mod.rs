//! Servers of a test's own, made with the programs of those that are there, and killed at will.

mod mongodb;
mod mysql;
mod postgres;
mod words;

use std::time::Duration;

use futures::future::BoxFuture;
use kronos_connectors::inspect::AnyDatabase;
use kronos_core::inspect::{Inspect, PoolSettings, Query, QueryResult};
use kronos_core::{Secret, SourceSettings};
use libtest_mimic::{Failed, Trial};

pub(crate) use words::{HEARD, Words};

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Mariadb,
    Mysql,
    Mongodb,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Postgres, Kind::Mariadb, Kind::Mysql, Kind::Mongodb];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
            Self::Mongodb => "mongodb",
        }
    }

    fn can_be_made(self) -> Result<(), String> {
        match self {
            Self::Postgres => postgres::server::Server::named("postgres").map(drop),
            Self::Mariadb | Self::Mysql => mysql::server::Server::named(self.name()).map(drop),
            Self::Mongodb => mongodb::command().map(drop),
        }
    }

    fn is_required(self) -> bool {
        // Oracle's server is not on every machine, and of a MongoDB that somebody has named, nobody
        // knows how to start another one.
        let is_everywhere = match self {
            Self::Postgres | Self::Mariadb => true,
            Self::Mysql => false,
            Self::Mongodb => std::env::var_os("KRONOS_TEST_MONGODB_PID").is_some(),
        };
        is_everywhere && std::env::var_os("KRONOS_TEST_REQUIRE").is_some()
    }
}

/// A server that ends when it is dropped.
pub(crate) struct Own {
    pub(crate) kind: Kind,
    process: Process,
    password: Option<String>,
}

enum Process {
    Postgres(postgres::cluster::Cluster),
    Mysql(mysql::instance::Instance),
    Mongodb(mongodb::Instance),
}

impl Own {
    pub(crate) fn new(kind: Kind) -> Self {
        let (process, password) = match kind {
            Kind::Postgres => {
                let server = postgres::server::Server::named("postgres").unwrap();
                (Process::Postgres(postgres::cluster::Cluster::new(&server)), Some(server.password))
            }
            Kind::Mariadb | Kind::Mysql => {
                let server = mysql::server::Server::named(kind.name()).unwrap();
                (Process::Mysql(mysql::instance::Instance::new(&server, &[])), Some(server.password))
            }
            Kind::Mongodb => (Process::Mongodb(mongodb::Instance::new()), None),
        };
        Self { kind, process, password }
    }

    pub(crate) fn port(&self) -> u16 {
        match &self.process {
            Process::Postgres(cluster) => cluster.server.port,
            Process::Mysql(instance) => instance.server.port,
            Process::Mongodb(instance) => instance.port,
        }
    }

    pub(crate) fn kill(&mut self) {
        match &mut self.process {
            Process::Postgres(cluster) => cluster.kill(),
            Process::Mysql(instance) => instance.kill(),
            Process::Mongodb(instance) => instance.kill(),
        }
    }

    pub(crate) fn start(&mut self) {
        match &mut self.process {
            Process::Postgres(cluster) => cluster.start(),
            Process::Mysql(instance) => instance.start(),
            Process::Mongodb(instance) => instance.start(),
        }
    }

    pub(crate) fn words(&self) -> Words {
        Words::of(self.kind)
    }

    /// The service as its superuser, in a database that `prepare` has filled, by way of a port.
    pub(crate) fn database(&self, port: u16, pool: PoolSettings) -> AnyDatabase {
        let mut settings = SourceSettings {
            host: Some("127.0.0.1".to_owned()),
            port: Some(port),
            databases: vec![DATABASE.to_owned()],
            // Proxies read along.
            options: [("tls".to_owned(), "disable".to_owned())].into(),
            ..SourceSettings::default()
        };
        match self.kind {
            Kind::Postgres => settings.user = Some("postgres".to_owned()),
            Kind::Mariadb | Kind::Mysql => settings.user = Some("root".to_owned()),
            Kind::Mongodb => settings.options = [("directConnection".to_owned(), "true".to_owned())].into(),
        }
        settings.password = self.password.as_ref().map(Secret::new);
        let engine = if self.kind == Kind::Mariadb { "mysql" } else { self.kind.name() };
        AnyDatabase::open(engine, &settings, pool).unwrap()
    }

    /// Makes the database and what is in it.
    pub(crate) async fn prepare(&self) {
        let mut first = bounds();
        // A processor may be shared with much else.
        first.query_timeout = Duration::from_mins(1);
        let database = self.database(self.port(), first);
        let words = self.words();
        if let Some(make) = words.make {
            let mut make = Query::new(make).writing().confirmed();
            make.database = words.before.map(str::to_owned);
            database.execute_query(&make).await.unwrap();
        }
        for statement in words.fill {
            write(&database, &statement).await;
        }
        database.close().await;
    }
}

const DATABASE: &str = "kronos_faults";

/// Few connections, short times, health that is asked for each time.
pub(crate) fn bounds() -> PoolSettings {
    let mut bounds = PoolSettings::default();
    bounds.max_connections = 5;
    bounds.acquire_timeout = Duration::from_secs(4);
    bounds.query_timeout = Duration::from_secs(20);
    bounds.health_for = Duration::ZERO;
    bounds
}

/// Does what must work.
pub(crate) async fn write(database: &AnyDatabase, statement: &str) -> QueryResult {
    let query = Query::new(statement).writing().confirmed();
    database.execute_query(&query).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"))
}

/// What must be read, as text.
pub(crate) async fn read(database: &AnyDatabase, statement: &str) -> String {
    let query = Query::new(statement).confirmed();
    let result = database.execute_query(&query).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    serde_json::to_string(&result.rows).unwrap()
}

/// A case on a server of its own of each kind.
pub(crate) fn on_each(name: &str, case: fn(Own) -> BoxFuture<'static, ()>) -> Vec<Trial> {
    on_each_but(name, |_| None, case)
}

/// The same, and where there is a reason against it, only if one asks for it (`--ignored`).
pub(crate) fn on_each_but(
    name: &str,
    reason: fn(Kind) -> Option<&'static str>,
    case: fn(Own) -> BoxFuture<'static, ()>,
) -> Vec<Trial> {
    let trial = |kind: Kind| {
        let against = reason(kind).map(|why| format!(" ({why})"));
        let name = format!("{}::{name}{}", kind.name(), against.as_deref().unwrap_or_default());
        match kind.can_be_made() {
            Ok(()) => Trial::test(name, move || {
                let own = Own::new(kind);
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
                let whole = async {
                    own.prepare().await;
                    tokio::time::timeout(LONGEST, case(own)).await.expect("it hangs");
                };
                runtime.block_on(whole);
                runtime.shutdown_background();
                Ok(())
            })
            .with_ignored_flag(against.is_some()),
            Err(why) if kind.is_required() => Trial::test(name, move || Err(Failed::from(why.clone()))),
            Err(_) => Trial::test(format!("{name} (no server: scripts/servers)"), || Ok(())).with_ignored_flag(true),
        }
    };
    KINDS.into_iter().map(trial).collect()
}

/// A case that takes longer hangs.
const LONGEST: Duration = Duration::from_mins(2);
