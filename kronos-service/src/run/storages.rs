//! The storages of one job: which are up, and what each of them lacks.

use kronos_core::{Error, ErrorKind, Event, Id, Repository, Result, RunContext};

use super::places::{Place, Places, StorageChoice};
use super::result::{Outcome, StorageResult};
use crate::failure::{Failure, in_full, line};
use crate::mask::mask;

/// One storage, and what has become of it so far.
#[derive(Default)]
pub(super) struct Slot<'a> {
    /// Its own name, or what was written when it has none.
    pub(super) name: String,
    /// Its name in the configuration.
    pub(super) configured: Option<String>,
    pub(super) place: Option<Box<dyn Place + 'a>>,
    pub(super) repository: Option<Repository>,
    pub(super) outcome: Option<Outcome>,
    pub(super) caught_up: u64,
    /// Why it still lacks backups that another has.
    pub(super) behind: Option<Error>,
    /// Backups that the job's rules let go here.
    pub(super) forgotten: Vec<Id>,
    /// Bytes freed here.
    pub(super) freed: u64,
    pub(super) error: Option<Error>,
}

impl Slot<'_> {
    pub(super) fn into_result(self) -> StorageResult {
        let error = self.error.as_ref().map(Failure::of);
        let outcome = self.outcome.unwrap_or(Outcome::Failed);
        StorageResult {
            storage: mask(&self.name),
            outcome,
            caught_up: self.caught_up,
            behind: self.behind.is_some(),
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

    pub(super) fn has_failed(&self) -> bool {
        self.outcome == Some(Outcome::Failed)
    }
}

/// The storages of one job.
pub(super) struct Storages<'a> {
    pub(super) places: &'a dyn Places,
    pub(super) job: &'a str,
    pub(super) run: RunContext,
    /// There is more than one storage: the rest goes on without one that fails.
    pub(super) several: bool,
}

impl<'a> Storages<'a> {
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

    pub(super) fn fail(&self, slot: &mut Slot<'_>, error: Error) {
        if self.several && error.kind() != ErrorKind::Cancelled {
            self.lost(&slot.name, &error);
        }
        slot.outcome = Some(Outcome::Failed);
        slot.error = Some(error);
    }

    pub(super) fn lost(&self, storage: &str, error: &Error) {
        self.run.emit(&Event::StorageLost { storage: mask(storage), error: in_full(error) });
    }

    pub(super) fn note(&self, message: String) {
        self.run.emit(&Event::Notice { message });
    }

    pub(super) fn warn(&self, message: String) {
        self.run.emit(&Event::Warning { message });
    }

    /// The error of the only storage, or of several of which none is left.
    pub(super) fn check_any(&self, slots: &mut [Slot<'_>]) -> Result<()> {
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

    /// Makes a repository where there is none: like the first that there is.
    pub(super) async fn init(&self, slots: &mut [Slot<'_>]) {
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

    /// Copies what any of them has missed, in earlier runs or because it was too slow in this one; the
    /// first of these numbers is to have all of this run. What goes wrong here is a warning.
    pub(super) async fn catch_up(&self, slots: &mut [Slot<'_>], numbers: &[usize]) {
        let up: Vec<(usize, Repository)> = numbers.iter().filter_map(|n| Some((*n, slots[*n].up()?.clone()))).collect();
        if up.len() < 2 {
            return;
        }
        let (numbers, repositories): (Vec<usize>, Vec<Repository>) = up.into_iter().unzip();
        let results = kronos_core::catch_up(&repositories, self.job, &self.run).await;
        for (n, caught_up) in numbers.into_iter().zip(results) {
            let slot = &mut slots[n];
            match caught_up {
                Ok(report) => {
                    for failed in &report.failed {
                        self.warn(format!("not copied to {}: {failed}", slot.name));
                    }
                    if let Some(failed) = report.failed.first() {
                        let message = format!("a backup could not be copied: {failed}");
                        slot.behind = Some(Error::new(ErrorKind::Corrupt, message));
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
                    slot.behind = Some(e);
                }
            }
        }
    }
}
