//! An open file or directory on the server: bytes at their places, several requests at a time.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kronos_core::{Error, ErrorKind};
use russh_sftp::protocol::{File as Entry, FileAttributes, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use crate::connection::Connection;
use crate::failure::Failure;

/// The bytes of one request: as many as each server has to take.
const PIECE: usize = 32 << 10;
/// How many requests one call has on their way.
const AT_A_TIME: usize = 32;
/// So much memory is taken before the bytes are known to be there.
const LARGEST_ROOM: usize = 8 << 20;

/// It is closed when this is dropped.
pub(crate) struct File {
    connection: Arc<Connection>,
    handle: String,
    permit: Option<OwnedSemaphorePermit>,
}

impl File {
    pub(crate) fn new(connection: Arc<Connection>, handle: String, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { connection, handle, permit }
    }

    pub(crate) async fn attributes(&self) -> Result<FileAttributes, Failure> {
        self.connection.ask(self.connection.session.fstat(&*self.handle)).await.map(|found| found.attrs)
    }

    /// Reads a range; what the file lacks of it, the answer lacks too.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Bytes, Failure> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let pieces = range.clone().step_by(PIECE).map(|start| self.read_piece(start..range.end));
        let mut pieces = stream::iter(pieces).buffered(AT_A_TIME);
        let mut bytes = BytesMut::with_capacity(length.min(LARGEST_ROOM));
        while let Some(piece) = pieces.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// Reads the first bytes of a range, as many as go into one request. A server may answer with less
    /// than there is.
    async fn read_piece(&self, range: Range<u64>) -> Result<Vec<u8>, Failure> {
        let wanted = usize::try_from(range.end - range.start).unwrap_or(PIECE).min(PIECE);
        let mut bytes = Vec::new();
        while bytes.len() < wanted {
            let _permit = self.connection.on_the_way.acquire().await;
            let (start, length) = (range.start + bytes.len() as u64, wanted - bytes.len());
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            let read = self.connection.session.read(&*self.handle, start, length);
            match self.connection.ask(read).await {
                Ok(more) if more.data.is_empty() || more.data.len() > wanted - bytes.len() => {
                    let error = Error::new(ErrorKind::Io, "the server sent another number of bytes than it should");
                    return Err(Failure::Lost(error));
                }
                Ok(more) => bytes.extend(more.data),
                Err(Failure::Refused(StatusCode::Eof, _)) => break,
                Err(failure) => return Err(failure),
            }
        }
        Ok(bytes)
    }

    /// Writes bytes at a place. After a failure some of them may be there.
    pub(crate) async fn write(&self, bytes: &Bytes, start: u64) -> Result<(), Failure> {
        let pieces = (0..bytes.len()).step_by(PIECE).map(|at| {
            let piece = bytes.slice(at..bytes.len().min(at + PIECE));
            async move {
                let _permit = self.connection.on_the_way.acquire().await;
                let write = self.connection.session.write(&*self.handle, start + at as u64, piece.to_vec());
                self.connection.ask(write).await.map(drop)
            }
        });
        stream::iter(pieces).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Returns when everything is on the disk.
    pub(crate) async fn sync(&self) -> Result<(), Failure> {
        self.connection.ask(self.connection.session.fsync(&*self.handle)).await.map(drop)
    }

    /// What is in it, if it was opened as a directory.
    pub(crate) async fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::new();
        loop {
            match self.connection.ask(self.connection.session.readdir(&*self.handle)).await {
                Ok(more) => entries.extend(more.files),
                Err(Failure::Refused(StatusCode::Eof, _)) => return Ok(entries),
                Err(failure) => return Err(failure),
            }
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let (connection, handle, permit) = (Arc::clone(&self.connection), self.handle.clone(), self.permit.take());
        // Without a runtime there is no connection any more either.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // What was written has been synced: closing can lose nothing.
            let _ = connection.session.close(handle).await;
            drop(permit);
        });
    }
}
