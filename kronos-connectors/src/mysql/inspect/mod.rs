//! Looking into a MySQL or MariaDB server: see `kronos_core::inspect`.

mod catalog;
mod connection;
mod pool;
mod table;
mod values;

use kronos_core::inspect::{Inspect, PoolSettings};

use super::MysqlSettings;
use crate::inspect::{Holds, Service, inspect_by_what_it_holds};
use pool::Pool;

/// A MySQL or MariaDB server behind a pool of connections.
#[derive(Debug)]
pub struct MysqlDatabase(Service<Pool>);

impl MysqlDatabase {
    pub(super) fn of(settings: MysqlSettings, bounds: PoolSettings) -> Self {
        Self(Service::new(Pool::new(settings, bounds)))
    }
}

impl Holds for MysqlDatabase {
    fn held(&self) -> &dyn Inspect {
        &self.0
    }
}

inspect_by_what_it_holds!(MysqlDatabase);
