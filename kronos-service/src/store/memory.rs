//! A job store in memory, for tests and for programs that keep nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Id, Result, Timestamp};

use super::{
    Adoption, Claimed, HISTORY, JobStore, Outcome, Owner, RunRecord, RunState, Settled, Settlement, Skip, SkipReason,
    Task, TaskState,
};

/// A job store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    rooms: Mutex<BTreeMap<Task, Room>>,
    history: usize,
}

#[derive(Debug)]
struct Room {
    rule: String,
    handled: Timestamp,
    epoch: u32,
    paused: Option<Timestamp>,
    retired: bool,
    queued: Option<RunRecord>,
    running: Option<RunRecord>,
    // Oldest first.
    ended: Vec<RunRecord>,
    skips: Vec<Skip>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::with_history(HISTORY)
    }

    /// An empty one that keeps so many ended runs, and so many reasons, of each task.
    pub fn with_history(history: usize) -> Self {
        Self { rooms: Mutex::default(), history }
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<Task, Room>> {
        // Each change is made after all that could panic.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known<T>(&self, task: &Task, change: impl FnOnce(&mut Room) -> T) -> Result<T> {
        match self.rooms().get_mut(task) {
            Some(room) => Ok(change(room)),
            None => Err(Error::new(ErrorKind::NotFound, "the job store knows no such job").with("job", &task.job)),
        }
    }
}

impl Room {
    fn new(rule: String, now: Timestamp) -> Self {
        let (paused, queued, running) = (None, None, None);
        Self {
            rule,
            handled: now,
            epoch: 0,
            paused,
            retired: false,
            queued,
            running,
            ended: Vec::new(),
            skips: Vec::new(),
        }
    }

    fn state(&self, task: &Task) -> TaskState {
        TaskState {
            task: task.clone(),
            rule: self.rule.clone(),
            handled: self.handled,
            epoch: self.epoch,
            paused: self.paused,
            retired: self.retired,
            queued: self.queued.clone(),
            running: self.running.clone(),
            last: self.ended.iter().rev().find(|run| run.begun_and_ended()).cloned(),
        }
    }

    fn over(&mut self, run: RunRecord, history: usize) {
        self.ended.push(run);
        let surplus = self.ended.len().saturating_sub(history);
        self.ended.drain(..surplus);
    }

    fn drop_queued(&mut self, at: Timestamp, why: SkipReason, history: usize) {
        if let Some(run) = self.queued.take() {
            self.over(run.ended(at, Outcome::Dropped(why)), history);
        }
    }

    fn explain(&mut self, skips: &[Skip], history: usize) {
        self.skips.extend_from_slice(skips);
        let surplus = self.skips.len().saturating_sub(history);
        self.skips.drain(..surplus);
    }

    fn settle(&mut self, settlement: &Settlement, now: Timestamp, history: usize) -> Settled {
        if (self.epoch, self.handled) != (settlement.epoch, settlement.handled) {
            return Settled::Stale;
        }
        if let Some(run) = &settlement.run {
            if self.paused.is_some() {
                return Settled::Paused;
            }
            if let Some(running) = &self.running {
                return Settled::Running(running.id);
            }
            match &self.queued {
                Some(queued) if !queued.again() => return Settled::Waiting(queued.id),
                _ => self.drop_queued(now, SkipReason::Superseded, history),
            }
            self.queued = Some(run.clone());
        }
        self.explain(&settlement.skips, history);
        self.handled = settlement.until;
        Settled::Done
    }

    /// Ends the run that goes on.
    fn end(&mut self, at: Timestamp, outcome: Outcome, next: Option<&RunRecord>, history: usize) {
        if let Some(run) = self.running.take() {
            self.over(run.ended(at, outcome), history);
        }
        if self.queued.is_none() {
            self.queued = next.cloned();
        }
    }

    fn owned(&self, run: Id, by: Id) -> bool {
        self.running.as_ref().is_some_and(|running| {
            running.id == run && matches!(&running.state, RunState::Running { owner, .. } if owner.id == by)
        })
    }

    fn expired(&self, now: Timestamp) -> bool {
        self.running.as_ref().is_some_and(|run| matches!(run.state, RunState::Running { until, .. } if until < now))
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn tasks(&self) -> Result<Vec<TaskState>> {
        Ok(self.rooms().iter().map(|(task, room)| room.state(task)).collect())
    }

    async fn task(&self, task: &Task) -> Result<Option<TaskState>> {
        Ok(self.rooms().get(task).map(|room| room.state(task)))
    }

    async fn adopt(&self, adoptions: &[Adoption], now: Timestamp) -> Result<()> {
        let mut rooms = self.rooms();
        for adoption in adoptions {
            let room = rooms.entry(adoption.task.clone()).or_insert_with(|| Room::new(adoption.rule.clone(), now));
            if room.retired || room.rule != adoption.rule {
                room.handled = room.handled.max(now);
                room.rule.clone_from(&adoption.rule);
                room.retired = false;
            }
        }
        Ok(())
    }

    async fn retire(&self, tasks: &[Task], now: Timestamp) -> Result<()> {
        let mut rooms = self.rooms();
        for task in tasks {
            if let Some(room) = rooms.get_mut(task) {
                room.retired = true;
                room.drop_queued(now, SkipReason::Removed, self.history);
            }
        }
        Ok(())
    }

    async fn settle(&self, settlements: &[Settlement], now: Timestamp) -> Result<Vec<Settled>> {
        let mut rooms = self.rooms();
        let settle = |settlement: &Settlement| match rooms.get_mut(&settlement.task) {
            Some(room) => room.settle(settlement, now, self.history),
            None => Settled::Stale,
        };
        Ok(settlements.iter().map(settle).collect())
    }

    async fn claim(&self, run: Id, owner: &Owner, now: Timestamp, until: Timestamp) -> Result<Claimed> {
        let mut rooms = self.rooms();
        let waits = |room: &&mut Room| room.queued.as_ref().is_some_and(|queued| queued.id == run);
        let Some(room) = rooms.values_mut().find(waits) else { return Ok(Claimed::Gone) };
        if let Some(running) = &room.running {
            return Ok(Claimed::Busy(Box::new(running.clone())));
        }
        if room.paused.is_some() {
            return Ok(Claimed::Paused);
        }
        room.running = room.queued.take().map(|queued| queued.running(owner, now, until));
        Ok(room.running.clone().map_or(Claimed::Gone, |run| Claimed::Yes(Box::new(run))))
    }

    async fn begin(&self, run: &RunRecord) -> Result<Claimed> {
        let mut rooms = self.rooms();
        let room = rooms.entry(run.task.clone()).or_insert_with(|| Room::new(String::new(), run.moment()));
        if let Some(running) = &room.running {
            return Ok(Claimed::Busy(Box::new(running.clone())));
        }
        room.running = Some(run.clone());
        Ok(Claimed::Yes(Box::new(run.clone())))
    }

    async fn renew(&self, run: Id, owner: Id, until: Timestamp) -> Result<bool> {
        let mut rooms = self.rooms();
        let running = rooms.values_mut().find(|room| room.owned(run, owner)).and_then(|room| room.running.as_mut());
        let Some(RunState::Running { until: deadline, .. }) = running.map(|run| &mut run.state) else {
            return Ok(false);
        };
        *deadline = until;
        Ok(true)
    }

    async fn end(
        &self,
        run: Id,
        owner: Id,
        at: Timestamp,
        outcome: &Outcome,
        next: Option<&RunRecord>,
    ) -> Result<bool> {
        let mut rooms = self.rooms();
        let Some(room) = rooms.values_mut().find(|room| room.owned(run, owner)) else { return Ok(false) };
        room.end(at, outcome.clone(), next, self.history);
        Ok(true)
    }

    async fn queued(&self) -> Result<Vec<RunRecord>> {
        Ok(self.rooms().values().filter_map(|room| room.queued.clone()).collect())
    }

    async fn expired(&self, now: Timestamp) -> Result<Vec<RunRecord>> {
        Ok(self.rooms().values().filter(|room| room.expired(now)).filter_map(|room| room.running.clone()).collect())
    }

    async fn interrupt(&self, run: Id, now: Timestamp, next: Option<&RunRecord>) -> Result<bool> {
        let mut rooms = self.rooms();
        let this = |room: &&mut Room| room.expired(now) && room.running.as_ref().is_some_and(|it| it.id == run);
        let Some(room) = rooms.values_mut().find(this) else { return Ok(false) };
        room.end(now, Outcome::Interrupted, next, self.history);
        Ok(true)
    }

    async fn drop_queued(&self, run: Id, at: Timestamp, why: SkipReason) -> Result<bool> {
        let mut rooms = self.rooms();
        let waits = |room: &&mut Room| room.queued.as_ref().is_some_and(|queued| queued.id == run);
        let Some(room) = rooms.values_mut().find(waits) else { return Ok(false) };
        room.drop_queued(at, why, self.history);
        Ok(true)
    }

    async fn pause(&self, task: &Task, now: Timestamp) -> Result<()> {
        self.known(task, |room| room.paused = room.paused.or(Some(now)))
    }

    async fn resume(&self, task: &Task, now: Timestamp) -> Result<()> {
        self.known(task, |room| {
            if room.paused.take().is_some() && room.handled < now {
                let first = Timestamp::from_micros(room.handled.as_micros() + 1);
                let (task, epoch, reason) = (task.clone(), room.epoch, SkipReason::Paused);
                let skip = Skip { task, epoch, first, last: now, count: 0, reason, at: now, made_up_by: None };
                room.explain(&[skip], self.history);
                room.handled = now;
            }
        })
    }

    async fn rewind(&self, task: &Task, epoch: u32, to: Timestamp) -> Result<bool> {
        let mut rooms = self.rooms();
        let Some(room) = rooms.get_mut(task).filter(|room| room.epoch == epoch) else { return Ok(false) };
        room.epoch += 1;
        room.handled = to;
        Ok(true)
    }

    async fn runs(&self, task: Option<&Task>, limit: usize) -> Result<Vec<RunRecord>> {
        let rooms = self.rooms();
        let of = rooms.iter().filter(|(name, _)| task.is_none_or(|task| task == *name));
        let mut runs: Vec<RunRecord> =
            of.flat_map(|(_, room)| room.ended.iter().chain(&room.running).chain(&room.queued)).cloned().collect();
        runs.sort_by_key(|run| std::cmp::Reverse((run.moment(), run.id)));
        runs.truncate(limit);
        Ok(runs)
    }

    async fn skips(&self, task: Option<&Task>, limit: usize) -> Result<Vec<Skip>> {
        let rooms = self.rooms();
        let of = rooms.iter().filter(|(name, _)| task.is_none_or(|task| task == *name));
        let mut skips: Vec<Skip> = of.flat_map(|(_, room)| &room.skips).cloned().collect();
        skips.sort_by_key(|skip| std::cmp::Reverse((skip.at, skip.last, skip.task.clone())));
        skips.truncate(limit);
        Ok(skips)
    }
}
