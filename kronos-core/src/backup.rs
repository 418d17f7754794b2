//! One backup, from the plan to the commit.
//!
//! Only what [`seal`] returns can be committed: a dump or a worker that failed half way has no
//! way to become a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::announce::{announce, interrupted_packs, keep_announcing, withdraw};
use crate::base::{Base, base, is_unread, must_read};
use crate::bugs::Bug;
use crate::connector::{Checkpoint, Connector, Dump, DumpRequest, Outline, Previous};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::heal::heal_after;
use crate::id::{Digest, Id};
use crate::manifest::BackupInfo;
use crate::pipeline::{Intake, Offer, Stored};
use crate::repository::entry::{Action, Manifest, Origin, RootRef};
use crate::repository::index::{Root, StoredStream};
use crate::repository::job::Job;
use crate::repository::retry::retry;
use crate::repository::state::{Record, State};
use crate::repository::{Decision, Repository, layout};
use crate::run::RunContext;
use crate::strategy::{BackupKind, Incremental, Plan, Strategy};
use crate::stream::{StreamId, StreamInfo};
use crate::time::Timestamp;

/// How a backup is to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// The job; the connector's own name for the source when absent.
    pub job: Option<String>,
    /// Decides what is read. Default: incremental.
    pub strategy: Arc<dyn Strategy>,
    /// Names with `*` and `?` that are left out.
    pub exclude: Vec<String>,
    /// Attached to the backup.
    pub tags: BTreeMap<String, String>,
    /// The zstd level, 1 to 19. Default 3.
    pub compression: i32,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            job: None,
            strategy: Arc::new(Incremental::default()),
            exclude: Vec::new(),
            tags: BTreeMap::new(),
            compression: 3,
        }
    }
}

impl BackupOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same under another job's name.
    #[must_use]
    pub fn with_job(mut self, job: impl Into<String>) -> Self {
        self.job = Some(job.into());
        self
    }

    /// The same with another strategy.
    #[must_use]
    pub fn with_strategy(mut self, strategy: impl Strategy + 'static) -> Self {
        self.strategy = Arc::new(strategy);
        self
    }
}

/// What a backup would do.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BackupPlan {
    /// The job.
    pub job: String,
    /// Whether the job would be made.
    pub new_job: bool,
    /// Full, incremental or differential; `None` when there is nothing to do.
    #[serde(rename = "strategy")]
    pub kind: Option<BackupKind>,
    /// The backup it would be compared with.
    pub parent: Option<Id>,
    /// Why the strategy fell back or does nothing.
    pub reason: Option<String>,
    /// About how many bytes would be read.
    pub estimate: u64,
}

/// What a backup did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The backup; `None` when the strategy found nothing to do.
    pub backup: Option<BackupInfo>,
    /// Why the strategy fell back or did nothing.
    pub reason: Option<String>,
    /// Backups that had been damaged, and are whole again because this one stored what they lacked.
    pub healed: Vec<Id>,
}

/// What was read and stored, proved to be the same.
struct Sealed {
    streams: Vec<StoredStream>,
    stored: Stored,
    position: Option<String>,
    warnings: Vec<String>,
    server_version: Option<String>,
}

/// Says what a backup would do; reads the source's size and the repository's log only.
/// The repository may not exist yet.
pub async fn plan_backup(
    repository: Option<&Repository>,
    connector: &dyn Connector,
    options: &BackupOptions,
    run: &RunContext,
) -> Result<BackupPlan> {
    connector.validate()?;
    let name = options.job.clone().unwrap_or_else(|| connector.default_job());
    layout::encode_job(&name)?;
    let job = match repository {
        None => None,
        Some(repository) => match Job::open(repository, &name, run).await {
            Ok(job) => Some(job),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        },
    };
    let history = match &job {
        Some(job) => job.load(run).await?.history(),
        None => crate::History::default(),
    };
    let plan = options.strategy.plan(&history, &connector.capabilities(), run.now());
    let (kind, parent, reason) = match plan {
        Plan::Full { reason } => (Some(BackupKind::Full), None, reason),
        Plan::Since { parent, kind } => (Some(kind), Some(parent), None),
        Plan::Skip { reason } => (None, None, Some(reason)),
    };
    let estimate = connector.estimate_size().await?;
    Ok(BackupPlan { job: name, new_job: job.is_none(), kind, parent, reason, estimate })
}

/// Makes one backup. Returns once it is committed; on an error nothing has been committed,
/// unless the error's context says that this is in doubt.
pub async fn backup(
    repository: &Repository,
    connector: &dyn Connector,
    options: &BackupOptions,
    run: &RunContext,
) -> Result<BackupReport> {
    connector.validate()?;
    let name = options.job.clone().unwrap_or_else(|| connector.default_job());
    run.emit(&Event::Started { operation: "backup", subject: name.clone() });
    let fingerprint = connector.fingerprint().await?;
    let job = Job::open_or_create(repository, &name, &fingerprint, run).await?;
    let state = job.load(run).await?;
    let plan = options.strategy.plan(&state.history(), &connector.capabilities(), run.now());
    let (kind, parent, reason) = match plan {
        Plan::Full { reason } => (BackupKind::Full, None, reason),
        Plan::Since { parent, kind } => (kind, Some(parent), None),
        Plan::Skip { reason } => return Ok(BackupReport { backup: None, reason: Some(reason), healed: Vec::new() }),
    };
    let started = run.now();
    let run_id = Id(run.random());
    announce(&job, run_id, started, run).await?;

    let mut warnings = fault_warnings(&state);
    for message in &warnings {
        run.emit(&Event::Warning { message: message.clone() });
    }
    let (base, state) = base(&job, state, parent, run, &mut warnings).await?;
    let read_before = base.as_ref().map(|b| b.record.manifest.read_in_full);
    let making = Making { job: &job, run_id, started, options, base: base.as_ref(), state: &state };
    let made = match making.make(connector, parent.is_some(), run).await {
        // The index of an unchanged stream turned out to be damaged: it is read after all.
        Err(e) if is_unread(&e) => {
            let message = format!("nothing is taken over unread: {e}");
            run.emit(&Event::Warning { message: message.clone() });
            warnings.push(message);
            making.make(connector, false, run).await
        }
        made => made,
    };
    let (outline, sealed) = made?;
    warnings.extend(sealed.warnings.iter().cloned());

    let unread = outline.streams.iter().any(|s| s.unchanged);
    let draft = Draft {
        run: run_id,
        backup: Id(run.random()),
        origin: None,
        engine: connector.engine(),
        kind,
        parent,
        started,
        read_in_full: read_before.filter(|_| unread).unwrap_or(started),
        tags: options.tags.clone(),
        warnings,
    };
    let (state, record) = commit(&job, state, draft, sealed, run).await?;
    let record = record.ok_or_else(|| Error::internal("a backup was taken for the copy of another"))?;
    withdraw(&job, run_id, run).await;
    let healed = heal_after(&job, state, &record, run).await;
    run.emit(&Event::Finished { operation: "backup", at: run.now() });
    Ok(BackupReport { backup: Some(BackupInfo::of(job.name(), &record)), reason, healed })
}

/// What a run makes its backup from.
struct Making<'a> {
    job: &'a Job,
    run_id: Id,
    started: Timestamp,
    options: &'a BackupOptions,
    base: Option<&'a Base>,
    state: &'a State,
}

impl Making<'_> {
    /// Reads the source and stores what is not there. With `unread`, streams that the connector
    /// can prove unchanged are taken over.
    async fn make(&self, connector: &dyn Connector, unread: bool, run: &RunContext) -> Result<(Outline, Sealed)> {
        let (job, run_id, state) = (self.job, self.run_id, self.state);
        let offer = Offer {
            parent: self.base.map(|b| b.root.clone()),
            adoptable: if state.faults.is_empty() { interrupted_packs(job, run_id, run).await } else { Vec::new() },
            avoid: state.doomed.keys().chain(&state.swept).copied().collect(),
            damage: self.base.map(|b| b.damage.clone()).unwrap_or_default(),
        };
        let (intake, _abort) = Intake::begin(job, run_id, self.options.compression, offer, run).await?;
        let previous = match self.base.filter(|_| unread) {
            None => None,
            Some(base) => {
                let usable = intake.usable_streams().await?;
                Some(base.previous(|stream| usable.contains(&stream.info.name)))
            }
        };
        let exclude = self.options.exclude.clone();
        let request = DumpRequest { previous, exclude, parallel: run.limits.parallel };
        let dump = connector.begin_dump(&request, run).await?;
        let outline = dump.outline().clone();
        check_outline(&outline, request.previous.as_ref())?;
        let work = async {
            let (streams, checkpoint) = read_streams(&intake, dump, &outline, run).await?;
            Ok::<_, Error>((streams, checkpoint, intake.finish().await?))
        };
        let (streams, checkpoint, stored) = tokio::select! {
            biased;
            done = work => done?,
            never = keep_announcing(job, run_id, self.started, run) => match never {},
        };
        let sealed = seal(&outline, checkpoint, streams, stored)?;
        Ok((outline, sealed))
    }
}

fn fault_warnings(state: &State) -> Vec<String> {
    let shown =
        |f: &crate::repository::state::Fault| format!("log entry {}: {}; everything is stored anew", f.seq, f.reason);
    state.faults.iter().map(shown).collect()
}

fn check_outline(outline: &Outline, previous: Option<&Previous>) -> Result<()> {
    let mut names = BTreeSet::new();
    for stream in &outline.streams {
        if !names.insert(&stream.name) {
            return Err(Error::internal("the connector named a stream twice").with("stream", &stream.name));
        }
        if stream.unchanged && previous.is_none_or(|p| !p.streams.contains_key(&stream.name)) {
            return Err(Error::internal("the connector calls a new stream unchanged").with("stream", &stream.name));
        }
    }
    Ok(())
}

/// Reads every stream, several at a time, then ends the dump.
async fn read_streams(
    intake: &Arc<Intake>,
    dump: Box<dyn Dump>,
    outline: &Outline,
    run: &RunContext,
) -> Result<(BTreeMap<StreamId, StoredStream>, Checkpoint)> {
    let bytes = outline.streams.iter().filter_map(|s| s.size_hint).sum();
    run.emit(&Event::Estimated { bytes });
    let streams: Vec<(StreamId, StreamInfo)> = (0..).map(StreamId).zip(outline.streams.iter().cloned()).collect();
    let read = futures::stream::iter(streams)
        .map(|(id, info)| {
            let dump = &dump;
            async move {
                if info.unchanged {
                    let taken = intake.take_over(&info).await.map_err(|e| must_read(e, &info.name))?;
                    return Ok::<_, Error>((id, taken));
                }
                run.emit(&Event::StreamStarted { name: info.name.clone() });
                let stored = intake.store(dump.open(id).await?).await.map_err(|e| e.with("stream", &info.name))?;
                run.emit(&Event::StreamFinished { name: info.name, bytes: stored.end.length });
                Ok((id, stored))
            }
        })
        .buffer_unordered(run.limits.parallel.max(1))
        .try_collect::<BTreeMap<_, _>>()
        .await;
    match read {
        Ok(read) => Ok((read, dump.finish().await?)),
        Err(e) => {
            dump.abort().await;
            Err(e)
        }
    }
}

/// Compares what the dump swears to with what was stored, stream by stream.
fn seal(
    outline: &Outline,
    checkpoint: Checkpoint,
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
    Ok(Sealed { streams: sealed, stored, position: checkpoint.position, warnings, server_version })
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
    pub read_in_full: Timestamp,
    pub tags: BTreeMap<String, String>,
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
async fn commit(
    job: &Job,
    state: State,
    draft: Draft,
    sealed: Sealed,
    run: &RunContext,
) -> Result<(State, Option<Record>)> {
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
        finished: run.now(),
        read_in_full: draft.read_in_full,
        root: root_ref,
        streams: root.streams.len() as u64,
        bytes: sum(|s| s.end.length),
        bytes_read: read,
        bytes_stored: sealed.stored.added + object.len() as u64,
        rows: root.streams.iter().map(|s| s.end.rows).sum::<Option<u64>>(),
        position: sealed.position,
        server_version: sealed.server_version,
        tags: draft.tags,
        warnings: draft.warnings,
        revives: Vec::new(),
        program: concat!("kronos ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let needs: BTreeSet<Id> = root.references(root_id).collect();
    let (state, seq) = job
        .commit(state, run, async |state: &State| {
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
pub(crate) fn content_digest(streams: &[StoredStream]) -> Digest {
    let mut sorted: Vec<&StoredStream> = streams.iter().collect();
    sorted.sort_by(|a, b| a.info.name.cmp(&b.info.name));
    let mut hasher = blake3::Hasher::new();
    for s in sorted {
        hasher.update(&(s.info.name.len() as u64).to_le_bytes()).update(s.info.name.as_bytes());
        hasher.update(&s.end.length.to_le_bytes()).update(&s.end.digest.0);
    }
    Digest(*hasher.finalize().as_bytes())
}
