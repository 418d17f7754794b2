//! Runs that wait get their turn: in fair order, as far as there is room.

use std::collections::BTreeMap;

use kronos_core::{Id, Result, Timestamp};
use tokio_util::sync::CancellationToken;

use super::DaemonEvent;
use super::attend::{LEASE, attend};
use super::runner::RunRequest;
use super::work::{Going, Work};
use crate::store::{Claimed, RunRecord, SkipReason};

impl Work {
    /// Begins what has its turn; says when the next one may have it without another run's ending.
    pub(super) async fn dispatch(&mut self, now: Timestamp) -> Result<Option<Timestamp>> {
        for id in self.in_order(now) {
            let Some((run, _)) = self.waiting.get(&id).cloned() else { continue };
            let Some(entry) = self.entries.get(&run.task) else {
                self.forget(&run, SkipReason::Removed, now).await?;
                continue;
            };
            let free = entry.job.schedule.defer(now);
            if free > now {
                self.waiting.insert(id, (run, free));
                continue;
            }
            let busy = self.going.values().filter(|going| going.source == entry.job.source).count();
            if self.going.len() < self.settings.parallel.max(1) && busy < self.settings.per_source.max(1) {
                self.begin(&run, now).await?;
            }
        }
        Ok(self.waiting.values().map(|(_, turn)| *turn).filter(|turn| *turn > now).min())
    }

    /// Who may have a turn: first the one that was to begin first, then the one that ran the longest
    /// ago.
    fn in_order(&self, now: Timestamp) -> Vec<Id> {
        let order: BTreeMap<_, Id> = self
            .waiting
            .iter()
            .filter(|(_, (_, turn))| *turn <= now)
            .map(|(id, (run, turn))| ((*turn, self.begun.get(&run.task).copied(), &run.task), *id))
            .collect();
        order.into_values().collect()
    }

    async fn begin(&mut self, run: &RunRecord, now: Timestamp) -> Result<()> {
        match self.parts.store.claim(run.id, &self.owner, now, now.plus(LEASE)).await? {
            Claimed::Yes(run) => {
                self.waiting.remove(&run.id);
                self.start(*run, now);
            }
            Claimed::Gone => {
                self.waiting.remove(&run.id);
                self.refresh(&run.task).await?;
            }
            // By hand, or elsewhere. Its end is not told here, so it is looked for.
            Claimed::Busy(_) => {
                self.waiting.insert(run.id, (run.clone(), now.plus(LEASE)));
            }
            Claimed::Paused => self.forget(run, SkipReason::Paused, now).await?,
        }
        Ok(())
    }

    fn start(&mut self, run: RunRecord, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&run.task) else { return };
        let timeout = entry.job.schedule.settings().timeout;
        let source = entry.job.source.clone();
        entry.state.queued = None;
        self.begun.insert(run.task.clone(), now);
        let deadline = timeout.map(|timeout| now.plus(timeout));
        let request = RunRequest::new(&run, now, deadline, CancellationToken::new());
        let (parts, owner, asked, job) = (self.parts.clone(), self.owner.id, request.clone(), run.task.job.clone());
        self.tell(&DaemonEvent::Started(&run));
        let handle = self.runs.spawn(async move { attend(&parts, owner, &job, asked, timeout).await });
        self.going.insert(handle.id(), Going { run, source, request });
    }

    /// A run that waits will not begin.
    async fn forget(&mut self, run: &RunRecord, why: SkipReason, now: Timestamp) -> Result<()> {
        if self.parts.store.drop_queued(run.id, now, why).await? {
            self.tell(&DaemonEvent::Dropped { run, why });
        }
        self.waiting.remove(&run.id);
        self.refresh(&run.task).await
    }
}
