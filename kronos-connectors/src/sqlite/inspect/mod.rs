//! Looking into SQLite files: see `kronos_core::inspect`.

pub(crate) mod catalog;
pub(crate) mod connection;
mod definition;
mod guard;
mod pool;
pub(crate) mod table;

use kronos_core::inspect::{Inspect, PoolSettings};

use super::SqliteSettings;
use crate::inspect::{Holds, Service, inspect_by_what_it_holds};
use pool::Pool;

/// SQLite files, each behind a pool of connections.
#[derive(Debug)]
pub struct SqliteDatabase(Service<Pool>);

impl SqliteDatabase {
    pub(super) fn of(settings: SqliteSettings, bounds: PoolSettings) -> Self {
        Self(Service::new(Pool::new(settings, bounds)))
    }
}

impl Holds for SqliteDatabase {
    fn held(&self) -> &dyn Inspect {
        &self.0
    }
}

inspect_by_what_it_holds!(SqliteDatabase);
