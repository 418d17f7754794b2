//! What tests of notifications share: a clock that is set by hand, a courier that notes what it carries, and
//! runs as they end.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "each test uses a part of it")]

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::testing::Prng;
use kronos_core::{BackupKind, Clock, Entropy, Error, ErrorKind, Id, Result, Timestamp};
use kronos_service::notify::{Channel, Contents, Courier, Letter, Notifier, NotifyStore, Outside, Receipt, Way};
use kronos_service::{BackupFigures, Ended, Failure, Operation, RunReport, StorageEnded, StorageFigures, Trigger};

/// A clock that is set by hand.
#[derive(Debug)]
pub struct HandClock(AtomicI64);

impl HandClock {
    pub fn at(text: &str) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(Timestamp::parse(text).unwrap().as_micros())))
    }

    pub fn set(&self, time: Timestamp) {
        self.0.store(time.as_micros(), Ordering::SeqCst);
    }

    pub fn pass(&self, time: Duration) {
        self.set(self.now().plus(time));
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Random numbers that are the same each time.
#[derive(Debug)]
pub struct Seeded(Mutex<Prng>);

impl Seeded {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Prng::new(seed))))
    }
}

impl Entropy for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        let mut prng = self.0.lock().unwrap();
        buffer.fill_with(|| prng.bits().to_le_bytes()[3]);
    }
}

/// What a courier answers.
pub type Answer = Box<dyn FnMut(&Channel, &Way, &Letter) -> Result<Receipt> + Send>;

/// A courier that notes what it is given.
pub struct Notes {
    pub answer: Mutex<Answer>,
    pub carried: Mutex<Vec<(String, Letter)>>,
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notes")
    }
}

impl Notes {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { answer: Mutex::new(Box::new(|_, _, _| Ok(Receipt::default()))), carried: Mutex::default() })
    }

    pub fn answer(&self, answer: impl FnMut(&Channel, &Way, &Letter) -> Result<Receipt> + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// The titles of the letters that have arrived since the last call.
    pub fn titles(&self) -> Vec<Vec<String>> {
        self.letters().into_iter().map(|letter| titles(&letter)).collect()
    }

    pub fn letters(&self) -> Vec<Letter> {
        std::mem::take(&mut *self.carried.lock().unwrap()).into_iter().map(|(_, letter)| letter).collect()
    }
}

pub fn titles(letter: &Letter) -> Vec<String> {
    match &letter.contents {
        Contents::Notices(notices) => notices.iter().map(|notice| notice.title.clone()).collect(),
        Contents::Ping(ping) => vec![format!("{:?} {} {}", ping.kind, ping.job, ping.run.short())],
        other => vec![format!("{other:?}")],
    }
}

#[async_trait]
impl Courier for Notes {
    async fn deliver(&self, channel: &Channel, way: &Way, letter: &Letter) -> Result<Receipt> {
        let answer = (self.answer.lock().unwrap())(channel, way, letter);
        if answer.is_ok() {
            self.carried.lock().unwrap().push((format!("{}/{}", channel.name, way.name()), letter.clone()));
        }
        answer
    }
}

pub fn notifier(
    channels: Vec<Channel>,
    store: Arc<dyn NotifyStore>,
    clock: &Arc<HandClock>,
    courier: &Arc<Notes>,
) -> Notifier {
    let outside = Outside::new(Arc::clone(clock) as Arc<dyn Clock>, Seeded::new(1)).with_host("db1.example");
    Notifier::new(channels, store, outside.with_courier(Arc::clone(courier) as Arc<dyn Courier>)).unwrap()
}

/// A run that has ended a minute after it began.
pub fn run(job: &str, operation: Operation, ended: Ended, at: Timestamp) -> RunReport {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&RUNS.fetch_add(1, Ordering::SeqCst).to_be_bytes());
    let mut report = RunReport::begin(Id(id), operation, job, Trigger::Schedule, at.minus(Duration::from_mins(1)));
    (report.ended, report.finished) = (ended, at);
    if ended == Ended::Failed {
        let error = Error::new(ErrorKind::ConnectionFailed, "the server cannot be reached").with("host", "db");
        report.error = Some(Failure::of(&error.with_source(std::io::Error::other("connection refused"))));
    } else if operation == Operation::Backup {
        let (bytes, bytes_read, bytes_stored) = (3 << 30, 1 << 30, 20 << 20);
        let strategy = BackupKind::Incremental;
        let (rows, chunks) = (Some(12_345), None);
        report.backup =
            Some(BackupFigures { id: Id([9; 16]), strategy, bytes, bytes_read, bytes_stored, rows, chunks });
    }
    report
}

pub fn storage(name: &str, ended: StorageEnded, caught_up: u64) -> StorageFigures {
    let error = Error::new(ErrorKind::Timeout, "the store does not answer").with("storage", name);
    let error = matches!(ended, StorageEnded::Failed).then(|| Failure::of(&error));
    StorageFigures { storage: name.to_owned(), ended, caught_up, behind: false, forgotten: 0, freed: 0, error }
}
