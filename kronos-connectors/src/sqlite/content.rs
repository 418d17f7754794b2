//! Where the bytes of a stream come from: a snapshot that is held, or a copy of one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kronos_core::{Error, Result, StreamEnd};
use tokio_util::sync::CancellationToken;

use super::error;
use super::outlet::Outlet;
use super::snapshot::Snapshot;
use super::spool::Spool;

/// How often the logs of snapshots are looked at that wait to be read.
const LOOK: Duration = Duration::from_millis(100);

/// The bytes of a stream that has not been opened yet.
#[derive(Debug)]
pub(super) enum Content {
    /// In a snapshot that is held; the rest of it goes to `spool_dir` should its log grow too far.
    Held { snapshot: Snapshot, spool_dir: PathBuf },
    /// In a copy; the snapshot has been released.
    Copied { spool: Spool, warning: Option<String> },
}

/// How a stream went out.
#[derive(Debug)]
pub(super) struct Sent {
    /// Its end mark.
    pub(super) end: StreamEnd,
    /// What the user should know.
    pub(super) warning: Option<String>,
}

impl Content {
    /// Copies a snapshot and releases it. A `small` one stays in memory.
    pub(super) fn copy(
        snapshot: Snapshot,
        spool_dir: &std::path::Path,
        small: bool,
        warning: Option<String>,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let mut spool = if small { Spool::in_memory() } else { Spool::in_directory(spool_dir, snapshot.length())? };
        snapshot.copy(&mut spool, stop)?;
        Ok(Self::Copied { spool, warning })
    }

    /// Sends everything. Blocks as long as that takes.
    pub(super) fn send(self, mut outlet: Outlet, stop: &CancellationToken) -> Result<Sent> {
        match self.pour(&mut outlet, stop) {
            Ok(warning) => Ok(Sent { end: outlet.finish()?, warning }),
            Err(failure) => {
                let echo = error::echo(&failure);
                outlet.fail(failure);
                Err(echo)
            }
        }
    }

    fn pour(self, outlet: &mut Outlet, stop: &CancellationToken) -> Result<Option<String>> {
        match self {
            Self::Copied { spool, warning } => spool.drain(|piece| outlet.send(piece)).map(|()| warning),
            Self::Held { snapshot, spool_dir } => {
                let warning = outgrown(&snapshot);
                outlet.hold(snapshot.log().clone(), spool_dir, snapshot.length());
                snapshot.copy(outlet, stop)?;
                Ok(outlet.released()?.then_some(warning))
            }
        }
    }
}

fn outgrown(snapshot: &Snapshot) -> String {
    format!(
        "{}: its write-ahead log outgrew the limit while the backup was held up; the rest went through a local copy",
        snapshot.path().display()
    )
}

/// A stream's content until someone takes it, shared with the thread that watches over it.
pub(super) type Waiting = Arc<Mutex<Option<Result<Content>>>>;

/// Takes what waits. Whoever comes after gets nothing.
pub(super) fn take(waiting: &Waiting) -> Option<Result<Content>> {
    lock(waiting).take()
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, Option<Result<Content>>> {
    // What waits is replaced as a whole, so a panic leaves nothing half done.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches the logs of all that waits, and copies what outgrows its limit. Returns when nothing is
/// held any more, or on `stop`.
pub(super) fn watch(all: &[Waiting], stop: &CancellationToken) {
    while !stop.is_cancelled() && all.iter().any(is_held) {
        for waiting in all {
            let mut place = lock(waiting);
            if !matches!(&*place, Some(Ok(Content::Held { snapshot, .. })) if snapshot.log().is_exceeded()) {
                continue;
            }
            if let Some(Ok(Content::Held { snapshot, spool_dir })) = place.take() {
                let warning = outgrown(&snapshot);
                *place = Some(Content::copy(snapshot, &spool_dir, false, Some(warning), stop));
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn is_held(waiting: &Waiting) -> bool {
    matches!(&*lock(waiting), Some(Ok(Content::Held { .. })))
}

/// Starts a thread of this connector.
pub(super) fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name("kronos-sqlite".to_owned()).spawn(work).map(drop).map_err(|e| {
        Error::new(kronos_core::ErrorKind::Io, "no thread could be started").with("system", &e).with_source(e)
    })
}
