//! The end of a stream that a thread writes to: straight to the reader, or, once the reader is too
//! slow for the write-ahead log, into a local copy that the reader gets afterwards.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use kronos_core::{Error, Result, StreamEnd, StreamSender};
use tokio_util::sync::CancellationToken;

use super::error;
use super::order::PageOut;
use super::snapshot::LogWatch;
use super::spool::{PIECE, Spool};

/// Pieces that wait for the reader.
pub(super) const WAITING: usize = 8;

/// How long a full queue is left alone. The queue holds milliseconds of work for the fastest reader.
const PAUSE: Duration = Duration::from_millis(2);

/// Sends a stream, a piece at a time, from a thread that may block.
#[derive(Debug)]
pub(super) struct Outlet {
    sender: StreamSender,
    stop: CancellationToken,
    /// While a snapshot is held: its log, where a copy would go, and how much is still to come.
    held: Option<Held>,
    spool: Option<Spool>,
    gathered: Vec<u8>,
}

#[derive(Debug)]
struct Held {
    log: LogWatch,
    spool_dir: PathBuf,
    left: u64,
}

impl Outlet {
    /// An outlet that waits for its reader as long as it takes.
    pub(super) fn new(sender: StreamSender, stop: CancellationToken) -> Self {
        Self { sender, stop, held: None, spool: None, gathered: Vec::with_capacity(PIECE) }
    }

    /// From now on `length` bytes come from a snapshot with this log.
    pub(super) fn hold(&mut self, log: LogWatch, spool_dir: PathBuf, length: u64) {
        self.held = Some(Held { log, spool_dir, left: length });
    }

    /// The snapshot has been released: sends what is in the local copy. Tells whether there was one.
    pub(super) fn released(&mut self) -> Result<bool> {
        self.flush()?;
        self.held = None;
        match self.spool.take() {
            Some(spool) => spool.drain(|piece| self.send(piece)).map(|()| true),
            None => Ok(false),
        }
    }

    /// Sends a piece when there is room.
    pub(super) fn send(&mut self, piece: Bytes) -> Result<()> {
        while !self.has_room()? {
            std::thread::sleep(PAUSE);
        }
        self.sender.blocking_send(piece)
    }

    /// Ends the stream well.
    pub(super) fn finish(self) -> Result<StreamEnd> {
        while !self.has_room()? {
            std::thread::sleep(PAUSE);
        }
        self.sender.blocking_finish(None)
    }

    /// Ends the stream with an error.
    pub(super) fn fail(self, error: Error) {
        while matches!(self.has_room(), Ok(false)) {
            std::thread::sleep(PAUSE);
        }
        // A reader that lives on after the run was stopped still learns why, if there is room.
        if self.sender.has_room().unwrap_or(false) {
            self.sender.blocking_fail(error);
        }
    }

    fn has_room(&self) -> Result<bool> {
        if self.stop.is_cancelled() { Err(error::cancelled()) } else { self.sender.has_room() }
    }

    fn flush(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE));
        let length = piece.len() as u64;
        while self.spool.is_none() {
            let room = self.has_room()?;
            match &self.held {
                Some(held) if held.log.is_exceeded() => {
                    self.spool = Some(Spool::in_directory(&held.spool_dir, held.left)?);
                }
                _ if room => {
                    self.sent(length);
                    return self.sender.blocking_send(piece.into());
                }
                _ => std::thread::sleep(PAUSE),
            }
        }
        self.sent(length);
        match &mut self.spool {
            Some(spool) => spool.append(&piece),
            None => Ok(()),
        }
    }

    fn sent(&mut self, length: u64) {
        if let Some(held) = &mut self.held {
            held.left = held.left.saturating_sub(length);
        }
    }
}

impl PageOut for Outlet {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE { self.flush() } else { Ok(()) }
    }
}
