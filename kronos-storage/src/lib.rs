//! Where Kronos keeps backups: local directories, S3 and what speaks its language, Google Cloud
//! Storage, Azure Blob Storage, and memory for tests.
//!
//! Each kind of storage has a cargo feature of its own, and none is on by default.
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # fn main() -> kronos_core::Result<()> {
//! use kronos_core::Registry;
//!
//! let mut registry = Registry::new();
//! kronos_storage::register(&mut registry);
//! let (scheme, settings) = kronos_storage::parse_storage_url("memory:example")?;
//! let storage = registry.storage(&scheme, &settings)?;
//! assert_eq!(storage.describe(), "memory:example");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```

#[cfg(feature = "adapter")]
mod adapter;
#[cfg(feature = "cloud")]
mod cloud;
#[cfg(feature = "local")]
mod local;
mod options;
#[cfg(feature = "pace")]
mod pace;
#[cfg(feature = "pace")]
mod paced;
#[cfg(feature = "adapter")]
mod parts;
mod register;
mod url;
#[cfg(feature = "adapter")]
mod words;

#[cfg(feature = "memory")]
pub use adapter::memory;
#[cfg(feature = "local")]
pub use local::local;
pub use register::{Environment, register, register_with};
pub use url::parse_storage_url;
