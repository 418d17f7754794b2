//! Looking into a PostgreSQL server: see `kronos_core::inspect`.

mod catalog;
mod connection;
mod pool;
mod table;
mod values;

use kronos_core::inspect::{Inspect, PoolSettings};

use super::PostgresSettings;
use crate::inspect::{Holds, Service, inspect_by_what_it_holds};
use pool::Pool;

/// A PostgreSQL server behind pools of connections, one for each database that is asked about.
#[derive(Debug)]
pub struct PostgresDatabase(Service<Pool>);

impl PostgresDatabase {
    pub(super) fn of(settings: PostgresSettings, bounds: PoolSettings) -> Self {
        Self(Service::new(Pool::new(settings, bounds)))
    }
}

impl Holds for PostgresDatabase {
    fn held(&self) -> &dyn Inspect {
        &self.0
    }
}

inspect_by_what_it_holds!(PostgresDatabase);
