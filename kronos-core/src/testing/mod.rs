//! Conformance suites, an in-memory connector and faults, for tests of this and other crates.

mod connector_suite;
mod faults;
mod memory;
mod prng;
mod storage_suite;

pub use connector_suite::{ConnectorFixture, Subject, connector_conformance};
pub use faults::{FaultPlan, FaultStorage};
pub use memory::MemoryStorage;
pub use prng::Prng;
pub use storage_suite::storage_conformance;
