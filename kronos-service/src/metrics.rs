//! Metrics: figures of runs, storages and the daemon, for Prometheus to read.
//!
//! ```
//! use kronos_core::{Id, Timestamp};
//! use kronos_service::metrics::{Metrics, Names};
//! use kronos_service::{Ended, Operation, RunReport, Trigger};
//!
//! // Labels are names of the configuration, and nothing else. That of jobs is `kronos_job`, since
//! // `job` is what Prometheus itself calls whom it asks.
//! let metrics = Metrics::new(Timestamp::from_micros(0));
//! metrics.configure(&Names { jobs: ["shop".into()].into(), ..Names::default() });
//!
//! let now = Timestamp::from_micros(60_000_000);
//! let mut report = RunReport::begin(Id([7; 16]), Operation::Backup, "shop", Trigger::Manual, now);
//! report.ended = Ended::Succeeded;
//! metrics.record(&report);
//!
//! let page = metrics.page()?;
//! assert!(page.contains(r#"kronos_backup_last_success_timestamp_seconds{kronos_job="shop"} 60"#));
//! # Ok::<(), kronos_core::Error>(())
//! ```

mod apply;
mod endpoint;
mod exposition;
mod figures;
mod follow;
mod latency;
mod measured;
mod merge;
mod server;
mod textfile;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kronos_core::inspect::PoolStatistics;
use kronos_core::{Result, Timestamp};

use crate::report::RunReport;
use crate::store::Task;

pub use endpoint::{Endpoint, Readiness};
pub use figures::{Figures, Queue};
pub use follow::MetricsFollower;
pub use measured::MeasuredStorage;
pub use server::MetricsServer;
pub use textfile::Textfile;

/// Where metrics can be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsSettings {
    /// The address of the HTTP endpoint. Default: none.
    pub listen: Option<SocketAddr>,
    /// A file for the textfile collector of the node exporter, ending in `.prom`. Default: none.
    pub textfile: Option<PathBuf>,
}

/// The names of the configuration, which are the only ones that become labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// The jobs.
    pub jobs: BTreeSet<String>,
    /// The storages.
    pub storages: BTreeSet<String>,
    /// The databases, for pools.
    pub databases: BTreeSet<String>,
}

/// The figures of a process. Cheap to clone; every clone is the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    figures: Mutex<Figures>,
    /// What of them is in which file.
    textfiles: Mutex<BTreeMap<PathBuf, Arc<Mutex<Textfile>>>>,
}

impl Metrics {
    /// No figures yet, for a process that began at `started`.
    pub fn new(started: Timestamp) -> Self {
        let figures = Mutex::new(Figures::new(started));
        Self(Arc::new(Shared { figures, textfiles: Mutex::default() }))
    }

    /// From now on these names have figures. Those of others go away.
    pub fn configure(&self, names: &Names) {
        self.figures().configure(names);
    }

    /// Counts a run that has ended.
    pub fn record(&self, report: &RunReport) {
        self.figures().apply(report, true);
    }

    /// Takes the state, but no counts, from a run that ended before this process began: after a
    /// start, a job is as old as its last backup. What is known of later runs stays.
    pub fn recall(&self, report: &RunReport) {
        self.figures().apply(report, false);
    }

    /// When this process began.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        self.figures().service.started
    }

    /// Whether a job has figures.
    pub(crate) fn knows(&self, job: &str) -> bool {
        self.figures().jobs.contains_key(job)
    }

    /// When a run of a task last ended, as far as is known here.
    pub(crate) fn last_end(&self, task: &Task) -> Option<Timestamp> {
        self.figures().jobs.get(&task.job)?.operations.get(&task.operation)?.last_end
    }

    /// When a job is due next; `None` when it has no schedule, or is paused.
    pub fn next_due(&self, job: &str, due: Option<Timestamp>) {
        self.figures().with_job(job, |job| job.next_due = due);
    }

    /// Whether a job is paused.
    pub fn paused(&self, job: &str, paused: bool) {
        self.figures().with_job(job, |job| job.paused = paused);
    }

    /// So many runs of a job were missed, and not made up for; of more than 10,000 at a time at least so
    /// many.
    pub fn missed(&self, job: &str, runs: u64) {
        self.figures().with_job(job, |job| job.missed = job.missed.saturating_add(runs));
    }

    /// How far the capture of a job's change log is behind.
    pub fn capture_lag(&self, job: &str, lag: Duration) {
        self.figures().with_job(job, |job| job.capture_lag = Some(lag.as_secs_f64()));
    }

    /// What waits and what runs.
    pub fn queue(&self, queue: Queue) {
        self.figures().service.queue = queue;
    }

    /// The configuration was read anew, or could not be.
    pub fn reloaded(&self, at: Timestamp, succeeded: bool) {
        let mut figures = self.figures();
        figures.service.reload_succeeded = Some(succeeded);
        if succeeded {
            figures.service.reloaded = Some(at);
        }
    }

    /// Lines of the log that were lost so far, see [`LogHealth`](crate::logs::LogHealth).
    pub fn log_lines_lost(&self, lost: u64) {
        self.figures().service.log_lines_lost = lost;
    }

    /// Whether a storage answered when it was asked, outside of a run.
    pub fn storage_up(&self, storage: &str, up: bool) {
        self.figures().with_storage(storage, |storage| storage.up = Some(up));
    }

    /// How the pool of a database does.
    pub fn pool(&self, database: &str, statistics: PoolStatistics) {
        if let Some(pool) = self.figures().pools.get_mut(database) {
            *pool = Some(statistics);
        }
    }

    /// All figures as they are now.
    pub fn snapshot(&self) -> Figures {
        self.figures().clone()
    }

    /// The figures as Prometheus reads them, in its text format 0.0.4.
    pub fn page(&self) -> Result<String> {
        exposition::text(self.snapshot(), None)
    }

    /// The same in the format of `OpenMetrics` 1.0.
    pub fn open_metrics(&self) -> Result<String> {
        exposition::open_metrics(self.snapshot())
    }

    /// A file that knows what of these figures is in it already.
    fn textfile(&self, path: &Path) -> Arc<Mutex<Textfile>> {
        let mut files = self.0.textfiles.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.entry(path.to_owned()).or_insert_with(|| Arc::new(Mutex::new(Textfile::new(path))));
        Arc::clone(file)
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        // Figures hold no promise that a panic elsewhere could have broken half way.
        self.0.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
