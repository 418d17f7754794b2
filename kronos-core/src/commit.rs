//! The commit: what was read and stored, proved to be the same; the root of the index; the entry.
//!
//! Only what [`seal`] returns can be committed: a dump or a worker that failed half way has no
//! way to become a backup.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::bugs::Bug;
use crate::connector::{Checkpoint, Outline};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Digest, Id};
use crate::pipeline::Stored;
use crate::repository::Decision;
use crate::repository::entry::{Action, Manifest, Origin, RootRef};
use crate::repository::index::{Root, StoredStream};
use crate::repository::job::Job;
use crate::repository::retry::retry;
use crate::repository::state::{Record, State};
use crate::run::RunContext;
use crate::strategy::BackupKind;
use crate::stream::StreamId;
use crate::time::Timestamp;

/// What was read and stored, proved to be the same.
pub(crate) struct Sealed {
    streams: Vec<StoredStream>,
    stored: Stored,
    position: Option<String>,
    warnings: Vec<String>,
    server_version: Option<String>,
}

/// Compares what the dump swears to with what was stored, stream by stream.
pub(crate) fn seal(
    outline: &Outline,
    checkpoint: &Checkpoint,
    mut streams: BTreeMap<StreamId, StoredStream>,
    stored: Stored,
) -> Result<Sealed> {
    let mut sealed = Vec::with_capacity(outline.streams.len());
    for (id, info) in (0..).map(StreamId).zip(&outline.streams) {
        let differs = |what: &str| {
            Error::internal(format!("the dump and what was stored differ: {what}")).with("stream", &info.name)
        };
        let stored = streams.remove(&id).ok_or_else(|| differs("the stream was not stored"))?;
        let sworn = checkpoint.streams.get(&id);
        match sworn {
            None if info.unchanged => {}
            None => return Err(differs("the dump did not confirm the stream")),
            Some(_) if info.unchanged => return Err(differs("an unchanged stream was read")),
            Some(end) if *end != stored.end => return Err(differs("length or digest")),
            Some(_) => {}
        }
        sealed.push(stored);
    }
    if !streams.is_empty() || checkpoint.streams.keys().any(|id| id.0 as usize >= outline.streams.len()) {
        return Err(Error::internal("the dump delivered streams that it had not named"));
    }
    let warnings = outline.warnings.iter().chain(&checkpoint.warnings).cloned().collect();
    let server_version = outline.server_version.clone();
    Ok(Sealed { streams: sealed, stored, position: checkpoint.position.clone(), warnings, server_version })
}

/// What is known of a backup before its index is written.
pub(crate) struct Draft {
    pub run: Id,
    pub backup: Id,
    /// Absent when the backup is its own origin.
    pub origin: Option<Origin>,
    pub engine: crate::Engine,
    pub kind: BackupKind,
    pub parent: Option<Id>,
    pub started: Timestamp,
    /// Absent when that is now.
    pub finished: Option<Timestamp>,
    pub read_in_full: Timestamp,
    pub tags: BTreeMap<String, String>,
    /// What is to be said beside what the dump said.
    pub warnings: Vec<String>,
}

/// Commits a copy of another repository's backup, whose streams were compared when it was made.
pub(crate) async fn commit_copy(
    job: &Job,
    state: State,
    draft: Draft,
    from: &Manifest,
    streams: Vec<StoredStream>,
    stored: Stored,
    run: &RunContext,
) -> Result<Option<Record>> {
    let (position, server_version) = (from.position.clone(), from.server_version.clone());
    let sealed = Sealed { streams, stored, position, warnings: Vec::new(), server_version };
    if content_digest(&sealed.streams) != from.content {
        return Err(Error::internal("the copy and its original differ").with("backup", from.backup));
    }
    Ok(commit(job, state, draft, sealed, run).await?.1)
}

/// Writes the root of the index, then the entry: that is the commit.
///
/// `None` when someone else has copied the same backup in the meantime.
pub(crate) async fn commit(
    job: &Job,
    state: State,
    mut draft: Draft,
    sealed: Sealed,
    run: &RunContext,
) -> Result<(State, Option<Record>)> {
    draft.warnings.extend(sealed.warnings);
    let root_id = Id(run.random());
    let root = Root { run: draft.run, backup: draft.backup, streams: sealed.streams, packs: sealed.stored.packs };
    let object = Bytes::from(root.seal(job, root_id, run)?);
    let root_ref = RootRef { id: root_id, digest: Digest::of(&object) };
    let key = job.layout().root(root_id);
    retry(run, "write the index root", || job.storage().put(&key, object.clone())).await?;

    let sum = |f: fn(&StoredStream) -> u64| root.streams.iter().map(f).sum::<u64>();
    let read = root.streams.iter().filter(|s| !s.info.unchanged).map(|s| s.end.length).sum();
    let manifest = Manifest {
        backup: draft.backup,
        run: draft.run,
        origin: draft.origin.unwrap_or(Origin { repository: job.repository().id(), backup: draft.backup }),
        content: content_digest(&root.streams),
        engine: draft.engine,
        kind: draft.kind,
        parent: draft.parent,
        started: draft.started,
        finished: draft.finished.unwrap_or_else(|| run.now()),
        read_in_full: draft.read_in_full,
        root: root_ref,
        streams: root.streams.len() as u64,
        bytes: sum(|s| s.end.length),
        bytes_read: read,
        bytes_stored: sealed.stored.added + object.len() as u64,
        rows: root.streams.iter().filter_map(|s| s.end.rows).reduce(|a, b| a + b),
        position: sealed.position,
        server_version: sealed.server_version,
        tags: draft.tags,
        warnings: draft.warnings,
        revives: Vec::new(),
        program: concat!("kronos ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let needs: BTreeSet<Id> = root.references(root_id).collect();
    let (state, seq) = job
        .commit(state, run, |state: &State| {
            let gone = needs.iter().find(|id| state.swept.contains(id));
            if let Some(gone) = gone.filter(|_| !run.bugs.has(Bug::IgnoreSweepAtCommit)) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "a prune removed a pack that this backup uses; nothing was committed, back up again",
                )
                .with("pack", gone));
            }
            if let Some(fault) = state.faults.first().filter(|_| sealed.stored.reuses) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "the log has got an entry that cannot be understood, which may have removed what this backup uses; \
                     nothing was committed, back up again",
                )
                .with("entry", fault.seq)
                .with("reason", &fault.reason));
            }
            let closed = state.closed.contains(&manifest.run);
            if closed && !run.bugs.has(Bug::IgnoreSweepAtCommit) {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "a prune took this run for interrupted, because nothing was heard of it for so long; nothing was committed",
                )
                .with("run", manifest.run));
            }
            if state.origins.contains(&manifest.origin.backup) {
                return Ok(Decision::Nothing);
            }
            let revives = needs.iter().filter(|id| state.doomed.contains_key(id)).copied().collect();
            Ok(Decision::Commit(Action::Backup(Box::new(Manifest { revives, ..manifest.clone() }))))
        })
        .await?;
    match seq.map(|seq| state.backups.get(&seq).cloned()) {
        Some(None) => Err(Error::internal("the committed backup is not in the log")),
        record => Ok((state, record.flatten())),
    }
}

/// Names, lengths and digests of all streams, digested.
fn content_digest(streams: &[StoredStream]) -> Digest {
    let mut sorted: Vec<&StoredStream> = streams.iter().collect();
    sorted.sort_by(|a, b| a.info.name.cmp(&b.info.name));
    let mut hasher = blake3::Hasher::new();
    for s in sorted {
        hasher.update(&(s.info.name.len() as u64).to_le_bytes()).update(s.info.name.as_bytes());
        hasher.update(&s.end.length.to_le_bytes()).update(&s.end.digest.0);
    }
    Digest(*hasher.finalize().as_bytes())
}
