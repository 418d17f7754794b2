//! Conformance suites, an in-memory connector and faults, for tests of this and other crates.

mod faults;
mod memory;
mod prng;

pub use faults::{FaultPlan, FaultStorage};
pub use memory::MemoryStorage;
pub use prng::Prng;
