//! A look behind the scenes, for tests that judge a whole repository.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::list::open;
use crate::repository::entry::twice;
use crate::repository::index::Root;
use crate::repository::pack::name_of;
use crate::repository::seal::{ObjectKind, seal_record};
use crate::repository::{Repository, layout};
use crate::run::RunContext;
use crate::storage::{Key, PutOutcome, StorageExt};

/// The packs, metadata packs and roots that the backups of a job need, and those that lie there
/// besides, which are neither needed nor protected.
pub async fn needed_and_idle(
    repository: &Repository,
    job: &str,
    run: &RunContext,
) -> Result<(BTreeSet<Key>, BTreeSet<Key>)> {
    let (job, state) = open(repository, job, run).await?;
    let mut needed = BTreeSet::new();
    for record in state.backups.values() {
        let id = record.manifest.root.id;
        needed.insert(job.layout().root(id));
        for used in Root::load_any(&job, id, run).await?.packs {
            needed.insert(name_of(&job, used.info.class, used.info.id));
        }
    }
    let mut there = BTreeSet::new();
    for prefix in [job.layout().packs(), job.layout().metas(), job.layout().roots(), job.layout().runs()] {
        there.extend(job.storage().list_all(Some(&prefix)).await?.into_iter().map(|m| m.key));
    }
    let idle = there.difference(&needed).cloned().collect();
    Ok((needed, idle))
}

/// The names of a job's log entries.
pub fn log_keys(job: &str, keys: &[Key]) -> Result<Vec<Key>> {
    let prefix = format!("{}/", layout::JobLayout::new(job)?.log());
    Ok(keys.iter().filter(|k| k.as_str().starts_with(&prefix)).cloned().collect())
}

/// Appends an authentic entry of a kind that this version does not know. Gives its name.
pub async fn append_unknown_entry(repository: &Repository, job: &str, run: &RunContext) -> Result<Key> {
    let (job, state) = open(repository, job, run).await?;
    let key = job.layout().entry(state.next);
    let text = format!(
        r#"{{"seq":{},"token":"{}","prev":"{}","time":"{}","kind":"from-the-future","payload":{{}}}}"#,
        state.next,
        crate::Id(run.random()),
        state.predecessor(),
        state.time
    );
    let place = job.place(ObjectKind::Entry, key.clone());
    let object = Bytes::from(twice(seal_record(job.meta_key(), &place, text.as_bytes(), run)?).0);
    match job.storage().put_if_absent(&key, object).await? {
        PutOutcome::Created => Ok(key),
        PutOutcome::Exists => Err(Error::internal("someone else took the number")),
    }
}
