//! A restore: files under temporary names, checked, and then put into place together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{
    Entropy, Error, ErrorKind, Piece, PreviousStream, Restore, RestoreOutcome, RestoreRequest, Result, RunContext,
    Stream,
};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::check::{Check, Verdict};
use super::page_file::PageFile;
use super::settings::SqliteSettings;
use super::target::Target;
use super::{error, swap};

/// Pieces of a stream that wait to be written.
const QUEUE: usize = 16;

/// Files being restored. Dropping it removes all of them.
#[derive(Debug)]
pub(super) struct SqliteRestore {
    // Before `made`: the directories can only go once they are empty.
    slots: Mutex<Vec<Slot>>,
    made: Made,
    replace: bool,
    entropy: Arc<dyn Entropy>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

#[derive(Debug)]
struct Slot {
    stream: PreviousStream,
    target: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    /// Being written, or given up.
    Open,
    Written(Box<PageFile>),
}

/// Directories that were made for this restore, and are empty without it.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        // One that is not empty holds what someone else has put there meanwhile: it stays.
        self.0.iter().rev().for_each(|directory| drop(std::fs::remove_dir(directory)));
    }
}

impl SqliteRestore {
    /// Looks at the target and makes missing directories. `AlreadyExists` when a file is there and
    /// may not be replaced, `Locked` when it may but is in use.
    pub(super) async fn begin(settings: &SqliteSettings, request: &RestoreRequest, run: &RunContext) -> Result<Self> {
        run.check_cancelled()?;
        let stop = run.cancel.child_token();
        let (settings, request) = (settings.clone(), request.clone());
        let replace = request.replace;
        let (slots, made) = blocking(move || {
            let target = Target::plan(&settings, &request)?;
            let made = Made(target.prepare(request.replace)?);
            if request.replace {
                target.files.iter().try_for_each(|(_, path)| swap::check_unused(path))?;
            }
            let slot = |(stream, target)| Slot { stream, target, state: State::Waiting };
            Ok((target.files.into_iter().map(slot).collect(), made))
        })
        .await?;
        Ok(Self {
            slots: Mutex::new(slots),
            made,
            replace,
            entropy: run.entropy.clone(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Marks the stream as open; each one once.
    fn claim(&self, name: &str) -> Result<(PreviousStream, PathBuf)> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.iter_mut().find(|slot| slot.stream.info.name == name && matches!(slot.state, State::Waiting));
        let Some(slot) = slot else {
            return Err(error::internal("a stream that was not announced, or came twice").with("stream", name));
        };
        slot.state = State::Open;
        Ok((slot.stream.clone(), slot.target.clone()))
    }

    fn written(&self, name: &str, file: PageFile) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.iter_mut().find(|slot| slot.stream.info.name == name) {
            slot.state = State::Written(Box::new(file));
        }
    }

    fn check_running(&self) -> Result<()> {
        if self.stop.is_cancelled() { Err(error::cancelled()) } else { Ok(()) }
    }

    fn take_written(&self) -> Result<Vec<(PageFile, PathBuf)>> {
        let slots = std::mem::take(&mut *self.slots.lock().unwrap_or_else(PoisonError::into_inner));
        slots
            .into_iter()
            .map(|slot| match slot.state {
                State::Written(file) => Ok((*file, slot.target)),
                _ => Err(error::internal("a stream was not written to its end").with("stream", slot.stream.info.name)),
            })
            .collect()
    }
}

#[async_trait]
impl Restore for SqliteRestore {
    async fn write(&self, mut stream: Stream) -> Result<()> {
        let name = stream.info().name.clone();
        let (expected, target) = self.claim(&name)?;
        let entropy = self.entropy.clone();
        let mut file = blocking(move || PageFile::create(&target, expected, &*entropy)).await?;
        let (sender, mut pieces) = mpsc::channel::<Bytes>(QUEUE);
        let writing = blocking(move || {
            while let Some(bytes) = pieces.blocking_recv() {
                file.append(&bytes)?;
            }
            Ok(file)
        });
        let feeding = async {
            let sender = sender;
            loop {
                self.check_running()?;
                match stream.next().await? {
                    Some(Piece::Data(bytes)) => {
                        if sender.send(bytes).await.is_err() {
                            // What is being written has failed, and tells why.
                            return Ok(None);
                        }
                    }
                    Some(Piece::End(end)) => return Ok(Some(end)),
                    None => return Err(error::internal("a stream was read after its end")),
                }
            }
        };
        // Whatever the one comes to, the other is waited for: it holds the file.
        let (written, fed) = tokio::join!(writing, feeding);
        let (file, end) = match (written, fed) {
            (Ok(file), Ok(Some(end))) => (file, end),
            (Err(e), _) | (_, Err(e)) => return Err(e),
            (Ok(_), Ok(None)) => return Err(error::internal("a file was given up").with("stream", name)),
        };
        file.end(&end)?;
        self.written(&name, file);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<RestoreOutcome> {
        let mut files = self.take_written()?;
        // They are brought to the disk while they are checked.
        let mut files = blocking(move || {
            files.iter_mut().try_for_each(|(file, _)| file.begin_settling())?;
            Ok(files)
        })
        .await?;
        let mut outcome = RestoreOutcome::default();
        for (file, _) in &files {
            self.check_running()?;
            let path = file.path().to_owned();
            let check = blocking(move || Check::open(&path)).await?;
            let interrupt = check.stop_on_drop();
            let stream = file.stream().clone();
            let name = stream.info.name.clone();
            let verdict = blocking(move || check.run(&stream)).await?;
            drop(interrupt);
            match verdict {
                Verdict::Ok => outcome.checks.push(format!("{name}: integrity_check ok")),
                Verdict::Partly(reason) => {
                    outcome.checks.push(format!("{name}: digest ok"));
                    outcome.warnings.push(format!("{name}: integrity_check could not run: {reason}"));
                }
            }
        }
        outcome.created = files.iter().map(|(_, target)| target.display().to_string()).collect();
        let (replace, entropy, stop) = (self.replace, self.entropy.clone(), self.stop.clone());
        blocking(move || {
            // If nobody waits for the outcome any more, nothing is put into place.
            if stop.is_cancelled() { Err(error::cancelled()) } else { swap::place(&mut files, replace, &*entropy) }
        })
        .await?;
        self.made.0.clear();
        Ok(outcome)
    }

    async fn abort(self: Box<Self>) {
        // Removing files may wait for the disk.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "work on a restored file panicked").with_source(e))?
}
