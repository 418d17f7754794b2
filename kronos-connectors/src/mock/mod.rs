//! Made-up databases, for tests of programs that embed Kronos and for trials of any size.
//!
//! [`MockSource`] is one to back up.
//!
//! Every byte follows from a seed, its place and the version of the data, and is made when it is
//! read: hundreds of gigabytes take no memory. [`MockSource::advance`] changes a known part.
//! As the target of a restore it compares each byte with the one that belongs there, and keeps
//! only what the streams were made of. [`Fault`]s say what goes wrong, when and how often.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use kronos_connectors::mock::{Fault, MockSettings, MockSource};
//! use kronos_core::{ConnectionStatus, Connector, ErrorKind};
//!
//! let shop = MockSource::new(MockSettings::new("shop").with_size(300 << 30).with_streams(8).with_change(0.01))?;
//! assert_eq!(shop.estimate_size().await?, 300 << 30);
//!
//! shop.fail(Fault::Connect(ErrorKind::Timeout));
//! assert_eq!(shop.test_connection().await?.status, ConnectionStatus::Disconnected);
//! # kronos_core::Result::<()>::Ok(())
//! # }).unwrap();
//! ```
//!
//! [`MockDatabase`] is another one, to look into and to query: SQLite in memory with the data of a
//! test, scripted answers, errors and delays.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use kronos_connectors::mock::{MockDatabase, MockError, MockErrorConfig, MockOperation, MockRows};
//! use kronos_core::ErrorKind;
//! use kronos_core::inspect::{Inspect, Query};
//!
//! let shop = MockDatabase::builder()
//!     .seed("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER); INSERT INTO orders (total) VALUES (5), (7)")
//!     .script("SELECT now()", MockRows::new(["now"]).row(["2026-03-01 12:00:00".into()]))
//!     .errors(MockErrorConfig::new().error(MockError::new(ErrorKind::Conflict).on(MockOperation::Commit).nth(1)))
//!     .build()?;
//! let sum = Query::new("SELECT sum(total) FROM orders");
//! assert_eq!(shop.execute_query(&sum).await?.rows[0][0].as_i64(), Some(12));
//! assert_eq!(shop.execute_query(&Query::new("SELECT now()")).await?.rows[0][0].as_str(), Some("2026-03-01 12:00:00"));
//!
//! let mut transaction = shop.begin(None, true).await?;
//! transaction.execute(&Query::new("INSERT INTO orders (total) VALUES (100)")).await?;
//! assert_eq!(transaction.commit().await.unwrap_err().kind(), ErrorKind::Conflict);
//! assert_eq!(shop.execute_query(&sum).await?.rows[0][0].as_i64(), Some(12));
//! shop.verify()
//! # }).unwrap();
//! ```

mod dump;
mod fault;
mod inspect;
mod recipe;
mod restore;
mod settings;
mod source;
mod spelling;

pub use fault::Fault;
pub use inspect::{
    MockAnswer, MockBuilder, MockCall, MockDatabase, MockError, MockErrorConfig, MockLatency, MockMatch, MockOperation,
    MockRows, MockTable, MockTestData, rolled_back,
};
pub use settings::MockSettings;
pub use source::MockSource;

use kronos_core::Engine;

/// The engine's name.
fn engine() -> Engine {
    Engine::new("mock").expect("the name has lower-case letters only")
}
