//! Conformance suites, an in-memory connector and faults, for tests of this and other crates.
