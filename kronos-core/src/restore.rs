//! One restore: look first, then write phase after phase, then check the result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::connector::{Connector, PreviousStream, Restore, RestoreOutcome, RestoreRequest, TargetReport};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::manifest::{BackupInfo, StreamSummary};
use crate::pattern::matches_any;
use crate::pipeline::Fetcher;
use crate::repository::Repository;
use crate::repository::index::{Root, StoredStream};
use crate::repository::job::Job;
use crate::repository::pack::{Lies, look_for, name_of};
use crate::run::RunContext;
use crate::stream::{Phase, StreamInfo};

/// How a backup is to be restored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Names with `*` and `?` of what is to be restored: streams, tables, databases. Empty: all.
    pub only: Vec<String>,
    /// Restore who owns what. Without it, all belongs to the user of the target.
    pub owners: bool,
    /// Restore who may do what.
    pub privileges: bool,
    /// Replace what exists in the target, once the new is complete and checked.
    pub replace: bool,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { only: Vec::new(), owners: true, privileges: true, replace: false }
    }
}

impl RestoreOptions {
    /// Everything, and nothing is replaced.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, replacing what exists.
    #[must_use]
    pub fn with_replace(mut self) -> Self {
        self.replace = true;
        self
    }
}

/// What a restore would do.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RestorePlan {
    /// The backup.
    pub backup: BackupInfo,
    /// The streams.
    pub streams: Vec<StreamSummary>,
    /// Objects that it needs, all of which are there and have the right size.
    pub objects: u64,
    /// Their bytes.
    pub objects_bytes: u64,
    /// The state of the target.
    pub target: TargetReport,
}

impl RestorePlan {
    /// The error that keeps a restore into `target` from being begun: an obstacle, or something that is
    /// there and is not to be replaced.
    pub fn check(&self, target: &str, options: &RestoreOptions) -> Result<()> {
        let found = &self.target;
        if let Some(obstacle) = found.obstacles.first() {
            let full = found.free.is_some_and(|free| free < found.needed);
            let kind = if full { ErrorKind::StorageFull } else { ErrorKind::Config };
            return Err(Error::new(kind, obstacle).with("target", target));
        }
        if !found.existing.is_empty() && !options.replace {
            return Err(
                Error::new(ErrorKind::AlreadyExists, "the target exists").with("target", found.existing.join(", "))
            );
        }
        Ok(())
    }
}

/// What a restore did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The backup.
    pub backup: BackupInfo,
    /// Bytes of the streams written.
    pub bytes: u64,
    /// Rows written, where the engine has such.
    pub rows: Option<u64>,
    /// What the connector made and checked.
    #[serde(flatten)]
    pub outcome: RestoreOutcome,
}

/// Looks whether a restore can succeed; changes nothing.
pub async fn plan_restore(
    repository: &Repository,
    backup: &BackupInfo,
    target: &dyn Connector,
    options: &RestoreOptions,
    run: &RunContext,
) -> Result<RestorePlan> {
    Ok(prepare(repository, backup, target, options, run).await?.1)
}

/// Restores a backup into `target`. On an error the target is as it was before.
pub async fn restore(
    repository: &Repository,
    backup: &BackupInfo,
    target: &dyn Connector,
    options: &RestoreOptions,
    run: &RunContext,
) -> Result<RestoreReport> {
    run.emit(&Event::Started { operation: "restore", subject: backup.id.to_string() });
    let (prepared, plan) = prepare(repository, backup, target, options, run).await?;
    plan.check(&target.describe(), options)?;
    let bytes = prepared.streams.iter().map(|s| s.end.length).sum();
    run.emit(&Event::Estimated { bytes });
    let fetcher = Fetcher::of_root(&prepared.job, &prepared.root, run);
    let restore = target.begin_restore(&prepared.request, run).await?;
    let outcome = match write_phases(&*restore, &prepared.streams, &fetcher, run).await {
        Ok(()) => restore.finish().await?,
        Err(e) => {
            restore.abort().await;
            return Err(e);
        }
    };
    let rows = prepared.streams.iter().filter_map(|s| s.end.rows).reduce(|a, b| a + b);
    run.emit(&Event::Finished { operation: "restore", at: run.now() });
    Ok(RestoreReport { backup: backup.clone(), bytes, rows, outcome })
}

struct Prepared {
    job: Job,
    root: Root,
    streams: Vec<StoredStream>,
    request: RestoreRequest,
}

async fn prepare(
    repository: &Repository,
    backup: &BackupInfo,
    target: &dyn Connector,
    options: &RestoreOptions,
    run: &RunContext,
) -> Result<(Prepared, RestorePlan)> {
    target.validate()?;
    if target.engine() != backup.engine {
        return Err(Error::new(ErrorKind::Config, "the backup is of another engine than the target")
            .with("backup", &backup.engine)
            .with("target", target.engine()));
    }
    let (job, _, root) = crate::list::load(repository, backup, run).await?;
    let streams = chosen(&root.streams, &options.only);
    if streams.is_empty() && !root.streams.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "nothing in the backup has such a name")
            .with("only", options.only.join(" ")));
    }
    let (objects, objects_bytes) = check_objects(&job, &root, run).await?;
    let sworn = |s: &StoredStream| PreviousStream { info: s.info.clone(), end: s.end };
    let request = RestoreRequest {
        streams: streams.iter().map(sworn).collect(),
        only: options.only.clone(),
        owners: options.owners,
        privileges: options.privileges,
        replace: options.replace,
    };
    let plan = RestorePlan {
        backup: backup.clone(),
        streams: streams.iter().map(|s| StreamSummary::of(&s.info, &s.end)).collect(),
        objects,
        objects_bytes,
        target: target.inspect_target(&request).await?,
    };
    Ok((Prepared { job, root, streams, request }, plan))
}

/// The streams that have one of the names, and those that they cannot be written without.
fn chosen(streams: &[StoredStream], only: &[String]) -> Vec<StoredStream> {
    let named = |info: &StreamInfo| {
        only.is_empty() || matches_any(only, &info.name) || info.aliases.iter().any(|alias| matches_any(only, alias))
    };
    let groups: BTreeSet<_> = streams.iter().filter(|s| named(&s.info)).map(|s| &s.info.group).collect();
    let accompanies =
        |info: &StreamInfo| info.shared && !groups.is_empty() && (info.group.is_none() || groups.contains(&info.group));
    streams.iter().filter(|s| named(&s.info) || accompanies(&s.info)).cloned().collect()
}

/// Whether every pack is there with its right size, before anything is written.
async fn check_objects(job: &Job, root: &Root, run: &RunContext) -> Result<(u64, u64)> {
    futures::stream::iter(root.packs.clone())
        .map(|used| async move {
            let name = name_of(job, used.info.class, used.info.id);
            match look_for(job, &used.info, run).await? {
                Lies::Whole => Ok(()),
                Lies::Other(_) => Err(Error::corrupt("an object has another size than it had").with("object", &name)),
                Lies::Nothing(e) => Err(Error::corrupt("an object is missing").with("object", &name).with_source(e)),
            }
        })
        .buffer_unordered(16)
        .try_collect::<()>()
        .await?;
    Ok((root.packs.len() as u64, root.packs.iter().map(|p| p.info.size).sum()))
}

async fn write_phases(
    restore: &dyn Restore,
    streams: &[StoredStream],
    fetcher: &Arc<Fetcher>,
    run: &RunContext,
) -> Result<()> {
    let mut phases: BTreeMap<Phase, Vec<&StoredStream>> = BTreeMap::new();
    for stream in streams {
        phases.entry(stream.info.phase).or_default().push(stream);
    }
    for streams in phases.into_values() {
        let at_a_time = fetcher.at_a_time().min(streams.len());
        // By number: of a closure that is handed references the compiler cannot tell that its future may
        // be spawned.
        futures::stream::iter(0..streams.len())
            .map(|n| {
                let stored = streams[n];
                async move {
                    run.check_cancelled()?;
                    run.emit(&Event::StreamStarted { name: stored.info.name.clone() });
                    restore.write(fetcher.stream(stored, at_a_time)).await?;
                    run.emit(&Event::StreamFinished { name: stored.info.name.clone(), bytes: stored.end.length });
                    Ok::<_, Error>(())
                }
            })
            .buffer_unordered(at_a_time)
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}
