//! The mock of the database service. See [`MockDatabase`].

mod answer;
mod builder;
mod call;
mod connection;
mod data;
mod database;
mod errors;
mod fixture;
mod image;
mod latency;
mod matching;
mod memory;
mod plan;
mod script;
mod service;
mod transaction;

pub use answer::{MockAnswer, MockRows};
pub use builder::MockBuilder;
pub use call::{MockCall, MockOperation};
pub use data::{MockTable, MockTestData};
pub use database::MockDatabase;
pub use errors::{MockError, MockErrorConfig};
pub use fixture::rolled_back;
pub use latency::MockLatency;
pub use matching::MockMatch;
