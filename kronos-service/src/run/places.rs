//! Where backups go, as the border knows it: it holds the keys, and remembers which repository lay
//! where.

use std::fmt;

use async_trait::async_trait;
use kronos_core::{Repository, Result, RunContext};

/// Finds storages.
pub trait Places: fmt::Debug + Send + Sync {
    /// The storage at a location. An error when the location makes no sense.
    fn place<'a>(&'a self, location: &str) -> Result<Box<dyn Place + 'a>>;
}

/// A storage, and the way to the repository on it.
#[async_trait]
pub trait Place: fmt::Debug + Send + Sync {
    /// What it is called, without secrets.
    fn name(&self) -> &str;

    /// Its repository; `None` when the storage is empty.
    async fn open(&self, run: &RunContext) -> Result<Option<Repository>>;

    /// An error when no repository could be made here, for want of a key.
    fn check_init(&self) -> Result<()>;

    /// Its repository; when the storage is empty, a new one: with the keys of another, if one is given.
    async fn open_or_init(&self, like: Option<&Repository>, run: &RunContext) -> Result<Repository>;
}

/// A storage of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageChoice {
    /// Its name in the configuration, where it has one.
    pub name: Option<String>,
    /// Its location, which may hold secrets.
    pub location: String,
}
