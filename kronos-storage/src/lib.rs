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
#[cfg_attr(
    not(all(feature = "s3", feature = "gcs", feature = "memory")),
    allow(dead_code, reason = "each store uses a part of what they share")
)]
mod adapter;
#[cfg(feature = "cloud")]
#[cfg_attr(
    not(all(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "each cloud uses a part of what they share")
)]
mod cloud;
#[cfg(feature = "local")]
mod local;
#[cfg(any(feature = "local", feature = "memory", feature = "cloud"))]
mod options;
#[cfg(feature = "pace")]
#[cfg_attr(not(feature = "cloud"), allow(dead_code, reason = "directories wait for whole parts"))]
mod pace;
#[cfg(all(feature = "pace", any(feature = "local", feature = "memory")))]
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
