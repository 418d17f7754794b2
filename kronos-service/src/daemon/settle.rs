//! Times that are due become runs, or reasons why there is none.

use std::time::Duration;

use kronos_core::{Id, Result, Timestamp};

use super::DaemonEvent;
use super::decide::{TOLERANCE, refusal, settlement};
use super::work::Work;
use crate::store::{Settled, Settlement, SkipReason, Task};

/// A clock that was set back by less is waited for: nothing runs twice. By more, and it must have
/// been wrong before: waiting could take years.
const WAITED_FOR: Duration = Duration::from_hours(24);

/// Others change the same task at the same time; this often is more than there are states.
const ROUNDS: usize = 8;

impl Work {
    /// Settles all that should have begun by now.
    pub(super) async fn settle(&mut self, now: Timestamp) -> Result<()> {
        self.rewind(now).await?;
        let due: Vec<Task> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.wakes.is_some_and(|wakes| wakes <= now))
            .map(|(task, _)| task.clone())
            .collect();
        let mut open: Vec<Settlement> = due.iter().filter_map(|task| self.propose(task, None, now)).collect();
        for _ in 0..ROUNDS {
            if open.is_empty() {
                return Ok(());
            }
            let settled = self.parts.store.settle(&open, now).await?;
            let mut again = Vec::new();
            for (settlement, settled) in open.iter().zip(settled) {
                let other = match settled {
                    Settled::Done => {
                        self.settled(settlement);
                        None
                    }
                    Settled::Stale => {
                        self.refresh(&settlement.task).await?;
                        self.propose(&settlement.task, None, now)
                    }
                    Settled::Paused => self.propose(&settlement.task, Some((SkipReason::Paused, None)), now),
                    Settled::Running(run) => {
                        self.propose(&settlement.task, Some((SkipReason::Running, Some(run))), now)
                    }
                    Settled::Waiting(run) => {
                        self.propose(&settlement.task, Some((SkipReason::Waiting, Some(run))), now)
                    }
                };
                again.extend(other);
            }
            open = again;
        }
        // The rest is due still, and comes in the next round.
        Ok(())
    }

    fn propose(&self, task: &Task, refused: Option<(SkipReason, Option<Id>)>, now: Timestamp) -> Option<Settlement> {
        let entry = self.entries.get(task)?;
        let pending = entry.job.schedule.pending(&task.job, entry.state.handled, now, TOLERANCE);
        pending.last()?;
        Some(match refused {
            Some((why, other)) => refusal(&entry.job, &entry.state, &pending, why, other, now),
            None => settlement(&entry.job, &entry.state, &pending, self.parts.id(), now),
        })
    }

    /// It stands in the store: what is known here follows.
    fn settled(&mut self, settlement: &Settlement) {
        for skip in &settlement.skips {
            self.tell(&match skip.reason {
                SkipReason::Missed => DaemonEvent::Missed(skip),
                _ => DaemonEvent::Skipped(skip),
            });
        }
        let Some(entry) = self.entries.get_mut(&settlement.task) else { return };
        entry.state.handled = settlement.until;
        entry.look_ahead();
        if let Some(run) = &settlement.run {
            let superseded = entry.state.queued.replace(run.clone());
            let state = entry.state.clone();
            if let Some(old) = superseded.filter(|old| self.waiting.remove(&old.id).is_some()) {
                self.tell(&DaemonEvent::Dropped { run: &old, why: SkipReason::Superseded });
            }
            self.await_turn(&state);
            self.tell(&DaemonEvent::Queued(run));
        }
    }

    /// Schedules that are far ahead of the clock go on from now.
    async fn rewind(&mut self, now: Timestamp) -> Result<()> {
        let ahead: Vec<(Task, u32, Timestamp)> = self
            .entries
            .values()
            .map(|entry| (entry.state.task.clone(), entry.state.epoch, entry.state.handled))
            .filter(|(_, _, handled)| handled.since(now) > WAITED_FOR)
            .collect();
        for (task, epoch, handled) in ahead {
            if self.parts.store.rewind(&task, epoch, now).await? {
                self.tell(&DaemonEvent::Rewound { job: &task.job, handled, now });
            }
            self.refresh(&task).await?;
        }
        // What waits for a time that is now far away waits no longer than from now on.
        for (run, turn) in self.waiting.values_mut() {
            if turn.since(now) > WAITED_FOR && run.moment() > now {
                *turn = now;
            }
        }
        Ok(())
    }
}
