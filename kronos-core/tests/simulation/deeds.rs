//! What one client may do, and how it does it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kronos_core::testing::{FaultStorage, MemorySource};
use kronos_core::{
    BackupInfo, BackupOptions, Credentials, Differential, Error, Full, Id, Incremental, PruneOptions, Repository,
    RestoreOptions, Retention, RunContext, SlowStorage, Storage, StorageOutcome, backup, backup_to, copy, forget, hold,
    list, prune, release, restore,
};

use crate::ledger::Contents;

/// What one client does.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Backup {
        job: &'static str,
        strategy: u64,
        slow: bool,
    },
    /// Into both places out of one read.
    Both {
        job: &'static str,
        strategy: u64,
        patient: bool,
    },
    Forget {
        job: &'static str,
        backup: BackupInfo,
    },
    Hold {
        job: &'static str,
        backup: BackupInfo,
        on: bool,
    },
    Prune {
        job: &'static str,
        retention: Option<Retention>,
        compact: bool,
    },
    Copy {
        job: &'static str,
    },
    Restore {
        job: &'static str,
        backup: BackupInfo,
    },
    List {
        job: &'static str,
    },
}

/// How it ended.
pub(crate) enum End {
    Backup(Contents, Result<Option<Id>, Error>),
    Both(Contents, Result<Vec<StorageOutcome>, Error>),
    Done(Result<(), Error>),
    Prune(Box<Result<kronos_core::PruneReport, Error>>),
    Copy(Result<kronos_core::CopyReport, Error>),
    Restore(Result<(), Error>, Contents),
    List(Result<Vec<Id>, Error>),
    Crashed,
}

/// Runs one deed by a client that may crash at any of its operations.
pub(crate) async fn perform(
    deed: &Deed,
    client: &FaultStorage,
    second: &FaultStorage,
    other: Arc<dyn Storage>,
    sources: &BTreeMap<&'static str, MemorySource>,
    run: RunContext,
) -> End {
    let contents = sources[deed.job()].contents();
    tokio::select! {
        biased;
        () = client.crashed() => End::Crashed,
        () = second.crashed() => End::Crashed,
        end = execute(deed, client, second, other, sources, &run) => match end {
            Ok(end) => end,
            // Not even the repository could be opened.
            Err(e) => match deed {
                Deed::Backup { .. } => End::Backup(contents, Err(e)),
                Deed::Both { .. } => End::Both(contents, Err(e)),
                _ => End::Done(Err(e)),
            },
        },
    }
}

async fn execute(
    deed: &Deed,
    client: &FaultStorage,
    second: &FaultStorage,
    other: Arc<dyn Storage>,
    sources: &BTreeMap<&'static str, MemorySource>,
    run: &RunContext,
) -> Result<End, Error> {
    let storage: Arc<dyn Storage> = Arc::new(client.clone());
    let repository = Repository::open(storage, &Credentials::None, run).await?;
    Ok(match deed {
        Deed::Backup { job, strategy, slow } => {
            let mut source = sources[job].clone();
            if *slow {
                source = source.with_pause(Duration::from_millis(300));
            }
            let made = backup(&repository, &source, &options(*strategy), run).await;
            End::Backup(source.contents(), made.map(|r| r.backup.map(|b| b.id)))
        }
        Deed::Both { job, strategy, patient } => {
            let slow = SlowStorage::Drop { after: Duration::from_secs(30) };
            let options = options(*strategy).with_slow(if *patient { SlowStorage::Wait } else { slow });
            let source = sources[job].clone();
            let mut to = vec![repository];
            // One that cannot be opened does not keep the other from being written.
            to.extend(Repository::open(Arc::new(second.clone()), &Credentials::None, run).await);
            let made = backup_to(&to, &source, &options, run).await;
            End::Both(source.contents(), made.map(|r| r.storages.into_iter().map(|s| s.outcome).collect()))
        }
        Deed::Forget { backup, .. } => End::Done(forget(&repository, backup, run).await),
        Deed::Hold { backup, on: true, .. } => End::Done(hold(&repository, backup, run).await),
        Deed::Hold { backup, .. } => End::Done(release(&repository, backup, run).await),
        Deed::Prune { job, retention, compact } => {
            let options = PruneOptions::new(retention.clone()).with_compact(*compact);
            End::Prune(Box::new(prune(&repository, job, &options, run).await))
        }
        Deed::Copy { job } => {
            let from = Repository::open(other, &Credentials::None, run).await?;
            End::Copy(copy(&from, &repository, job, &[], run).await)
        }
        Deed::Restore { backup, .. } => {
            let target = MemorySource::new("target");
            let result = restore(&repository, backup, &target, &RestoreOptions::new(), run).await;
            End::Restore(result.map(|_| ()), target.contents())
        }
        Deed::List { job } => {
            let listing = list(&repository, Some(job), run).await;
            End::List(listing.map(|l| l.backups.iter().map(|b| b.id).collect()))
        }
    })
}

fn options(strategy: u64) -> BackupOptions {
    match strategy {
        0 => BackupOptions::new().with_strategy(Full),
        1 => BackupOptions::new().with_strategy(Differential::default()),
        _ => BackupOptions::new().with_strategy(Incremental::default()),
    }
}

impl Deed {
    pub(crate) fn job(&self) -> &'static str {
        match self {
            Self::Backup { job, .. }
            | Self::Both { job, .. }
            | Self::Forget { job, .. }
            | Self::Hold { job, .. }
            | Self::Prune { job, .. }
            | Self::Copy { job }
            | Self::Restore { job, .. }
            | Self::List { job } => job,
        }
    }
}

pub(crate) fn shown(deed: &Deed) -> String {
    match deed {
        Deed::Backup { job, strategy, slow } => format!("backup {job} {strategy} slow: {slow}"),
        Deed::Both { job, strategy, patient } => format!("backup to both {job} {strategy} patient: {patient}"),
        Deed::Forget { job, backup } => format!("forget {job} {}", backup.id.short()),
        Deed::Hold { job, backup, on } => format!("hold {job} {} {on}", backup.id.short()),
        Deed::Prune { job, retention, compact } => format!("prune {job} {retention:?} compact: {compact}"),
        Deed::Copy { job } => format!("copy {job}"),
        Deed::Restore { job, backup } => format!("restore {job} {}", backup.id.short()),
        Deed::List { job } => format!("list {job}"),
    }
}
