//! One backup of one job: one read goes into all storages that are up. Those with other keys get a
//! copy, and so do those that missed earlier backups.

use std::sync::Arc;

use kronos_core::{
    BackupInfo, BackupOptions, Connector, CopyReport, Error, ErrorKind, Repository, Result, StorageOutcome,
};

use super::result::{JobResult, Outcome};
use super::storages::{Slot, Storages};
use crate::failure::line;

/// What is tried for one job.
pub(super) struct Attempt<'a> {
    pub(super) storages: Storages<'a>,
    pub(super) options: BackupOptions,
    pub(super) connector: Arc<dyn Connector>,
}

impl Attempt<'_> {
    /// The backup, in all of them as far as they are up. An error means that none has it.
    pub(super) async fn make(&self, slots: &mut [Slot<'_>], dry_run: bool, result: &mut JobResult) -> Result<()> {
        self.storages.check_any(slots)?;
        self.plan(slots, result).await?;
        if dry_run {
            tell(slots);
            return Ok(());
        }
        self.storages.init(slots).await;
        self.storages.check_any(slots)?;
        let mut numbers = self.back_up(slots, result).await?;
        let copied = self.copy_to_others(slots, &numbers, result.backup.as_ref()).await;
        numbers.extend(copied);
        self.storages.catch_up(slots, &numbers).await;
        Ok(())
    }

    /// What would be done, by the first history there is.
    async fn plan(&self, slots: &[Slot<'_>], result: &mut JobResult) -> Result<()> {
        let mut failed = None;
        for there in slots.iter().filter_map(Slot::up) {
            match kronos_core::plan_backup(Some(there), &*self.connector, &self.options, &self.storages.run).await {
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
        for place in slots.iter().filter_map(|slot| slot.place.as_ref()).take(1) {
            place.check_init()?;
        }
        let plan = kronos_core::plan_backup(None, &*self.connector, &self.options, &self.storages.run).await?;
        result.plan = Some(plan);
        Ok(())
    }

    /// One read into all that are like the first; if that fails, into the first other one and those
    /// that are like it. Gives the numbers of those that took part, one that has it first.
    async fn back_up(&self, slots: &mut [Slot<'_>], result: &mut JobResult) -> Result<Vec<usize>> {
        loop {
            let up: Vec<(usize, Repository)> =
                slots.iter().enumerate().filter_map(|(n, slot)| Some((n, slot.up()?.clone()))).collect();
            let Some((_, first)) = up.first() else { return self.storages.check_any(slots).map(|()| Vec::new()) };
            let (family, others): (Vec<_>, Vec<_>) = up.iter().cloned().partition(|(_, one)| one.is_like(first));
            let (mut numbers, repositories): (Vec<usize>, Vec<Repository>) = family.into_iter().unzip();
            let made = kronos_core::backup_to(&repositories, &*self.connector, &self.options, &self.storages.run).await;
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
                    for n in &numbers {
                        self.storages.lost(&slots[*n].name, &e);
                    }
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
                    StorageOutcome::Failed(e) => self.storages.fail(slot, e),
                }
            }
            if let Some(backup) = &result.backup {
                backup.warnings.iter().for_each(|note| self.storages.note(format!("note: {note}")));
            }
            numbers.retain(|n| !slots[*n].has_failed());
            numbers.sort_by_key(|n| slots[*n].outcome == Some(Outcome::Dropped));
            return Ok(numbers);
        }
    }

    /// Copies the backup to where the keys are others. Gives the numbers of those that have it.
    async fn copy_to_others(
        &self,
        slots: &mut [Slot<'_>],
        family: &[usize],
        backup: Option<&BackupInfo>,
    ) -> Vec<usize> {
        let from = family.first().and_then(|n| slots[*n].repository.clone());
        let mut numbers = Vec::new();
        for (n, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| slot.outcome.is_none()) {
            let (Some(from), Some(to), Some(backup)) = (&from, &slot.repository, backup) else {
                slot.outcome = Some(Outcome::NothingToDo);
                continue;
            };
            let copied = kronos_core::copy(from, to, self.storages.job, &[backup.id], &self.storages.run).await;
            let failed = |report: CopyReport| match report.failed.first() {
                None => Ok(()),
                Some(failed) => {
                    Err(Error::new(ErrorKind::Corrupt, format!("the backup could not be copied: {failed}")))
                }
            };
            match copied.and_then(failed) {
                Ok(()) => {
                    slot.outcome = Some(Outcome::Copied);
                    numbers.push(n);
                }
                Err(e) => self.storages.fail(slot, e),
            }
        }
        numbers
    }
}

/// What would become of each storage.
fn tell(slots: &mut [Slot<'_>]) {
    let first = slots.iter().find_map(Slot::up).cloned();
    for slot in slots.iter_mut().filter(|slot| !slot.has_failed()) {
        let same = |first: &Repository| slot.repository.as_ref().is_none_or(|own| own.is_like(first));
        let same = first.as_ref().is_none_or(same);
        slot.outcome = Some(if same { Outcome::WouldBackUp } else { Outcome::WouldCopy });
    }
}
