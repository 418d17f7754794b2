//! What the daemon alone knows is told: runs that were missed, and runs that were interrupted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kronos_core::{Id, Timestamp};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Care;
use super::events::Happening;
use super::journal::{TARGET, unkept};
use crate::audit::Deed;
use crate::daemon::{Parts, ScheduledJob};
use crate::failure::{Failure, in_full};
use crate::notify::{Missed, News};
use crate::report::{Ended, RunReport, Trigger};
use crate::store::{RunRecord, Skip, SkipReason, Task};

/// Takes in what happens as soon as it does: from then on it is kept until it has been delivered.
#[derive(Debug)]
pub(super) struct Herald {
    parts: Parts,
    care: watch::Receiver<Arc<Care>>,
    happenings: mpsc::UnboundedReceiver<Happening>,
    /// Is woken when there is something to deliver.
    told: Arc<Notify>,
    /// What was missed and is made up for by a run that is about to be queued.
    missed: BTreeMap<Id, Missed>,
    /// Since when the job store fails, and whether that was told.
    broken: Option<(Timestamp, bool)>,
}

/// What fails for less gets better by itself.
const PATIENCE: Duration = Duration::from_mins(1);

impl Herald {
    pub(super) fn new(
        parts: Parts,
        care: watch::Receiver<Arc<Care>>,
        happenings: mpsc::UnboundedReceiver<Happening>,
        told: Arc<Notify>,
    ) -> Self {
        Self { parts, care, happenings, told, missed: BTreeMap::new(), broken: None }
    }

    /// Works until it is stopped, and then tells what is left.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        while let Some(Some(happening)) = stop.run_until_cancelled(self.happenings.recv()).await {
            self.tell(happening).await;
        }
        while let Ok(happening) = self.happenings.try_recv() {
            self.tell(happening).await;
        }
    }

    async fn tell(&mut self, happening: Happening) {
        let news = match happening {
            Happening::Missed(skip) => self.missed(&skip).into_iter().collect(),
            Happening::Queued(run) => self.queued(&run).into_iter().collect(),
            Happening::Interrupted(run) => vec![self.interrupted(&run).await],
            Happening::Stalled(failure) => self.stalled(&failure),
            Happening::StoreBack => {
                self.broken = None;
                Vec::new()
            }
        };
        for news in news {
            self.pass_on(news).await;
        }
    }

    async fn pass_on(&self, news: News) {
        let care = Arc::clone(&self.care.borrow());
        let Some(notifier) = &care.notifier else { return };
        let job = match &news {
            News::Ended(report) => &report.job,
            News::Missed(missed) => &missed.job,
            News::CaptureGap(gap) => &gap.job,
        };
        let to = care.channels.get(job).cloned().unwrap_or_default();
        if let Err(error) = notifier.tell(news, &to).await {
            unkept(&error);
        }
        self.told.notify_one();
    }

    fn missed(&mut self, skip: &Skip) -> Option<News> {
        let missed = Missed {
            job: skip.task.job.clone(),
            due: skip.first,
            runs: u32::try_from(skip.count).unwrap_or(u32::MAX).max(1),
            at: skip.at,
            why: skip.reason.to_string(),
            is_made_up: skip.made_up_by.is_some(),
        };
        if let Some(run) = skip.made_up_by {
            // That run is told of next, and may be for one more that was missed.
            self.missed.insert(run, missed);
            return None;
        }
        self.care.borrow().metrics.missed(&missed.job, missed.runs.into());
        Some(News::Missed(missed))
    }

    fn queued(&mut self, run: &RunRecord) -> Option<News> {
        let is_late = run.trigger == Trigger::Missed;
        let one = || Missed {
            job: run.task.job.clone(),
            due: run.due.unwrap_or_else(|| run.moment()),
            runs: 0,
            at: run.moment(),
            why: SkipReason::Missed.to_string(),
            is_made_up: true,
        };
        let mut missed = self.missed.remove(&run.id).or_else(|| is_late.then(one))?;
        missed.runs = missed.runs.saturating_add(u32::from(is_late));
        Some(News::Missed(missed))
    }

    /// No job runs: each of them has failed, once for each time that the store is broken.
    fn stalled(&mut self, failure: &Failure) -> Vec<News> {
        let now = self.parts.clock.now();
        let (since, is_told) = *self.broken.get_or_insert((now, false));
        if is_told || now.since(since) < PATIENCE {
            return Vec::new();
        }
        self.broken = Some((since, true));
        let care = Arc::clone(&self.care.borrow());
        let failed = |job: &ScheduledJob| {
            let Task { job, operation } = &job.task;
            let mut report = RunReport::begin(self.parts.id(), *operation, job, Trigger::Schedule, now);
            let message = format!("no run begins, for it could not be noted: {}", failure.message);
            report.error = Some(Failure { message, ..failure.clone() });
            report.ended = Ended::Failed;
            care.metrics.record(&report);
            News::Ended(report)
        };
        care.jobs.iter().map(failed).collect()
    }

    /// What its own program would have told.
    async fn interrupted(&self, run: &RunRecord) -> News {
        let report = run.interrupted(self.parts.clock.now());
        let care = Arc::clone(&self.care.borrow());
        care.metrics.record(&report);
        if let Some(audit) = &care.audit
            && let Err(error) = audit.append_elsewhere(Deed::of(&report)).await
        {
            let (job, id, error) = (&report.job, report.run, in_full(&error));
            warn!(target: TARGET, event = "audit.failed", job, %id, error, "the audit log lacks a run that was interrupted");
        }
        News::Ended(report)
    }
}
