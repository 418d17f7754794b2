//! Where a notifier keeps what it remembers.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Result, Retry};

use super::state::NotifyState;
use crate::failure::of_file;
use crate::locks;

/// What is done with the state.
pub type Change = Box<dyn FnOnce(&mut NotifyState) + Send>;

/// Keeps what a notifier remembers. Several programs may share one.
#[async_trait]
pub trait NotifyStore: fmt::Debug + Send + Sync {
    /// Makes a change to what is kept, alone among all who share it. The change is made in any case; an
    /// error says that it could not be kept for others, and must be kept for the next call.
    async fn update(&self, change: Change) -> Result<()>;
}

/// Keeps it in memory: for tests, and for programs that notify while they run and at no other time.
#[derive(Debug, Default)]
pub struct MemoryNotifyStore {
    state: Mutex<NotifyState>,
}

#[async_trait]
impl NotifyStore for MemoryNotifyStore {
    async fn update(&self, change: Change) -> Result<()> {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

/// Keeps it in a file, which is replaced as a whole; a lock beside it keeps programs apart.
#[derive(Debug, Clone)]
pub struct FileNotifyStore {
    path: PathBuf,
    /// What could not be written.
    unwritten: Arc<Mutex<Option<NotifyState>>>,
}

/// Larger than any state can be: 20,000 jobs, and some thousand notices.
const LARGEST: u64 = 256 << 20;

impl FileNotifyStore {
    /// Keeps it in `notifications.json` of a directory, which must exist.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join("notifications.json"), unwritten: Arc::default() }
    }

    fn change(&self, change: Change) -> Result<()> {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = self.lock();
        let (mut state, trouble) = unwritten.take().map_or_else(|| self.read(), |state| (state, None));
        change(&mut state);
        let written = lock.and_then(|_lock| self.write(&state));
        if let Err(error) = written {
            *unwritten = Some(state);
            return Err(error);
        }
        trouble.map_or(Ok(()), Err)
    }

    fn lock(&self) -> Result<File> {
        let path = self.path.with_extension("lock");
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let file = open().map_err(|e| self.error("the lock of the notifications cannot be opened", e))?;
        match locks::lock(&file) {
            Ok(()) => Ok(file),
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => {
                Err(Error::new(ErrorKind::Locked, "another program holds the notifications")
                    .with("path", path.display())
                    .with_retry(Retry::Later))
            }
            Err(e) => Err(self.error("the notifications cannot be locked", e)),
        }
    }

    /// What is kept. A file that is damaged is put aside, since one that stops all messages is worse than
    /// messages that come twice; the error tells of it.
    fn read(&self) -> (NotifyState, Option<Error>) {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Default::default(),
            Err(e) => {
                let error = self.error("what was notified cannot be read, and is begun anew", e);
                return (NotifyState::default(), Some(error));
            }
        }
        match serde_json::from_slice(&bytes) {
            Ok(state) => (state, None),
            Err(e) => {
                let aside = self.path.with_extension("damaged.json");
                let moved = std::fs::rename(&self.path, &aside);
                let error = Error::new(ErrorKind::Corrupt, "what was notified is damaged, and is begun anew")
                    .with("path", self.path.display())
                    .with_source(e);
                let error = match moved {
                    Ok(()) => error.with("kept as", aside.display()),
                    Err(_) => error,
                };
                (NotifyState::default(), Some(error))
            }
        }
    }

    fn write(&self, state: &NotifyState) -> Result<()> {
        let cannot = |e| self.error("what was notified cannot be written", e);
        let bytes = serde_json::to_vec(state)
            .map_err(|e| Error::new(ErrorKind::Internal, "the notifications are no JSON").with_source(e))?;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Readable by its owner only, as temporary files are.
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(cannot)?;
        file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(cannot)?;
        file.persist(&self.path).map_err(|e| cannot(e.error))?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(cannot)
    }

    fn error(&self, message: &str, e: std::io::Error) -> Error {
        of_file(e, message, &self.path)
    }
}

#[async_trait]
impl NotifyStore for FileNotifyStore {
    async fn update(&self, change: Change) -> Result<()> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.change(change))
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, "keeping the notifications panicked").with_source(e))?
    }
}
