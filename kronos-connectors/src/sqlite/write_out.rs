//! Brings a file to the disk while it is still being written: what waits for the end then is little.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// After so many bytes they are on their way to the disk.
const EVERY: u64 = 32 << 20;

/// A file, and how far it has been brought to the disk.
#[derive(Debug)]
pub(super) struct WriteOut {
    file: Arc<File>,
    waiting: u64,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl WriteOut {
    pub(super) fn new(file: File) -> Self {
        Self { file: Arc::new(file), waiting: 0, running: None }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// So many bytes have been written; does not wait for the disk. An error may be one of earlier bytes.
    pub(super) fn wrote(&mut self, bytes: u64) -> io::Result<()> {
        self.waiting += bytes;
        if self.waiting < EVERY {
            return Ok(());
        }
        match &self.running {
            Some(running) if !running.is_finished() => Ok(()),
            _ => self.begin(),
        }
    }

    /// Begins to bring to the disk what has been written so far.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.join()?;
        self.waiting = 0;
        let file = self.file.clone();
        // Without a thread all is done at the end.
        self.running = std::thread::Builder::new().name("write-out".to_owned()).spawn(move || file.sync_data()).ok();
        Ok(())
    }

    /// Waits until all of it is on the disk.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        // The system tells a failure once, and it may have told it to the other thread.
        self.join()?;
        self.file.sync_all()
    }

    fn join(&mut self) -> io::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        running.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes to the disk panicked")))
    }
}
