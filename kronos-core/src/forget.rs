//! Forgetting, holding and releasing single backups.

use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::list::open;
use crate::manifest::BackupInfo;
use crate::repository::entry::Action;
use crate::repository::state::State;
use crate::repository::{Decision, Repository};
use crate::run::RunContext;

/// Forgets one backup. Its packs are freed by the next prune. A held backup is refused, and so
/// is any while the log has entries that cannot be understood.
pub async fn forget(repository: &Repository, backup: &BackupInfo, run: &RunContext) -> Result<()> {
    change(repository, backup, run, |state| {
        refuse_with_faults(state)?;
        let record = find(state, backup.id)?;
        if record.held {
            return Err(Error::new(ErrorKind::Conflict, "the backup is held").with("backup", backup.id));
        }
        Ok(Decision::Commit(Action::Forget { backups: vec![backup.id] }))
    })
    .await
}

/// Protects a backup from being forgotten.
pub async fn hold(repository: &Repository, backup: &BackupInfo, run: &RunContext) -> Result<()> {
    change(repository, backup, run, |state| {
        let held = find(state, backup.id)?.held && is_certain(state);
        Ok(if held { Decision::Nothing } else { Decision::Commit(Action::Hold { backup: backup.id }) })
    })
    .await
}

/// Lifts the protection.
pub async fn release(repository: &Repository, backup: &BackupInfo, run: &RunContext) -> Result<()> {
    change(repository, backup, run, |state| {
        let held = find(state, backup.id)?.held || !is_certain(state);
        Ok(if held { Decision::Commit(Action::Release { backup: backup.id }) } else { Decision::Nothing })
    })
    .await
}

/// Notes the result of a verification.
pub async fn mark_verified(repository: &Repository, backup: &BackupInfo, good: bool, run: &RunContext) -> Result<()> {
    change(repository, backup, run, |state| {
        find(state, backup.id)?;
        Ok(Decision::Commit(Action::Verified { backup: backup.id, good }))
    })
    .await
}

async fn change(
    repository: &Repository,
    backup: &BackupInfo,
    run: &RunContext,
    decide: impl Fn(&State) -> Result<Decision> + Send,
) -> Result<()> {
    let (job, state) = open(repository, &backup.job, run).await?;
    job.commit(state, run, decide).await?;
    Ok(())
}

/// An entry that cannot be read now, and can be again later, may say otherwise: then it is said again.
fn is_certain(state: &State) -> bool {
    state.faults.is_empty()
}

fn find(state: &State, backup: Id) -> Result<&crate::repository::state::Record> {
    state.find(backup).ok_or_else(|| Error::new(ErrorKind::NotFound, "no such backup").with("backup", backup))
}

/// What is not fully understood is never deleted.
pub(crate) fn refuse_with_faults(state: &State) -> Result<()> {
    match state.faults.first() {
        None => Ok(()),
        Some(fault) => Err(Error::corrupt("the log has an entry that cannot be understood, so nothing is deleted")
            .with("entry", fault.seq)
            .with("reason", &fault.reason)),
    }
}
