//! The database engines of Kronos: one folder and one cargo feature each.
//!
//! ```
//! use kronos_core::{Engine, Registry, SourceSettings};
//!
//! let mut registry = Registry::new();
//! kronos_connectors::register(&mut registry);
//!
//! let settings = SourceSettings { databases: vec!["/srv/app.db".to_owned()], ..SourceSettings::default() };
//! match registry.connector("sqlite", &settings) {
//!     Ok(source) => assert_eq!((source.engine(), source.default_job()), (Engine::SQLITE, "app".to_owned())),
//!     // An engine that is not in this build says which cargo feature brings it.
//!     Err(error) => assert_eq!(error.context("cargo feature"), Some("sqlite")),
//! }
//! ```

#[cfg(feature = "inspect")]
#[cfg_attr(
    not(all(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "sqlite")),
    allow(dead_code, unused_imports, unused_macros, reason = "each engine takes its part of it")
)]
pub mod inspect;
#[cfg(feature = "mocks")]
pub mod mock;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(any(feature = "inspect", feature = "mongodb", feature = "mysql", feature = "postgres"))]
mod hidden;
mod programs;
#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres"))]
mod servers;
#[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod system;

use kronos_core::{Engine, Registry};
pub use programs::{Program, programs};

/// Adds every engine of this build, and names the others with the cargo features that bring them.
pub fn register(registry: &mut Registry) {
    #[cfg(feature = "sqlite")]
    registry.add_connector(&Engine::SQLITE, |settings| {
        Ok(std::sync::Arc::new(sqlite::SqliteSource::from_source(settings)?))
    });
    #[cfg(feature = "postgres")]
    registry.add_connector(&Engine::POSTGRES, |settings| {
        Ok(std::sync::Arc::new(postgres::PostgresSource::from_source(settings)?))
    });
    #[cfg(feature = "mysql")]
    registry
        .add_connector(&Engine::MYSQL, |settings| Ok(std::sync::Arc::new(mysql::MysqlSource::from_source(settings)?)));
    #[cfg(feature = "mongodb")]
    registry.add_connector(&Engine::MONGODB, |settings| {
        Ok(std::sync::Arc::new(mongodb::MongodbSource::from_source(settings)?))
    });
    for engine in [Engine::SQLITE, Engine::POSTGRES, Engine::MYSQL, Engine::MONGODB] {
        #[cfg(feature = "inspect")]
        inspect::register(registry, &engine);
        registry.leave_out_database(&engine, "inspect");
    }
    // Does nothing for an engine that is there.
    registry.leave_out_connector(&Engine::SQLITE, "sqlite");
    registry.leave_out_connector(&Engine::POSTGRES, "postgres");
    registry.leave_out_connector(&Engine::MYSQL, "mysql");
    registry.leave_out_connector(&Engine::MONGODB, "mongodb");

    if let Ok(mock) = Engine::new("mock") {
        #[cfg(feature = "mocks")]
        registry.add_connector(&mock, |settings| Ok(std::sync::Arc::new(mock::MockSource::from_source(settings)?)));
        registry.leave_out_connector(&mock, "mocks");
    }
}
