//! Conformance suites, an in-memory connector and faults, for tests of this and other crates.

mod faults;
mod memory;
mod prng;
mod storage_suite;

pub use faults::{FaultPlan, FaultStorage};
pub use memory::MemoryStorage;
pub use prng::Prng;
pub use storage_suite::storage_conformance;
