//! The storages of one job: one read goes into all that are up. Those with other keys get a copy,
//! and so do those that missed earlier backups.

use std::sync::Arc;

use kronos_core::{
    BackupInfo, BackupOptions, Connector, CopyReport, Error, ErrorKind, Event, Id, Repository, Result, RunContext,
    StorageOutcome,
};

use super::places::{Place, Places, StorageChoice};
use super::result::{JobResult, Outcome, StorageResult};
use crate::failure::{Failure, causes, line};
use crate::mask::mask;

/// One storage, and what has become of it so far.
#[derive(Default)]
pub(super) struct Slot<'a> {
    /// Its own name, or what was written when it has none.
    pub(super) name: String,
    /// Its name in the configuration.
    configured: Option<String>,
    place: Option<Box<dyn Place + 'a>>,
    repository: Option<Repository>,
    outcome: Option<Outcome>,
    caught_up: u64,
    /// Backups that the job's rules let go here.
    pub(super) forgotten: Vec<Id>,
    /// Bytes freed here.
    pub(super) freed: u64,
    error: Option<Error>,
}

impl Slot<'_> {
    pub(super) fn into_result(self) -> StorageResult {
        let error = self.error.as_ref().map(Failure::of);
        let outcome = self.outcome.unwrap_or(Outcome::Failed);
        StorageResult {
            storage: mask(&self.name),
            outcome,
            caught_up: self.caught_up,
            forgotten: self.forgotten,
            freed: self.freed,
            error,
            cause: self.error,
            name: self.configured,
        }
    }

    /// Its repository, unless something has gone wrong there.
    pub(super) fn up(&self) -> Option<&Repository> {
        self.repository.as_ref().filter(|_| !self.has_failed())
    }

    fn has_failed(&self) -> bool {
        self.outcome == Some(Outcome::Failed)
    }
}

/// What is tried for one job.
pub(super) struct Attempt<'a> {
    pub(super) places: &'a dyn Places,
    pub(super) job: &'a str,
    pub(super) options: BackupOptions,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) run: RunContext,
    /// There is more than one storage: the rest goes on without one that fails.
    pub(super) several: bool,
}

impl<'a> Attempt<'a> {
    /// Looks at each storage.
    pub(super) async fn open(&self, storages: &[StorageChoice]) -> Vec<Slot<'a>> {
        let mut slots = Vec::new();
        for storage in storages {
            let (name, configured) = (storage.location.clone(), storage.name.clone());
            let mut slot = Slot { name, configured, ..Slot::default() };
            let opened = async {
                let place = slot.place.insert(self.places.place(&storage.location)?);
                place.name().clone_into(&mut slot.name);
                place.open(&self.run).await
            };
            match opened.await {
                Ok(there) => slot.repository = there,
                Err(e) => self.fail(&mut slot, e),
            }
            slots.push(slot);
        }
        slots
    }

    fn fail(&self, slot: &mut Slot<'_>, error: Error) {
        if self.several && error.kind() != ErrorKind::Cancelled {
            self.lost(&slot.name, &error);
        }
        slot.outcome = Some(Outcome::Failed);
        slot.error = Some(error);
    }

    fn lost(&self, storage: &str, error: &Error) {
        let mut lines = vec![line(error)];
        lines.extend(causes(error));
        self.run.emit(&Event::StorageLost { storage: mask(storage), error: lines.join(": ") });
    }

    fn note(&self, message: String) {
        self.run.emit(&Event::Notice { message });
    }

    fn warn(&self, message: String) {
        self.run.emit(&Event::Warning { message });
    }

    /// The backup, in all of them as far as they are up. An error means that none has it.
    pub(super) async fn make(&self, slots: &mut [Slot<'_>], dry_run: bool, result: &mut JobResult) -> Result<()> {
        self.check_any(slots)?;
        self.plan(slots, result).await?;
        if dry_run {
            tell(slots);
            return Ok(());
        }
        self.init(slots).await;
        self.check_any(slots)?;
        let family = self.back_up(slots, result).await?;
        self.copy_to_others(slots, &family, result.backup.as_ref()).await;
        self.catch_up(slots, &family).await;
        Ok(())
    }

    /// The error of the only storage, or of several of which none is left.
    fn check_any(&self, slots: &mut [Slot<'_>]) -> Result<()> {
        self.run.check_cancelled()?;
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
    async fn plan(&self, slots: &[Slot<'_>], result: &mut JobResult) -> Result<()> {
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
        for place in slots.iter().filter_map(|slot| slot.place.as_ref()).take(1) {
            place.check_init()?;
        }
        let plan = kronos_core::plan_backup(None, &*self.connector, &self.options, &self.run).await?;
        result.plan = Some(plan);
        Ok(())
    }

    /// Makes a repository where there is none: like the first that there is.
    async fn init(&self, slots: &mut [Slot<'_>]) {
        for n in 0..slots.len() {
            let like = slots.iter().find_map(Slot::up).cloned();
            let slot = &mut slots[n];
            if slot.has_failed() || slot.repository.is_some() {
                continue;
            }
            let Some(place) = &slot.place else { continue };
            match place.open_or_init(like.as_ref(), &self.run).await {
                Ok(made) => slot.repository = Some(made),
                Err(e) => self.fail(slot, e),
            }
        }
    }

    /// One read into all that are like the first; if that fails, into the first other one and those
    /// that are like it. Gives the numbers of those that took part, one that has it first.
    async fn back_up(&self, slots: &mut [Slot<'_>], result: &mut JobResult) -> Result<Vec<usize>> {
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
                    for n in &numbers {
                        self.lost(&slots[*n].name, &e);
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
                    StorageOutcome::Failed(e) => self.fail(slot, e),
                }
            }
            if let Some(backup) = &result.backup {
                backup.warnings.iter().for_each(|note| self.note(format!("note: {note}")));
            }
            numbers.retain(|n| !slots[*n].has_failed());
            numbers.sort_by_key(|n| slots[*n].outcome == Some(Outcome::Dropped));
            return Ok(numbers);
        }
    }

    /// Copies the backup to where the keys are others.
    async fn copy_to_others(&self, slots: &mut [Slot<'_>], family: &[usize], backup: Option<&BackupInfo>) {
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
    async fn catch_up(&self, slots: &mut [Slot<'_>], family: &[usize]) {
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
                        self.warn(format!("not copied to {}: {failed}", slot.name));
                    }
                    slot.caught_up = report.copied.len() as u64;
                    if slot.outcome == Some(Outcome::Dropped) && report.failed.is_empty() {
                        let name = &slot.name;
                        self.note(format!("{name} was too slow and was left out; a copy brought it the backup"));
                        slot.outcome = Some(Outcome::Copied);
                        slot.error = None;
                        slot.caught_up = slot.caught_up.saturating_sub(1);
                    }
                }
                Err(e) => {
                    self.warn(format!("{} lacks backups and could not be caught up: {}", slot.name, line(&e)));
                }
            }
        }
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
