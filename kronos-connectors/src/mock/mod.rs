//! A made-up database, for tests of programs that embed Kronos and for trials of any size.
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

mod dump;
mod fault;
mod recipe;
mod restore;
mod settings;
mod source;
mod spelling;

pub use fault::Fault;
pub use settings::MockSettings;
pub use source::MockSource;

use kronos_core::Engine;

/// The engine's name.
fn engine() -> Engine {
    Engine::new("mock").expect("the name has lower-case letters only")
}
