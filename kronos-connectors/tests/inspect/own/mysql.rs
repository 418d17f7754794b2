//! Servers of MySQL and MariaDB, as the tests of their connector make them.
#![allow(dead_code, reason = "those use the rest")]

#[path = "../../mysql/instance.rs"]
pub(crate) mod instance;
#[path = "../../mysql/server.rs"]
pub(crate) mod server;
