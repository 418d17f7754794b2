//! Conformance suites, an in-memory connector and faults, for tests of this and other crates.

mod connector_suite;
mod context;
mod faults;
mod giant;
mod memory;
mod memory_source;
mod parsers;
mod patient;
mod peek;
mod prng;
mod storage_suite;
mod strategy_suite;

pub use connector_suite::{ConnectorFixture, Subject, connector_conformance};
pub use context::{ManualClock, SeededEntropy};
pub use faults::{FaultPlan, FaultStorage};
#[doc(hidden)]
pub use giant::add_giant_backup;
pub use memory::MemoryStorage;
pub use memory_source::MemorySource;
#[doc(hidden)]
pub use parsers::Parsers;
pub use patient::PatientStorage;
pub use peek::{append_unknown_entry, log_keys, needed_and_idle};
pub use prng::Prng;
pub use storage_suite::storage_conformance;
pub use strategy_suite::strategy_conformance;
