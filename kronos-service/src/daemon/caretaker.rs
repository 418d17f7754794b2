//! What the daemon does beside running jobs: lines of the log, messages, figures, and storages that
//! are behind are caught up. See [`Caretaker`].

mod behind;
mod catch_ups;
mod events;
mod figures;
mod herald;
mod journal;
mod messages;
mod rounds;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, Retry};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Parts, ScheduledJob};
use crate::audit::AuditLog;
use crate::logs::LogWatch;
use crate::metrics::Metrics;
use crate::notify::Notifier;
use events::Pulse;
pub use events::{Events, caretaker};
use herald::Herald;
use journal::TARGET;
use messages::Messages;
use rounds::Rounds;

/// How long after a backup that has left a storage behind the first catch-up begins. The pause
/// after a catch-up that has not helped is twice as long, and so on.
pub const CATCH_UP_PAUSE: Duration = Duration::from_mins(1);
/// The longest pause between catch-ups of a job.
pub const LONGEST_CATCH_UP_PAUSE: Duration = Duration::from_hours(1);
/// So many catch-ups go on at a time in all.
pub const CATCH_UPS: usize = 2;
/// So long a stop waits for the last messages.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// What a caretaker cares for, by the configuration of the moment.
#[derive(Debug, Clone)]
pub struct Care {
    /// The jobs that are scheduled.
    pub jobs: Vec<ScheduledJob>,
    /// Every job with more than one storage, whether it is scheduled or not: these may be behind.
    pub backups: Vec<String>,
    /// Who tells people.
    pub notifier: Option<Arc<Notifier>>,
    /// The channels of each job, by its name.
    pub channels: BTreeMap<String, Vec<String>>,
    /// Where it is written down that runs were interrupted.
    pub audit: Option<AuditLog>,
    /// What figures are shown in. Its names are the program's to configure, before the care for them
    /// is handed over.
    pub metrics: Metrics,
    /// The log whose lost lines are shown.
    pub log_health: Option<LogWatch>,
}

/// Does what the daemon leaves to others: lines of the log, messages, figures, and storages that are
/// behind are caught up.
///
/// It works beside a [`Daemon`](super::Daemon), on the same store. What it does follows
/// from what the store holds, so that a restart begins nothing anew and forgets nothing.
///
/// - Every event becomes a line of the log, at once.
/// - Runs that were missed or interrupted are told to the channels of their job; one that was
///   interrupted stands in metrics and in the audit log as if it had told of its end itself.
/// - Messages go out when they are due: also those that could not be delivered before, and those that
///   programs left behind which have ended.
/// - Metrics show the queue, what is due and what is paused, within about a second.
/// - A job whose last backup has left a storage behind gets a catch-up: [`CATCH_UP_PAUSE`] after the
///   backup, then after pauses that double up to [`LONGEST_CATCH_UP_PAUSE`], until one ends with
///   nothing behind or a new backup is made. [`CATCH_UPS`] at a time in all, and none beside a backup
///   of the same job, which catches up by itself. A job that is paused has none.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
///
/// use kronos_core::{Clock, SystemClock, SystemEntropy};
/// use kronos_service::daemon::{Care, Caretaker, Daemon, DaemonSettings, Parts, WallTimer, caretaker};
/// use kronos_service::metrics::Metrics;
/// use kronos_service::store::MemoryStore;
/// # use kronos_service::daemon::{RunRequest, Runner};
/// # #[derive(Debug)]
/// # struct Nothing;
/// # #[async_trait::async_trait]
/// # impl Runner for Nothing {
/// #     async fn run(&self, job: &str, request: RunRequest) -> kronos_service::RunReport {
/// #         request.report(job)
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kronos_core::Result<()> {
/// let clock: Arc<dyn Clock> = Arc::new(SystemClock);
/// let (observer, events) = caretaker();
/// let parts = Parts {
///     store: Arc::new(MemoryStore::new()),
///     runner: Arc::new(Nothing),
///     timer: Arc::new(WallTimer::new(clock.clone())),
///     clock: clock.clone(),
///     entropy: Arc::new(SystemEntropy),
///     observer,
///     name: "kronos daemon on db1".to_owned(),
/// };
/// let care = Care {
///     jobs: Vec::new(),
///     backups: Vec::new(),
///     notifier: None,
///     channels: BTreeMap::new(),
///     audit: None,
///     metrics: Metrics::new(clock.now()),
///     log_health: None,
/// };
/// let (daemon, handle) = Daemon::new(DaemonSettings::default(), Vec::new(), parts.clone());
/// let (caretaker, care_handle) = Caretaker::new(parts, care.clone(), events);
/// let stop = tokio_util::sync::CancellationToken::new();
/// let caring = tokio::spawn(caretaker.run(stop.clone()));
/// let working = tokio::spawn(daemon.run());
///
/// // A new configuration.
/// care_handle.replace(care);
///
/// // First the daemon, then the caretaker: it tells what the daemon told last.
/// handle.stop();
/// working.await.expect("it does not panic")?;
/// stop.cancel();
/// caring.await.expect("it does not panic");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Caretaker {
    parts: Parts,
    care: watch::Receiver<Arc<Care>>,
    events: Events,
}

/// Tells a caretaker of a new configuration. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CareHandle {
    care: watch::Sender<Arc<Care>>,
    pulse: watch::Receiver<Pulse>,
}

impl CareHandle {
    /// From now on this is cared for. A catch-up that goes on ends as it began.
    pub fn replace(&self, care: Care) {
        self.care.send_replace(Arc::new(care));
    }

    /// An error says why no run begins: the daemon does not know its jobs yet, cannot note what it runs,
    /// or is stopping.
    pub fn ready(&self) -> Result<()> {
        let pulse = *self.pulse.borrow();
        let why = match pulse {
            Pulse { stopping: true, .. } => "the daemon is stopping",
            Pulse { is_store_broken: true, .. } => "the job store fails: no run begins",
            Pulse { is_loaded: false, .. } => "the daemon does not know its jobs yet",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Conflict, why).with_retry(Retry::Later))
    }
}

impl Caretaker {
    /// A caretaker, and what it is told of new configurations by. `parts` are those of the daemon, with
    /// the observer that belongs to `events`.
    pub fn new(parts: Parts, care: Care, events: Events) -> (Self, CareHandle) {
        let (sender, care) = watch::channel(Arc::new(care));
        let handle = CareHandle { care: sender, pulse: events.pulse.clone() };
        (Self { parts, care, events }, handle)
    }

    /// Works until it is stopped: then it stops catch-ups and waits for them, and sends what is still to
    /// be told, for 15 seconds at most; what cannot be sent by then is sent by the next start. It goes
    /// on when the store fails. Stop the daemon first, for this one tells what the daemon told last; once
    /// the daemon is stopping no catch-up begins.
    pub async fn run(self, stop: CancellationToken) {
        let Self { parts, care, events: Events { happenings, pulse } } = self;
        let (told, timer) = (Arc::new(Notify::new()), parts.timer.clone());
        let herald = Herald::new(parts.clone(), care.clone(), happenings, told.clone());
        let mut messages = Messages::new(parts.clone(), care.clone(), pulse.clone(), told);
        let rounds = Rounds::new(parts, care, pulse);
        let telling = async {
            tokio::join!(herald.run(&stop), messages.run(&stop));
            messages.finish().await;
        };
        let impatience = async {
            stop.cancelled().await;
            timer.sleep(LAST_WORDS).await;
        };
        let told_in_time = async {
            tokio::select! {
                biased;
                () = telling => {}
                () = impatience => info!(target: TARGET, event = "notify.left", "messages are left for the next start"),
            }
        };
        tokio::join!(told_in_time, rounds.run(&stop));
    }
}
