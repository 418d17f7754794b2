//! The storages of one job: one read goes into all that are up. Those with other keys get a copy,
//! and so do those that missed earlier backups.

use std::sync::Arc;

use kronos_core::{
    BackupInfo, BackupOptions, Connector, CopyReport, Error, ErrorKind, Repository, Result, RunContext, StorageOutcome,
};

use super::job::{Failure, JobResult, Outcome, StorageResult};
use crate::app::App;
use crate::errors::line;
use crate::places::Place;
use crate::units;
use kronos_service::mask;

/// One storage, and what has become of it so far.
#[derive(Default)]
pub(super) struct Slot {
    /// Its own name, or what was written when it has none.
    name: String,
    place: Option<Place>,
    repository: Option<Repository>,
    outcome: Option<Outcome>,
    caught_up: u64,
    error: Option<Error>,
}

impl Slot {
    pub(super) fn into_result(self) -> StorageResult {
        let error = self.error.as_ref().map(Failure::of);
        let outcome = self.outcome.unwrap_or(Outcome::Failed);
        StorageResult { storage: mask(&self.name), outcome, caught_up: self.caught_up, error }
    }

    /// Its repository, unless something has gone wrong there.
    fn up(&self) -> Option<&Repository> {
        self.repository.as_ref().filter(|_| !self.has_failed())
    }

    fn has_failed(&self) -> bool {
        self.outcome == Some(Outcome::Failed)
    }
}

/// What is tried for one job.
pub(super) struct Attempt<'a> {
    pub(super) app: &'a App,
    pub(super) job: &'a str,
    pub(super) options: BackupOptions,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) run: RunContext,
    /// There is more than one storage: errors are shown as they come, and the rest goes on.
    pub(super) several: bool,
}

impl Attempt<'_> {
    /// Looks at each storage.
    pub(super) async fn open(&self, urls: &[String]) -> Vec<Slot> {
        let mut slots = Vec::new();
        for url in urls {
            let mut slot = Slot { name: url.clone(), ..Slot::default() };
            let opened = async {
                let place = slot.place.insert(self.app.place(url)?);
                slot.name.clone_from(&place.name);
                self.app.open_if_there(place).await
            };
            match opened.await {
                Ok(there) => slot.repository = there,
                Err(e) => self.fail(&mut slot, e),
            }
            slots.push(slot);
        }
        slots
    }

    fn fail(&self, slot: &mut Slot, error: Error) {
        if self.several && error.kind() != ErrorKind::Cancelled {
            self.app.out.error(&error, "backup");
        }
        slot.outcome = Some(Outcome::Failed);
        slot.error = Some(error);
    }

    /// The backup, in all of them as far as they are up. An error means that none has it.
    pub(super) async fn make(&self, slots: &mut [Slot], dry_run: bool, result: &mut JobResult) -> Result<()> {
        self.check_any(slots)?;
        self.plan(slots, result).await?;
        if dry_run {
            tell(slots);
            return Ok(());
        }
        let estimate = units::bytes(result.plan.as_ref().map_or(0, |plan| plan.estimate));
        self.app.out.note(&format!("{}: about {estimate} in {}", self.job, self.connector.describe()));
        self.init(slots).await;
        self.check_any(slots)?;
        let family = self.back_up(slots, result).await?;
        self.copy_to_others(slots, &family, result.backup.as_ref()).await;
        self.catch_up(slots, &family).await;
        Ok(())
    }

    /// The error of the only storage, or of several of which none is left.
    fn check_any(&self, slots: &mut [Slot]) -> Result<()> {
        self.app.run.check_cancelled()?;
        if slots.iter().any(|slot| !slot.has_failed()) {
            return Ok(());
        }
        let last = slots.last_mut().and_then(|slot| slot.error.take());
        let Some(last) = last else { return Err(Error::new(ErrorKind::Internal, "a job without storages")) };
        if !self.several {
            return Err(last);
        }
        if let Some(slot) = slots.last_mut() {
            slot.error = Some(Error::new(last.kind(), line(&last)));
        }
        Err(Error::new(ErrorKind::Io, "no storage could take the backup").with("job", self.job).with_source(last))
    }

    /// What would be done, by the first history there is.
    async fn plan(&self, slots: &[Slot], result: &mut JobResult) -> Result<()> {
        let mut failed = None;
        for there in slots.iter().filter_map(Slot::up) {
            match kronos_core::plan_backup(Some(there), &*self.connector, &self.options, &self.run).await {
                Ok(plan) => {
                    result.plan = Some(plan);
                    return Ok(());
                }
                Err(e) => failed = Some(e),
            }
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        self.app.keys()?.protection()?;
        let plan = kronos_core::plan_backup(None, &*self.connector, &self.options, &self.run).await?;
        result.plan = Some(plan);
        Ok(())
    }

    /// Makes a repository where there is none: like the first that there is.
    async fn init(&self, slots: &mut [Slot]) {
        for n in 0..slots.len() {
            let like = slots.iter().find_map(Slot::up).cloned();
            let slot = &mut slots[n];
            if slot.has_failed() || slot.repository.is_some() {
                continue;
            }
            let Some(place) = &slot.place else { continue };
            let made = match like {
                Some(like) => self.app.open_or_init_like(place, &like).await,
                None => self.app.open_or_init(place).await,
            };
            match made {
                Ok(made) => slot.repository = Some(made),
                Err(e) => self.fail(slot, e),
            }
        }
    }

    /// One read into all that are like the first; if that fails, into the first other one and those
    /// that are like it. Gives the numbers of those that took part, one that has it first.
    async fn back_up(&self, slots: &mut [Slot], result: &mut JobResult) -> Result<Vec<usize>> {
        loop {
            let up: Vec<(usize, Repository)> =
                slots.iter().enumerate().filter_map(|(n, slot)| Some((n, slot.up()?.clone()))).collect();
            let Some((_, first)) = up.first() else { return self.check_any(slots).map(|()| Vec::new()) };
            let (family, others): (Vec<_>, Vec<_>) = up.iter().cloned().partition(|(_, one)| one.is_like(first));
            let (mut numbers, repositories): (Vec<usize>, Vec<Repository>) = family.into_iter().unzip();
            let made = kronos_core::backup_to(&repositories, &*self.connector, &self.options, &self.run).await;
            let report = match made {
                Ok(report) => report,
                Err(e) => {
                    for n in &numbers {
                        slots[*n].outcome = Some(Outcome::Failed);
                        slots[*n].error = Some(Error::new(e.kind(), line(&e)));
                    }
                    if others.is_empty() || e.kind() == ErrorKind::Cancelled {
                        return Err(e);
                    }
                    self.app.out.error(&e, "backup");
                    continue;
                }
            };
            result.backup = report.backup().cloned();
            result.reason = report.reason;
            for (n, storage) in numbers.iter().zip(report.storages) {
                let slot = &mut slots[*n];
                result.healed.extend(storage.healed);
                match storage.outcome {
                    StorageOutcome::Committed(_) => slot.outcome = Some(Outcome::BackedUp),
                    StorageOutcome::NothingToDo => slot.outcome = Some(Outcome::NothingToDo),
                    StorageOutcome::Dropped(e) => {
                        slot.outcome = Some(Outcome::Dropped);
                        slot.error = Some(e);
                    }
                    StorageOutcome::Failed(e) => self.fail(slot, e),
                }
            }
            if let Some(backup) = &result.backup {
                backup.warnings.iter().for_each(|note| self.app.out.note(&format!("note: {note}")));
            }
            numbers.retain(|n| !slots[*n].has_failed());
            numbers.sort_by_key(|n| slots[*n].outcome == Some(Outcome::Dropped));
            return Ok(numbers);
        }
    }

    /// Copies the backup to where the keys are others.
    async fn copy_to_others(&self, slots: &mut [Slot], family: &[usize], backup: Option<&BackupInfo>) {
        let from = family.first().and_then(|n| slots[*n].repository.clone());
        for slot in slots.iter_mut().filter(|slot| slot.outcome.is_none()) {
            let (Some(from), Some(to), Some(backup)) = (&from, &slot.repository, backup) else {
                slot.outcome = Some(Outcome::NothingToDo);
                continue;
            };
            let copied = kronos_core::copy(from, to, self.job, &[backup.id], &self.run).await;
            let failed = |report: CopyReport| match report.failed.first() {
                None => Ok(()),
                Some(failed) => {
                    Err(Error::new(ErrorKind::Corrupt, format!("the backup could not be copied: {failed}")))
                }
            };
            match copied.and_then(failed) {
                Ok(()) => slot.outcome = Some(Outcome::Copied),
                Err(e) => self.fail(slot, e),
            }
        }
    }

    /// Copies what any of the family has missed, in earlier runs or because it was too slow in this
    /// one. The backup is made, so what goes wrong here is a warning.
    async fn catch_up(&self, slots: &mut [Slot], family: &[usize]) {
        let repositories: Vec<Repository> = family.iter().filter_map(|n| slots[*n].repository.clone()).collect();
        if repositories.len() < 2 {
            return;
        }
        let results = kronos_core::catch_up(&repositories, self.job, &self.run).await;
        for (n, caught_up) in family.iter().zip(results) {
            let slot = &mut slots[*n];
            match caught_up {
                Ok(report) => {
                    for failed in &report.failed {
                        self.app.warn(&format!("not copied to {}: {failed}", slot.name));
                    }
                    slot.caught_up = report.copied.len() as u64;
                    if slot.outcome == Some(Outcome::Dropped) && report.failed.is_empty() {
                        self.app.out.note(&format!(
                            "{} was too slow and was left out; a copy brought it the backup",
                            slot.name
                        ));
                        slot.outcome = Some(Outcome::Copied);
                        slot.error = None;
                        slot.caught_up = slot.caught_up.saturating_sub(1);
                    }
                }
                Err(e) => {
                    self.app.warn(&format!("{} lacks backups and could not be caught up: {}", slot.name, line(&e)));
                }
            }
        }
    }
}

/// What would become of each storage.
fn tell(slots: &mut [Slot]) {
    let first = slots.iter().find_map(Slot::up).cloned();
    for slot in slots.iter_mut().filter(|slot| !slot.has_failed()) {
        let same = |first: &Repository| slot.repository.as_ref().is_none_or(|own| own.is_like(first));
        let same = first.as_ref().is_none_or(same);
        slot.outcome = Some(if same { Outcome::WouldBackUp } else { Outcome::WouldCopy });
    }
}
