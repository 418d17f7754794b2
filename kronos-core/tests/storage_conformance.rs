//! The storages of the test kit pass the suite that every storage passes.
