//! A made-up machine: its clock runs on tokio's paused time and can be set, its runs take time and
//! fail as a seed says, and it notes all that its daemon does.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kronos_core::{Clock, Entropy, Error, ErrorKind, Id, Timestamp};
use kronos_service::daemon::{DaemonEvent, DaemonObserver, Parts, RunRequest, Runner, WallTimer};
use kronos_service::store::{JobStore, Task};
use kronos_service::{Ended, Failure, RunReport, Trigger};
use tokio::time::Instant;

/// A clock that can be set.
#[derive(Debug)]
pub struct SetClock {
    began: Instant,
    base: Timestamp,
    skew: AtomicI64,
}

impl SetClock {
    pub fn new(base: Timestamp) -> Self {
        Self { began: Instant::now(), base, skew: AtomicI64::new(0) }
    }

    /// Sets it forward, or back, by so many seconds.
    pub fn set(&self, by: i64) {
        self.skew.fetch_add(by * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        let shown = self.base.plus(self.began.elapsed());
        Timestamp::from_micros(shown.as_micros() + self.skew.load(Ordering::SeqCst))
    }
}

/// Numbers that a seed gives, by splitmix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
pub struct Dice(Mutex<u64>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    pub fn roll(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `sides - 1`.
    pub fn below(&self, sides: u64) -> u64 {
        self.roll() % sides
    }
}

impl Entropy for Dice {
    fn fill(&self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            part.copy_from_slice(&self.roll().to_le_bytes()[..part.len()]);
        }
    }
}

/// One run as it was made.
#[derive(Debug, Clone)]
pub struct Made {
    pub id: Id,
    pub task: Task,
    pub trigger: Trigger,
    pub due: Option<Timestamp>,
    pub attempt: u32,
    pub began: Timestamp,
    /// On a clock that nobody sets.
    pub from: Instant,
    pub to: Option<Instant>,
    pub ended: Option<Ended>,
}

/// Pretends to run jobs.
#[derive(Debug)]
pub struct Pretender {
    pub clock: Arc<SetClock>,
    pub dice: Dice,
    pub made: Mutex<Vec<Made>>,
    /// How long runs of a job take; the others between some seconds and a few minutes.
    pub lengths: Mutex<BTreeMap<String, Duration>>,
    /// Of how many runs one fails; 0: none.
    pub fails: AtomicI64,
}

impl Pretender {
    pub fn new(clock: Arc<SetClock>, seed: u64) -> Self {
        let (made, lengths) = (Mutex::default(), Mutex::default());
        Self { clock, dice: Dice::new(seed), made, lengths, fails: AtomicI64::new(0) }
    }

    pub fn made(&self) -> Vec<Made> {
        self.made.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Runner for Pretender {
    async fn run(&self, job: &str, request: RunRequest) -> RunReport {
        let began = self.clock.now();
        let at = {
            let mut made = self.made.lock().unwrap();
            made.push(Made {
                id: request.id,
                task: Task::new(job, request.operation),
                trigger: request.trigger,
                due: request.due,
                attempt: request.attempt,
                began,
                from: Instant::now(),
                to: None,
                ended: None,
            });
            made.len() - 1
        };
        let usual = match self.dice.below(200) {
            0 => 60 * (30 + self.dice.below(120)),
            1..20 => 60 * (1 + self.dice.below(10)),
            _ => 1 + self.dice.below(40),
        };
        let length = self.lengths.lock().unwrap().get(job).copied().unwrap_or(Duration::from_secs(usual));
        let mut report = request.report(job);
        tokio::select! {
            () = tokio::time::sleep(length) => {
                let fails = u64::try_from(self.fails.load(Ordering::SeqCst)).unwrap();
                report.ended = Ended::Succeeded;
                if fails > 0 && self.dice.below(fails) == 0 {
                    report.ended = Ended::Failed;
                    report.error = Some(Failure::of(&Error::new(ErrorKind::Io, "made to fail")));
                }
            }
            () = request.cancel.cancelled() => {
                // Checkpoints take a moment.
                tokio::time::sleep(Duration::from_secs(3)).await;
                report.ended = Ended::Cancelled;
            }
        }
        report.finished = self.clock.now();
        let report = request.conclude(report);
        let mut made = self.made.lock().unwrap();
        made[at].to = Some(Instant::now());
        made[at].ended = Some(report.ended);
        report
    }
}

/// Notes events in short.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Vec<String>>);

impl Notes {
    pub fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|note| note.starts_with(what)).count()
    }
}

impl DaemonObserver for Notes {
    fn on_event(&self, event: &DaemonEvent<'_>) {
        let note = match event {
            DaemonEvent::Loaded { tasks } => format!("loaded {tasks}"),
            DaemonEvent::Queued(run) => format!("queued {}", run.task.job),
            DaemonEvent::Started(run) => format!("started {} {:?} {}", run.task.job, run.trigger, run.attempt),
            DaemonEvent::Ended { run, report, next } => {
                format!("ended {} {:?} next {:?}", run.task.job, report.ended, next.map(|next| next.attempt))
            }
            DaemonEvent::Lost { run, .. } => format!("lost {}", run.task.job),
            DaemonEvent::Interrupted { run, next } => {
                format!("interrupted {} next {:?}", run.task.job, next.map(|next| next.attempt))
            }
            DaemonEvent::Dropped { run, why } => format!("dropped {} {why:?}", run.task.job),
            DaemonEvent::Missed(skip) => format!("missed {} {}", skip.task.job, skip.count),
            DaemonEvent::Skipped(skip) => format!("skipped {} {} {:?}", skip.task.job, skip.count, skip.reason),
            DaemonEvent::Rewound { job, .. } => format!("rewound {job}"),
            DaemonEvent::SetBack { from, now } => format!("set back {from} {now}"),
            DaemonEvent::Stalled(error) => format!("stalled: {error}"),
            DaemonEvent::StoreBack => "store back".to_owned(),
            DaemonEvent::StoreFailed(error) => format!("store failed: {error}"),
            DaemonEvent::Stopping { running } => format!("stopping {running}"),
            _ => panic!("an event that the tests do not know: {event:?}"),
        };
        self.0.lock().unwrap().push(note);
    }
}

/// The machine with its parts.
pub struct World {
    pub clock: Arc<SetClock>,
    pub runner: Arc<Pretender>,
    pub notes: Arc<Notes>,
    pub parts: Parts,
}

impl World {
    pub fn new(base: Timestamp, seed: u64, store: Arc<dyn JobStore>) -> Self {
        let clock = Arc::new(SetClock::new(base));
        let runner = Arc::new(Pretender::new(clock.clone(), seed));
        let notes = Arc::new(Notes::default());
        let parts = Parts {
            store,
            runner: runner.clone(),
            clock: clock.clone(),
            timer: Arc::new(WallTimer::new(clock.clone())),
            entropy: Arc::new(Dice::new(seed ^ 0xabcd)),
            observer: notes.clone(),
            name: "kronos daemon of a test".to_owned(),
        };
        Self { clock, runner, notes, parts }
    }
}
