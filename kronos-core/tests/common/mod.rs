//! What several tests need: a small repository in memory, and sources full of noise.
#![allow(dead_code, clippy::unwrap_used, reason = "not every test needs all of it, and a test may panic")]

use std::sync::Arc;

use kronos_core::testing::{MemorySource, MemoryStorage, Prng};
use kronos_core::{
    BackupInfo, BackupOptions, BackupReport, ChunkerParameters, Key, Limits, Protection, Repository, RestoreOptions,
    RunContext, backup, restore,
};

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut prng = Prng::new(seed);
    (0..length).map(|_| (prng.bits() >> 11) as u8).collect()
}

/// A repository with small chunks, blocks and packs.
pub(crate) async fn repository(storage: &Arc<MemoryStorage>) -> Repository {
    let run = RunContext::new();
    Repository::init(storage.clone(), &Protection::None, ChunkerParameters::tiny(), &run).await.unwrap()
}

/// A run that waits for no grace period.
pub(crate) fn impatient() -> RunContext {
    let mut limits = Limits::default();
    limits.grace = std::time::Duration::ZERO;
    RunContext::new().with_limits(limits)
}

/// A backup and all that its report says.
pub(crate) async fn report_of(repository: &Repository, source: &MemorySource) -> BackupReport {
    backup(repository, source, &BackupOptions::new(), &RunContext::new().with_tiny_parts()).await.unwrap()
}

/// A backup.
pub(crate) async fn back_up(repository: &Repository, source: &MemorySource) -> BackupInfo {
    report_of(repository, source).await.backup.unwrap()
}

/// A source with the same contents, which stays as it is.
pub(crate) fn still(source: &MemorySource) -> MemorySource {
    let copy = MemorySource::new("still");
    source.contents().into_iter().for_each(|(name, bytes)| copy.set(&name, bytes));
    copy
}

/// Restores a backup and compares every byte.
pub(crate) async fn assert_restores(repository: &Repository, backup: &BackupInfo, expected: &MemorySource) {
    let target = MemorySource::new("target");
    restore(repository, backup, &target, &RestoreOptions::new(), &RunContext::new()).await.unwrap();
    assert_eq!(target.contents(), expected.contents());
}

/// The objects with `part` in their name.
pub(crate) fn objects(storage: &MemoryStorage, part: &str) -> Vec<Key> {
    storage.keys().into_iter().filter(|k| k.as_str().contains(part)).collect()
}
