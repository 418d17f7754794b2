//! Clusters of PostgreSQL, as the tests of its connector make them.
#![allow(dead_code, reason = "those use the rest")]

#[path = "../../postgres/cluster.rs"]
pub(crate) mod cluster;
#[path = "../../postgres/server.rs"]
pub(crate) mod server;
