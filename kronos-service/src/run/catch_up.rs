//! Brings to a job's storages what they have missed, without reading the source again.

use kronos_core::{Retention, RunContext};

use super::places::{Places, StorageChoice};
use super::result::{Outcome, StorageResult};
use super::retention::let_go;
use super::storages::Storages;

/// Backups that are to be copied to where they are missing.
#[derive(Debug, Clone)]
pub struct CatchUpTask {
    /// The job.
    pub job: String,
    /// Its storages.
    pub storages: Vec<StorageChoice>,
    /// What is kept there; `None` is everything.
    pub retention: Option<Retention>,
}

impl CatchUpTask {
    /// Copies what each of them lacks. A storage that is still down is one that failed; those that
    /// are up are caught up all the same.
    pub async fn run(&self, places: &dyn Places, run: &RunContext) -> Vec<StorageResult> {
        let storages = Storages { places, job: &self.job, run: run.clone(), several: true };
        let mut slots = storages.open(&self.storages).await;
        if slots.iter().any(|slot| slot.up().is_some()) {
            storages.init(&mut slots).await;
        }
        // The first that is up gets what any other has, and then gives it to all.
        let numbers: Vec<usize> = (0..slots.len()).filter(|n| slots[*n].up().is_some()).collect();
        for n in &numbers {
            slots[*n].outcome = Some(Outcome::NothingToDo);
        }
        storages.catch_up(&mut slots, &numbers).await;
        for slot in &mut slots {
            match slot.behind.take() {
                Some(error) => storages.fail(slot, error),
                None if slot.caught_up > 0 => slot.outcome = Some(Outcome::Copied),
                None => {}
            }
        }
        if let Some(rules) = &self.retention {
            let_go(&mut slots, &self.job, rules, run).await;
        }
        slots.into_iter().map(super::storages::Slot::into_result).collect()
    }
}
