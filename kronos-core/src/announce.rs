//! Announcements: each run says that it is at work, so that the next one finds the packs of one
//! that was interrupted, and prune knows whom to wait for. Hints only: no correctness rests on them.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::Id;
use crate::repository::job::Job;
use crate::repository::layout;
use crate::repository::pack::{PackClass, PackInfo, scan};
use crate::repository::retry::retry;
use crate::repository::seal::{ObjectKind, open_record, seal_record};
use crate::run::RunContext;
use crate::storage::{Key, StorageExt};
use crate::time::Timestamp;

/// What an announcement says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Announcement {
    pub run: Id,
    pub started: Timestamp,
    /// When the run last said that it is still at work.
    pub seen: Timestamp,
}

/// How far the clock of a storage may be from ours before packs are stored again for nothing.
const CLOCKS_DIFFER: Duration = Duration::from_hours(24);

/// How often a run says so.
const HEARTBEAT: Duration = Duration::from_mins(30);

/// Tells others that a run is under way: the next one can find its packs, and prune can tell
/// an interrupted run's index from one whose log entry was lost.
pub(crate) async fn announce(job: &Job, run_id: Id, started: Timestamp, run: &RunContext) -> Result<()> {
    let key = job.layout().run(run_id);
    let text = serde_json::to_vec(&Announcement { run: run_id, started, seen: run.now() })
        .map_err(|e| Error::internal("an announcement cannot be written").with_source(e))?;
    let place = job.place(ObjectKind::Run, key.clone());
    let object = Bytes::from(seal_record(job.meta_key(), &place, &text, run)?);
    retry(run, "announce the run", || job.storage().put(&key, object.clone())).await
}

/// What a run announced; `None` when that cannot be read.
pub(crate) async fn announcement(job: &Job, key: &Key, run: &RunContext) -> Result<Option<Announcement>> {
    let Some(object) = retry(run, "read an announcement", || job.storage().get_if_there(key)).await? else {
        return Ok(None);
    };
    let place = job.place(ObjectKind::Run, key.clone());
    let text = open_record(job.meta_key(), &place, &object).ok();
    Ok(text.and_then(|t| serde_json::from_slice(&t).ok()))
}

/// Renews the announcement of a long run, so that no prune takes it for interrupted.
pub(crate) async fn keep_announcing(job: &Job, run_id: Id, started: Timestamp, run: &RunContext) -> Infallible {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        // The next one may succeed; nothing but politeness depends on it.
        let _ = announce(job, run_id, started, run).await;
    }
}

/// Takes the announcement back after the commit. If that fails, prune does it.
pub(crate) async fn withdraw(job: &Job, run_id: Id, run: &RunContext) {
    let key = job.layout().run(run_id);
    let _ = retry(run, "withdraw the announcement", || job.storage().delete_one(&key)).await;
}

/// Complete packs that runs left which have been announced and not withdrawn. A hint: what is
/// not found is stored again.
pub(crate) async fn interrupted_packs(job: &Job, own: Id, run: &RunContext) -> Vec<PackInfo> {
    let (runs, packs) = (job.layout().runs(), job.layout().packs());
    let Ok(announced) = retry(run, "list runs", || job.storage().list_all(Some(&runs))).await else {
        return Vec::new();
    };
    if announced.iter().all(|m| layout::id_of(&m.key) == Some(own)) {
        return Vec::new();
    }
    let Ok(listed) = retry(run, "list packs", || job.storage().list_all(Some(&packs))).await else {
        return Vec::new();
    };
    // Packs older than every interrupted run belong to backups that are known by their index. The
    // storage's clock may differ from ours; one that cannot be read may have begun at any time.
    let mut since = Timestamp::from_micros(i64::MAX);
    for meta in announced.iter().filter(|m| layout::id_of(&m.key) != Some(own)) {
        let started = announcement(job, &meta.key, run).await.ok().flatten().map(|a| a.started);
        since = since.min(started.map_or(Timestamp::from_micros(i64::MIN), |t| t.minus(CLOCKS_DIFFER)));
    }
    let mut found = Vec::new();
    for meta in listed.iter().filter(|m| m.modified.is_none_or(|modified| modified >= since)) {
        if let Some(id) = layout::id_of(&meta.key) {
            found.extend(scan(job, PackClass::Data, id, meta.size, run).await.ok());
        }
    }
    found
}
