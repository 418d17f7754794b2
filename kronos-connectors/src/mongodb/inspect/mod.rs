//! Looking into a MongoDB server: see `kronos_core::inspect`. Collections are tables, fields that
//! documents of a sample have are columns, and a statement is a command in extended JSON.

mod catalog;
mod connection;
mod fields;
mod pool;

use kronos_core::inspect::{Inspect, PoolSettings};

use super::MongodbSettings;
use crate::inspect::{Holds, Service, inspect_by_what_it_holds};
use pool::Pool;

/// A MongoDB server, replica set or sharded cluster.
#[derive(Debug)]
pub struct MongodbDatabase(Service<Pool>);

impl MongodbDatabase {
    pub(super) fn of(settings: MongodbSettings, bounds: PoolSettings) -> Self {
        Self(Service::new(Pool::new(settings, bounds)))
    }
}

impl Holds for MongodbDatabase {
    fn held(&self) -> &dyn Inspect {
        &self.0
    }
}

inspect_by_what_it_holds!(MongodbDatabase);
