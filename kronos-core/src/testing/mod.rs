//! Conformance suites, an in-memory connector and faults, for tests of this and other crates.

mod connector_suite;

pub use connector_suite::{ConnectorFixture, Subject, connector_conformance};
