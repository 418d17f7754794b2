//! Which jobs there are: at the start, and after a reload.

use std::collections::BTreeMap;

use kronos_core::{Result, Timestamp};

use super::work::{Entry, Work};
use super::{DaemonEvent, ScheduledJob};
use crate::schedule::Schedule;
use crate::store::{Adoption, RunState, Task, TaskState};

impl Work {
    /// Takes over the jobs that are wanted. They stay wanted when the store fails.
    pub(super) async fn load(&mut self) -> Result<()> {
        let Some(jobs) = self.wanted.clone() else { return Ok(()) };
        let now = self.parts.clock.now();
        let jobs: BTreeMap<Task, ScheduledJob> = jobs.into_iter().map(|job| (job.task.clone(), job)).collect();
        let gone: Vec<Task> = self.entries.keys().filter(|task| !jobs.contains_key(*task)).cloned().collect();
        self.parts.store.retire(&gone, now).await?;
        self.waiting.retain(|_, (run, _)| !gone.contains(&run.task));

        let known = self.parts.store.tasks().await?;
        self.settle_old_rules(&jobs, known, now).await?;
        let adoptions: Vec<Adoption> =
            jobs.values().map(|job| Adoption { task: job.task.clone(), rule: job.schedule.rule() }).collect();
        self.parts.store.adopt(&adoptions, now).await?;

        let mut jobs = jobs;
        self.entries.clear();
        for state in self.parts.store.tasks().await? {
            if let Some(job) = jobs.remove(&state.task) {
                self.enter(job, state);
            }
        }
        self.wanted = None;
        self.tell(&DaemonEvent::Loaded { tasks: self.entries.len() });
        Ok(())
    }

    /// What was due under a rule that has changed meanwhile was due all the same.
    async fn settle_old_rules(
        &mut self,
        jobs: &BTreeMap<Task, ScheduledJob>,
        known: Vec<TaskState>,
        now: Timestamp,
    ) -> Result<()> {
        self.entries.clear();
        for state in known.into_iter().filter(|state| !state.retired) {
            let Some(job) = jobs.get(&state.task).filter(|job| job.schedule.rule() != state.rule) else { continue };
            // A rule that the time zone database knows no longer owes nothing; nor does none at all.
            let Ok(schedule) = Schedule::of_rule(&state.rule, job.schedule.settings()) else { continue };
            self.enter(ScheduledJob { schedule, ..job.clone() }, state);
        }
        self.settle(now).await
    }

    fn enter(&mut self, job: ScheduledJob, state: TaskState) {
        if let Some(last) = &state.last {
            self.begun.insert(state.task.clone(), last.moment());
        }
        self.await_turn(&state);
        let mut entry = Entry { job, state, wakes: None };
        entry.look_ahead();
        self.entries.insert(entry.job.task.clone(), entry);
    }

    /// A run that the store has queued waits for its turn here.
    pub(super) fn await_turn(&mut self, state: &TaskState) {
        if let Some(run) = &state.queued
            && let RunState::Queued { not_before, .. } = run.state
        {
            self.waiting.entry(run.id).or_insert_with(|| (run.clone(), not_before));
        }
    }

    /// What the store says now of a task.
    pub(super) async fn refresh(&mut self, task: &Task) -> Result<()> {
        if !self.entries.contains_key(task) {
            return Ok(());
        }
        let Some(state) = self.parts.store.task(task).await? else { return Ok(()) };
        self.await_turn(&state);
        if let Some(entry) = self.entries.get_mut(task) {
            entry.state = state;
            entry.look_ahead();
        }
        Ok(())
    }
}

impl Entry {
    /// Finds out when the run of the next due begins.
    pub(super) fn look_ahead(&mut self) {
        let due = self.job.schedule.next_due(self.state.handled);
        self.wakes = due.map(|due| self.job.schedule.begins(&self.job.task.job, due));
    }
}
