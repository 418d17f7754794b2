//! Holds what the store says against what was due by a model that asks each minute of the year.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kronos_core::{Clock, Id, Timestamp};
use kronos_service::Trigger;
use kronos_service::daemon::{DaemonSettings, ScheduledJob};
use kronos_service::schedule::Missed;
use kronos_service::store::{JobStore, Outcome, RunRecord, RunState, Skip, SkipReason};
use tokio::time::Instant;

use crate::micros;
use crate::wall::{Model, at};
use crate::world::Made;

/// From when to when a daemon worked while nobody set the clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Up {
    from: Timestamp,
    to: Timestamp,
}

impl Up {
    pub(crate) fn from(clock: &dyn Clock) -> Self {
        Self { from: clock.now(), to: clock.now() }
    }

    pub(crate) fn until(self, clock: &dyn Clock) -> Self {
        Self { to: clock.now(), ..self }
    }
}

/// A year that is over.
pub(crate) struct Judge {
    pub(crate) jobs: Vec<ScheduledJob>,
    pub(crate) settings: DaemonSettings,
    pub(crate) from: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) made: Vec<Made>,
    pub(crate) up: Vec<Up>,
    /// When daemons and commands were killed.
    pub(crate) killed: HashSet<Instant>,
    pub(crate) store: Arc<dyn JobStore>,
}

impl Judge {
    pub(crate) async fn judge(&self) -> String {
        self.nothing_was_made_twice();
        let mut figures: BTreeMap<String, u64> = BTreeMap::new();
        for job in &self.jobs {
            let runs = self.store.runs(Some(&job.task), usize::MAX).await.expect("the store works");
            let skips = self.store.skips(Some(&job.task), usize::MAX).await.expect("the store works");
            self.each_due_is_explained_once(job, &runs, &skips, &mut figures).await;
            self.what_the_store_says_of_runs_is_true(job, &runs);
            reasons_are_true(job, &runs, &skips);
        }
        *figures.entry("runs".to_owned()).or_default() += self.made.len() as u64;
        assert!(self.made.len() > 10_000, "a year with little in it shows nothing: {figures:?}");
        format!("{figures:?}")
    }

    async fn each_due_is_explained_once(
        &self,
        job: &ScheduledJob,
        runs: &[RunRecord],
        skips: &[Skip],
        figures: &mut BTreeMap<String, u64>,
    ) {
        let state = self.store.task(&job.task).await.expect("the store works").expect("it was adopted");
        assert_eq!(state.epoch, 0);
        let settings = job.schedule.settings();
        let model = Model::new(&settings.cron, &settings.timezone);
        let seconds = |time: Timestamp| micros(time).div_euclid(1_000_000);
        let dues = model.dues(seconds(self.from), seconds(self.end.max(state.handled)) + 60);
        let first: Vec<&RunRecord> =
            runs.iter().filter(|run| run.attempt == 1 && run.trigger != Trigger::Manual).collect();
        let mut by_due: HashMap<i64, Vec<&RunRecord>> = HashMap::new();
        for run in first.iter().filter(|run| run.trigger != Trigger::Retry) {
            by_due.entry(micros(run.due.expect("the schedule's runs have a due"))).or_default().push(run);
        }
        for due in dues.iter().map(|due| at(*due)) {
            let made = by_due.remove(&micros(due)).unwrap_or_default();
            let reasons: Vec<&Skip> = skips.iter().filter(|skip| skip.first <= due && due <= skip.last).collect();
            let explained = made.len() + reasons.len();
            let begins = job.schedule.begins(&job.task.job, due);
            if due > state.handled {
                assert_eq!(explained, 0, "{} of {}: ahead of {}", due, job.task.job, state.handled);
                assert!(begins.plus(Duration::from_mins(2)) > self.end, "{} of {} was forgotten", due, job.task.job);
                continue;
            }
            assert_eq!(explained, 1, "{} of {}: {:?} {:?}", due, job.task.job, made, reasons);
            let what = reasons.first().map_or("due and run".to_owned(), |skip| format!("{:?}", skip.reason));
            *figures.entry(what).or_default() += 1;
            if let Some(skip) = reasons.first().filter(|skip| skip.reason == SkipReason::Missed) {
                // Later on the clock may have been set back to before it.
                let found = |up: &Up| up.from <= skip.at && skip.at <= up.to;
                let until = self.up.iter().position(found).map_or(self.up.len(), |at| at + 1);
                let there = |up: &&Up| up.from <= begins && begins.plus(Duration::from_mins(2)) < up.to;
                let there = self.up[..until].iter().find(there);
                assert!(there.is_none(), "{due} of {} was missed by a daemon that was there: {skip:?}", job.task.job);
            }
        }
        assert!(by_due.is_empty(), "{} ran when it was not due: {:?}", job.task.job, by_due);
    }

    fn what_the_store_says_of_runs_is_true(&self, job: &ScheduledJob, runs: &[RunRecord]) {
        let made: HashMap<Id, &Made> = self.made.iter().map(|made| (made.id, made)).collect();
        for run in runs {
            let made = made.get(&run.id);
            match &run.state {
                RunState::Ended { outcome: Outcome::Reported(report), .. } => {
                    let made = made.unwrap_or_else(|| panic!("never made: {run:?}"));
                    assert_eq!(Some(report.ended), made.ended);
                    assert_eq!((report.due, report.attempt, report.trigger), (run.due, run.attempt, run.trigger));
                }
                RunState::Ended { outcome: Outcome::Interrupted, .. } => {
                    // It may have ended at the very moment of the kill, and nobody wrote that down.
                    let cut = |made: &&Made| made.to.is_none_or(|to| self.killed.contains(&to));
                    assert!(made.is_none_or(cut), "it ended well: {run:?}");
                }
                RunState::Ended { outcome: Outcome::Dropped(_), .. } | RunState::Queued { .. } => {
                    assert!(made.is_none(), "it never began: {run:?}");
                }
                // Of those who were killed at the end.
                RunState::Running { .. } => {}
            }
            if let (Some(made), Some(due)) = (made, run.due) {
                assert!(made.began >= due, "{made:?} began before it was due");
                assert_eq!(job.schedule.defer(made.began), made.began, "{made:?} began in a blackout window");
                assert!(run.trigger != Trigger::Missed || job.schedule.settings().missed == Missed::Once);
            }
        }
    }

    /// By a clock that nobody sets: no run twice, no task at the same time, no more than allowed.
    fn nothing_was_made_twice(&self) {
        let mut ids = HashSet::new();
        let mut edges: Vec<(Instant, bool, &Made)> = Vec::new();
        for made in &self.made {
            assert!(ids.insert(made.id), "made twice: {made:?}");
            if let Some(to) = made.to {
                edges.push((made.from, true, made));
                edges.push((to, false, made));
            }
        }
        // What ends at a moment makes room for what begins then.
        edges.sort_by_key(|(at, begins, _)| (*at, *begins));
        let source: HashMap<_, _> = self.jobs.iter().map(|job| (&job.task, &job.source)).collect();
        let (mut going, mut sources) = (HashMap::new(), HashMap::new());
        for (_, begins, made) in edges {
            let by_hand = made.trigger == Trigger::Manual;
            if begins {
                assert!(going.insert(&made.task, made).is_none(), "two at a time of {:?}", made.task);
                *sources.entry(source[&made.task]).or_insert(0) += usize::from(!by_hand);
            } else {
                going.remove(&made.task);
                *sources.entry(source[&made.task]).or_insert(0) -= usize::from(!by_hand);
            }
            assert!(sources.values().all(|busy| *busy <= self.settings.per_source), "a source with several runs");
            assert!(sources.values().sum::<usize>() <= self.settings.parallel, "too many at a time");
        }
    }
}

fn reasons_are_true(job: &ScheduledJob, runs: &[RunRecord], skips: &[Skip]) {
    let known: HashSet<Id> = runs.iter().map(|run| run.id).collect();
    for skip in skips {
        if let Some(run) = skip.made_up_by {
            assert!(known.contains(&run), "no such run makes up for {skip:?}");
        } else {
            let alone = match skip.reason {
                SkipReason::Paused => true,
                SkipReason::Missed => job.schedule.settings().missed == Missed::Skip,
                _ => false,
            };
            assert!(alone, "nothing makes up for {skip:?}");
        }
    }
}
