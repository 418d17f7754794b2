//! A database of any engine.

use std::sync::Arc;

use kronos_core::inspect::{Inspect, PoolSettings};
use kronos_core::{Engine, Error, ErrorKind, Registry, Result, SourceSettings};

use super::{Holds, inspect_by_what_it_holds};

/// A database of any engine of this build, for programs that hold one without knowing which.
/// Cheap to clone; all clones share one pool.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # async fn example(directory: &std::path::Path) -> kronos_core::Result<()> {
/// use kronos_connectors::inspect::AnyDatabase;
/// use kronos_core::inspect::{Inspect, PoolSettings, Query, Scope};
/// use kronos_core::{ErrorKind, SourceSettings};
///
/// let file = directory.join("app.db").display().to_string();
/// let settings = SourceSettings { databases: vec![file], ..SourceSettings::default() };
/// let database = AnyDatabase::open("sqlite", &settings, PoolSettings::default())?;
///
/// let make = Query::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)");
/// database.execute_query(&make.writing()).await?;
/// let insert = Query::new("INSERT INTO orders (total) VALUES (?), (?)").bind(5).bind(7).writing();
/// assert_eq!(database.execute_query(&insert).await?.rows_affected, Some(2));
///
/// let tables = database.list_tables(&Scope::new()).await?;
/// assert_eq!(tables[0].name, "orders");
/// let sum = database.execute_query(&Query::new("SELECT sum(total) FROM orders")).await?;
/// assert_eq!(sum.rows[0][0].as_i64(), Some(12));
///
/// // A session reads unless it is asked to write, and what is dangerous needs a confirmation.
/// let error = database.execute_query(&Query::new("DELETE FROM orders").writing()).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidQuery);
/// # Ok(())
/// # }
/// # #[cfg(feature = "sqlite")]
/// # {
/// # let directory = std::env::temp_dir().join(format!("kronos-doctest-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// # std::fs::write(directory.join("app.db"), "").unwrap();
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(example(&directory)).unwrap();
/// # std::fs::remove_dir_all(&directory).unwrap();
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AnyDatabase {
    /// A PostgreSQL server.
    #[cfg(feature = "postgres")]
    Postgres(Arc<crate::postgres::PostgresDatabase>),
    /// A MongoDB server.
    #[cfg(feature = "mongodb")]
    Mongodb(Arc<crate::mongodb::MongodbDatabase>),
    /// A MySQL or MariaDB server.
    #[cfg(feature = "mysql")]
    Mysql(Arc<crate::mysql::MysqlDatabase>),
    /// A file of SQLite, or several.
    #[cfg(feature = "sqlite")]
    Sqlite(Arc<crate::sqlite::SqliteDatabase>),
    /// One for tests, in memory.
    #[cfg(feature = "mocks")]
    Mock(crate::mock::MockDatabase),
    /// One from elsewhere.
    Other(Arc<dyn Inspect>),
}

impl AnyDatabase {
    /// Opens a source; connects to nothing yet.
    pub fn open(engine: &str, settings: &SourceSettings, pool: PoolSettings) -> Result<Self> {
        let engine = Engine::new(engine)?;
        let _ = (settings, &pool);
        match engine.as_str() {
            #[cfg(feature = "postgres")]
            "postgres" => {
                Ok(Self::Postgres(Arc::new(crate::postgres::PostgresSource::from_source(settings)?.database(pool)?)))
            }
            #[cfg(feature = "mongodb")]
            "mongodb" => {
                Ok(Self::Mongodb(Arc::new(crate::mongodb::MongodbSource::from_source(settings)?.database(pool)?)))
            }
            #[cfg(feature = "mysql")]
            "mysql" => Ok(Self::Mysql(Arc::new(crate::mysql::MysqlSource::from_source(settings)?.database(pool)?))),
            #[cfg(feature = "sqlite")]
            "sqlite" => Ok(Self::Sqlite(Arc::new(crate::sqlite::SqliteSource::from_source(settings)?.database(pool)))),
            name => Err(Error::new(ErrorKind::Unsupported, "this build cannot look into such a database")
                .with("engine", name)
                .with("hint", "each engine is a cargo feature of kronos-connectors")),
        }
    }
}

/// Adds looking into an engine's databases, if this build has the engine.
pub(crate) fn register(registry: &mut Registry, engine: &Engine) {
    let features = [
        (Engine::SQLITE, cfg!(feature = "sqlite"), "sqlite"),
        (Engine::POSTGRES, cfg!(feature = "postgres"), "postgres"),
        (Engine::MYSQL, cfg!(feature = "mysql"), "mysql"),
        (Engine::MONGODB, cfg!(feature = "mongodb"), "mongodb"),
    ];
    match features.into_iter().find(|(name, ..)| name == engine) {
        Some((_, true, name)) => registry
            .add_database(engine, move |settings, pool| Ok(Arc::new(AnyDatabase::open(name, settings, pool.clone())?))),
        Some((_, false, name)) => registry.leave_out_database(engine, name),
        None => {}
    }
}

impl Holds for AnyDatabase {
    fn held(&self) -> &dyn Inspect {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.as_ref(),
            #[cfg(feature = "mongodb")]
            Self::Mongodb(database) => database.as_ref(),
            #[cfg(feature = "mysql")]
            Self::Mysql(database) => database.as_ref(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(database) => database.as_ref(),
            #[cfg(feature = "mocks")]
            Self::Mock(database) => database,
            Self::Other(database) => database.as_ref(),
        }
    }
}

inspect_by_what_it_holds!(AnyDatabase);
