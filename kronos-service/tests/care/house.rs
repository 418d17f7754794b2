//! A daemon with its caretaker, and everything that outlives a program: its store, what it has to tell,
//! who carries that.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::notes;
use super::world::World;
use kronos_core::{Clock, Secret, Timestamp};
use kronos_service::Operation;
use kronos_service::daemon::{
    Care, CareHandle, Caretaker, Daemon, DaemonEvent, DaemonHandle, DaemonObserver, DaemonSettings, ScheduledJob,
    Timer, WallTimer, caretaker,
};
use kronos_service::metrics::{Metrics, Names};
use kronos_service::notify::{Channel, MemoryNotifyStore, Notifier, NotifyStore, Outside, Slack, Way};
use kronos_service::schedule::{Schedule, ScheduleSettings};
use kronos_service::store::{JobStore, RunState, Task};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const MIDNIGHT: &str = "2026-06-01T00:00:00Z";

pub(crate) fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

/// Minutes after midnight.
pub(crate) fn minute(at: Timestamp) -> u64 {
    at.since(time(MIDNIGHT)).as_secs() / 60
}

pub(crate) fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}

pub(crate) fn job(name: &str, cron: &str, change: impl FnOnce(&mut ScheduleSettings)) -> ScheduledJob {
    let mut settings = ScheduleSettings::new(cron);
    change(&mut settings);
    let schedule = Schedule::new(&settings).expect("a schedule");
    ScheduledJob { task: Task::backup(name), source: name.to_owned(), schedule }
}

pub(crate) fn plain(name: &str, cron: &str) -> ScheduledJob {
    job(name, cron, |_| {})
}

pub(crate) fn channel() -> Channel {
    let webhook = Secret::new("https://hooks.example/T0/B0/hush");
    Channel::new("ops", vec![Way::Slack(Slack { webhook })])
}

/// The value of a series, with its labels as they are written.
pub(crate) fn figure(metrics: &Metrics, series: &str) -> Option<f64> {
    let page = metrics.page().unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// What outlives a program.
pub(crate) struct House {
    pub(crate) world: World,
    pub(crate) jobs: Vec<ScheduledJob>,
    pub(crate) letters: Arc<notes::Notes>,
    pub(crate) told: Arc<dyn NotifyStore>,
    pub(crate) timer: Arc<Counting>,
}

/// A daemon and its caretaker at work.
pub(crate) struct Living {
    pub(crate) metrics: Metrics,
    pub(crate) care: Care,
    pub(crate) handle: DaemonHandle,
    pub(crate) care_handle: CareHandle,
    pub(crate) stop: CancellationToken,
    pub(crate) working: JoinHandle<kronos_core::Result<()>>,
    pub(crate) caring: JoinHandle<()>,
}

impl House {
    pub(crate) fn new(store: Arc<dyn JobStore>, jobs: Vec<ScheduledJob>) -> Self {
        let mut world = World::new(time(MIDNIGHT), 1, store);
        let timer = Arc::new(Counting(WallTimer::new(world.clock.clone()), AtomicU64::new(0)));
        world.parts.timer = timer.clone();
        Self { world, jobs, letters: notes::Notes::new(), told: Arc::new(MemoryNotifyStore::default()), timer }
    }

    pub(crate) fn notifier(&self) -> Arc<Notifier> {
        let clock = self.world.clock.clone() as Arc<dyn Clock>;
        let outside = Outside::new(clock, notes::Seeded::new(1)).with_courier(self.letters.clone());
        Arc::new(Notifier::new(vec![channel()], self.told.clone(), outside).unwrap())
    }

    pub(crate) fn care(&self) -> Care {
        let metrics = Metrics::new(self.world.clock.now());
        let names: Vec<String> = self.jobs.iter().map(|job| job.task.job.clone()).collect();
        let jobs = names.iter().cloned().collect();
        metrics.configure(&Names { jobs, ..Names::default() });
        Care {
            jobs: self.jobs.clone(),
            backups: names.clone(),
            notifier: Some(self.notifier()),
            channels: names.into_iter().map(|job| (job, vec!["ops".to_owned()])).collect::<BTreeMap<_, _>>(),
            audit: None,
            metrics,
            log_health: None,
        }
    }

    pub(crate) fn start(&self) -> Living {
        self.start_with(self.care())
    }

    pub(crate) fn start_with(&self, care: Care) -> Living {
        let (observer, events) = caretaker();
        let observer = Arc::new(Both(observer, self.world.notes.clone()));
        let parts = kronos_service::daemon::Parts { observer, ..self.world.parts.clone() };
        let (daemon, handle) = Daemon::new(DaemonSettings::default(), self.jobs.clone(), parts.clone());
        let (caretaker, care_handle) = Caretaker::new(parts, care.clone(), events);
        let stop = CancellationToken::new();
        let (working, caring) = (tokio::spawn(daemon.run()), tokio::spawn(caretaker.run(stop.clone())));
        Living { metrics: care.metrics.clone(), care, handle, care_handle, stop, working, caring }
    }

    /// The titles of the letters since the last time, as one list.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.letters.titles().into_iter().flatten().collect()
    }

    /// When each catch-up of a job that is over began, in minutes after midnight; oldest first.
    pub(crate) async fn catch_ups(&self, job: &str) -> Vec<u64> {
        let task = Task::new(job, Operation::CatchUp);
        let mut runs = self.world.parts.store.runs(Some(&task), 1_000).await.unwrap();
        runs.reverse();
        runs.iter()
            .filter_map(|run| match &run.state {
                RunState::Ended { at, .. } => Some(minute(run.report().map_or(*at, |report| report.started))),
                _ => None,
            })
            .collect()
    }
}

impl Living {
    /// The program is killed.
    pub(crate) async fn kill(self) {
        for handle in [self.working.abort_handle(), self.caring.abort_handle()] {
            handle.abort();
        }
        self.working.await.unwrap_err();
        self.caring.await.unwrap_err();
    }

    pub(crate) async fn stop(self) {
        self.handle.stop();
        self.working.await.unwrap().unwrap();
        self.stop.cancel();
        self.caring.await.unwrap();
    }

    pub(crate) fn figure(&self, series: &str) -> Option<f64> {
        figure(&self.metrics, series)
    }
}

#[derive(Debug)]
struct Both(Arc<dyn DaemonObserver>, Arc<dyn DaemonObserver>);

impl DaemonObserver for Both {
    fn on_event(&self, event: &DaemonEvent<'_>) {
        self.0.on_event(event);
        self.1.on_event(event);
    }
}

/// Counts how often anybody goes to sleep.
#[derive(Debug)]
pub(crate) struct Counting(WallTimer, AtomicU64);

impl Counting {
    pub(crate) fn taken(&self) -> u64 {
        self.1.swap(0, Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl Timer for Counting {
    async fn sleep_until(&self, at: Timestamp) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.sleep_until(at).await;
    }

    async fn sleep(&self, duration: Duration) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.sleep(duration).await;
    }
}
