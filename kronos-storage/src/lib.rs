//! Where Kronos keeps backups: local directories, and memory for tests.
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

#[cfg(feature = "memory")]
mod adapter;
#[cfg(feature = "local")]
mod local;
mod register;
mod url;

#[cfg(feature = "memory")]
pub use adapter::memory;
#[cfg(feature = "local")]
pub use local::local;
pub use register::register;
pub use url::parse_storage_url;
