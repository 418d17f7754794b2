//! The daemon: runs jobs when they are due, as long as it is told to.
//!
//! Every time that is due becomes a run or a reason in the [job store](crate::store), in one step,
//! before anything is done: whatever happens to the daemon, the store tells what became of it. A run
//! is queued, begins when its turn has come and there is room, and ends with a report. One that
//! fails is tried again as its schedule says; one that was interrupted is taken up again.
//!
//! Where several jobs wait for room, the one that was to begin first comes first, and among those of
//! one time the one whose last run is the longest ago. A source that is busy holds up nobody else.
//!
//! What is to be done beside that (the log, messages, figures, storages that are behind) does a
//! [`Caretaker`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use kronos_core::{Clock, SystemClock, SystemEntropy};
//! use kronos_service::daemon::{Daemon, DaemonSettings, Parts, Quiet, RunRequest, Runner, ScheduledJob, WallTimer};
//! use kronos_service::schedule::{Schedule, ScheduleSettings};
//! use kronos_service::store::{MemoryStore, Task};
//! use kronos_service::{Ended, RunReport};
//!
//! #[derive(Debug)]
//! struct Nothing(Arc<dyn Clock>);
//!
//! #[async_trait::async_trait]
//! impl Runner for Nothing {
//!     async fn run(&self, job: &str, request: RunRequest) -> RunReport {
//!         let mut report = request.report(job);
//!         report.ended = Ended::Nothing;
//!         report.finished = self.0.now();
//!         report
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> kronos_core::Result<()> {
//! let clock = Arc::new(SystemClock);
//! let parts = Parts {
//!     store: Arc::new(MemoryStore::new()),
//!     runner: Arc::new(Nothing(clock.clone())),
//!     timer: Arc::new(WallTimer::new(clock.clone())),
//!     clock,
//!     entropy: Arc::new(SystemEntropy),
//!     observer: Arc::new(Quiet),
//!     name: "kronos daemon on db1".to_owned(),
//! };
//! let schedule = Schedule::new(&ScheduleSettings::new("0 3 * * *"))?;
//! let shop = ScheduledJob { task: Task::backup("shop"), source: "db.internal".to_owned(), schedule };
//! let (daemon, handle) = Daemon::new(DaemonSettings::default(), vec![shop.clone()], parts.clone());
//! let working = tokio::spawn(daemon.run());
//!
//! // What `kronos schedule list` and `kronos schedule run` do.
//! let rows = kronos_service::daemon::overview(&*parts.store, &[shop.clone()], parts.clock.now()).await?;
//! assert_eq!(rows[0].cron, "0 3 * * *");
//! let report = kronos_service::daemon::run_now(&parts, &shop.task, None, Default::default(), None).await?;
//! assert_eq!(report.ended, Ended::Nothing);
//!
//! handle.stop();
//! working.await.expect("it does not panic")?;
//! # Ok(())
//! # }
//! ```

mod attend;
mod caretaker;
mod decide;
mod dispatch;
mod event;
mod load;
mod manual;
mod overview;
mod pauses;
mod runner;
mod settle;
mod timer;
mod work;

use std::sync::Arc;
use std::time::Duration;

use kronos_core::{Clock, Entropy, Id};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::schedule::Schedule;
use crate::store::{JobStore, Owner, Task};
pub use caretaker::{
    CATCH_UP_PAUSE, CATCH_UPS, Care, CareHandle, Caretaker, Events, LONGEST_CATCH_UP_PAUSE, caretaker,
};
pub use event::{DaemonEvent, DaemonObserver, Quiet};
pub use manual::run_now;
pub use overview::{Overview, Upcoming, overview, pause, resume, upcoming};
pub use runner::{RunRequest, Runner, StopReason};
pub use timer::{Timer, WallTimer};
use work::Work;

/// How a daemon works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Runs at a time in all. Default 2.
    pub parallel: usize,
    /// Runs at a time of one source. Default 1.
    pub per_source: usize,
    /// How long a stop waits for runs to end by themselves before it has them checkpoint. Default
    /// 30 seconds.
    pub stop_within: Duration,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self { parallel: 2, per_source: 1, stop_within: Duration::from_secs(30) }
    }
}

/// What a daemon works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Remembers what ran.
    pub store: Arc<dyn JobStore>,
    /// Runs jobs.
    pub runner: Arc<dyn Runner>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Lets it pass.
    pub timer: Arc<dyn Timer>,
    /// Names runs.
    pub entropy: Arc<dyn Entropy>,
    /// Is told what happens.
    pub observer: Arc<dyn DaemonObserver>,
    /// The program's name, for people who ask who holds a run: host and process belong to it.
    pub name: String,
}

impl Parts {
    fn id(&self) -> Id {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        Id(bytes)
    }

    fn owner(&self) -> Owner {
        Owner { id: self.id(), name: self.name.clone() }
    }
}

/// A job with its schedule.
#[derive(Debug, Clone)]
pub struct ScheduledJob {
    /// What is run.
    pub task: Task,
    /// The source: what jobs have in common that must not run at the same time.
    pub source: String,
    /// When.
    pub schedule: Schedule,
}

/// Runs jobs when they are due.
#[derive(Debug)]
pub struct Daemon(Work);

/// Tells a daemon what to do. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DaemonHandle {
    wanted: mpsc::UnboundedSender<(DaemonSettings, Vec<ScheduledJob>)>,
    stop: CancellationToken,
}

impl Daemon {
    /// A daemon, and what it is steered by.
    pub fn new(settings: DaemonSettings, jobs: Vec<ScheduledJob>, parts: Parts) -> (Self, DaemonHandle) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let handle = DaemonHandle { wanted: sender, stop: stop.clone() };
        (Self(Work::new(settings, jobs, parts, receiver, stop)), handle)
    }

    /// Works until it is stopped. An error at the start: the job store cannot be used. Later on a
    /// store that fails is told to the observer and tried again; an error at the end: it could not
    /// be told how the last runs ended.
    pub async fn run(self) -> kronos_core::Result<()> {
        self.0.run().await
    }
}

impl DaemonHandle {
    /// Other settings and jobs from now on. Runs that go on end as they began. The job store stays
    /// the one that was opened, wherever the settings say that it lies.
    pub fn reload(&self, settings: DaemonSettings, jobs: Vec<ScheduledJob>) {
        // A daemon that has ended has no more use for them.
        let _ = self.wanted.send((settings, jobs));
    }

    /// Begins no more runs, waits for those that go on, then has them checkpoint.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}
