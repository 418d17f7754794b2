//! One backup, from the plan to the commit, into one repository or into several out of one read.

mod make;
mod options;
mod report;
mod target;

use std::sync::Arc;

use crate::announce::withdraw;
use crate::base::is_unread;
use crate::commit::{Draft, Sealed, commit};
use crate::connector::Connector;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::heal::heal_after;
use crate::id::Id;
use crate::manifest::BackupInfo;
use crate::party::{Loss, Party};
use crate::pipeline::Each;
use crate::repository::entry::Origin;
use crate::repository::job::Job;
use crate::repository::state::{Record, State};
use crate::repository::{Repository, layout};
use crate::run::RunContext;
use crate::strategy::{BackupKind, Plan};

use make::Making;
use target::{Target, check_number, open, refuse_strangers};

pub(crate) use options::COMPRESSION;
pub use options::{BackupOptions, SlowStorage};
pub use report::{BackupPlan, BackupReport, SeveralReport, StorageOutcome, StorageReport};

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
    let mut report = backup_to(std::slice::from_ref(repository), connector, options, run).await?;
    let reason = report.reason.take();
    let one = report.storages.pop().ok_or_else(|| Error::internal("a backup into nothing"))?;
    match one.outcome {
        StorageOutcome::Committed(backup) => Ok(BackupReport { backup: Some(*backup), reason, healed: one.healed }),
        StorageOutcome::NothingToDo => Ok(BackupReport { backup: None, reason, healed: one.healed }),
        StorageOutcome::Failed(error) | StorageOutcome::Dropped(error) => Err(error),
    }
}

/// Makes one backup in several repositories: the source is read once, and everything is cut,
/// compressed and sealed once. They need the same keys and chunker parameters as the first
/// ([`Repository::is_like`]), and have logs and packs of their own: each is sent what it lacks.
///
/// A repository that fails is left out, and so is one that is too slow, if the options say so; the
/// report tells which hold the backup. It is an error if the source fails, or if none is left.
pub async fn backup_to(
    repositories: &[Repository],
    connector: &dyn Connector,
    options: &BackupOptions,
    run: &RunContext,
) -> Result<SeveralReport> {
    connector.validate()?;
    check_number(repositories)?;
    let name = options.job.clone().unwrap_or_else(|| connector.default_job());
    run.emit(&Event::Started { operation: "backup", subject: name.clone() });
    let party = Arc::new(Party::new(&repositories.iter().collect::<Vec<_>>(), options.slow, run));
    refuse_strangers(&party, repositories)?;
    let fingerprint = connector.fingerprint().await?;
    let opening = repositories.iter().enumerate().map(|(n, to)| (n, open(to, &name, &fingerprint, run)));
    let opened = party.together(opening).await?;

    // The first one's history decides; where the parent has another id, its origin is the same.
    let (_, first) = opened.values().next().ok_or_else(|| Error::internal("no repository is left"))?;
    let plan = options.strategy.plan(&first.history(), &connector.capabilities(), run.now());
    let (kind, parent, reason) = match plan {
        Plan::Full { reason } => (BackupKind::Full, None, reason),
        Plan::Since { parent, kind } => (kind, first.find(parent).map(|r| r.manifest.origin.backup), None),
        Plan::Skip { reason } => return Ok(report(repositories, &party, Each::new(), Some(reason))),
    };
    let (run_id, started) = (Id(run.random()), run.now());
    let preparing = opened.into_iter().map(|(n, o)| (n, Target::prepare(o, parent, (run_id, started), run)));
    let mut targets = party.together(preparing).await?;

    let attempt = async |targets: &Each<Target>, unread: bool| {
        Making { party: &party, targets, run_id, started, options }.make(connector, unread, run).await
    };
    let made = match attempt(&targets, parent.is_some()).await {
        // The index of an unchanged stream turned out to be damaged: it is read after all.
        Err(e) if is_unread(&e) => {
            let message = format!("nothing is taken over unread: {e}");
            run.emit(&Event::Warning { message: message.clone() });
            for target in targets.values_mut() {
                target.distrust(&e, &message);
            }
            attempt(&targets, false).await
        }
        made => made,
    };
    let (outline, sealed) = made?;

    // It has one id everywhere, and the first repository is its origin: no copy makes a second one.
    let backup = Id(run.random());
    let origin = sealed.keys().next().map(|first| Origin { repository: repositories[*first].id(), backup });
    let unread = outline.streams.iter().any(|s| s.unchanged);
    let draft = |target: &mut Target| Draft {
        run: run_id,
        backup,
        origin,
        engine: connector.engine(),
        kind: target.kind(kind),
        parent: target.parent,
        started,
        finished: None,
        read_in_full: target
            .base
            .as_ref()
            .map(|b| b.record.manifest.read_in_full)
            .filter(|_| unread)
            .unwrap_or(started),
        tags: options.tags.clone(),
        warnings: std::mem::take(&mut target.warnings),
    };
    let committing = sealed.into_iter().filter_map(|(n, sealed)| {
        let mut target = targets.remove(&n)?;
        let draft = draft(&mut target);
        Some((n, commit_one(target, draft, sealed, run)))
    });
    let before = party.live();
    let committed = party.together(committing).await?;
    party.doubt(before);
    let mut done = Each::new();
    for (n, (job, state, record)) in committed {
        withdraw(&job, run_id, run).await;
        let healed = heal_after(&job, state, &record, run).await;
        done.insert(n, (BackupInfo::of(job.name(), &record), healed));
    }
    run.emit(&Event::Finished { operation: "backup", at: run.now() });
    Ok(report(repositories, &party, done, reason))
}

async fn commit_one(target: Target, draft: Draft, sealed: Sealed, run: &RunContext) -> Result<(Job, State, Record)> {
    let (state, record) = commit(&target.job, target.state, draft, sealed, run).await?;
    let record = record.ok_or_else(|| Error::internal("a backup was taken for the copy of another"))?;
    Ok((target.job, state, record))
}

fn report(
    repositories: &[Repository],
    party: &Party,
    mut done: Each<(BackupInfo, Vec<Id>)>,
    reason: Option<String>,
) -> SeveralReport {
    let mut losses = party.take_losses();
    let one = |(n, repository): (usize, &Repository)| {
        let (outcome, healed) = match (done.remove(&n), losses.remove(&n)) {
            (Some((backup, healed)), _) => (StorageOutcome::Committed(Box::new(backup)), healed),
            (None, Some(Loss { error, slow: true })) => (StorageOutcome::Dropped(error), Vec::new()),
            (None, Some(Loss { error, slow: false })) => (StorageOutcome::Failed(error), Vec::new()),
            (None, None) => (StorageOutcome::NothingToDo, Vec::new()),
        };
        StorageReport { storage: repository.describe(), outcome, healed }
    };
    SeveralReport { storages: repositories.iter().enumerate().map(one).collect(), reason }
}
