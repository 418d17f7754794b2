//! Rows of a table into a stream, over another connection when one breaks: each has the same
//! snapshot, and what was sent must come again.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use kronos_core::{Digest, Error, ErrorKind, Event, Result, StreamSender};
use mysql_async::Row;
use mysql_async::prelude::Queryable;

use super::connect::Session;
use super::error::{failed, has_code, is_lost, silent};
use super::lines;
use super::names::qualified;
use super::numbered::Numbered;
use super::objects::definition_now;
use super::plan::Rows;
use super::reading::Reading;

/// Rows are handed on in pieces of about this size.
const PIECE: usize = 256 << 10;
/// How often a table is read over another connection.
const ATTEMPTS: u32 = 4;

impl Reading {
    /// Sends the rows of a table or of a range of it; gives their number.
    pub(super) async fn rows(&self, rows: &Rows, sender: &mut StreamSender) -> Result<u64> {
        let mut attempt = 1;
        loop {
            let mut session = None;
            let read = self.try_rows(rows, sender, &mut session).await;
            if let (Err(error), Some(number)) = (&read, session)
                && is_lost(error)
            {
                // The server may not know that nobody is there any more, and keep the table locked.
                self.dump.settings.end(number).await;
            }
            let error = match read {
                Err(error) if is_lost(&error) && attempt < ATTEMPTS => error,
                done => return done.map_err(|e| e.with("table", qualified(&rows.database, &rows.table))),
            };
            self.dump.run.emit(&Event::Retrying {
                what: format!("read {}", qualified(&rows.database, &rows.table)),
                attempt,
                error: error.to_string(),
            });
            tokio::time::sleep(self.dump.run.limits.backoff * (1 << attempt)).await;
            attempt += 1;
        }
    }

    /// The same over one session, whose number it tells.
    async fn try_rows(&self, rows: &Rows, sender: &mut StreamSender, number: &mut Option<Numbered>) -> Result<u64> {
        let sql = rows.select(&rows.database)?;
        let mut lease = self.dump.workers.take().await?;
        let session = lease.session();
        *number = Some(session.number);
        // What is read is locked against ALTER TABLE until the transaction goes back behind it.
        session.run("begin to read rows", "SAVEPOINT kronos").await?;
        let (length, digest) = sender.so_far();
        let mut to = Into { sender, again: Again { left: length, hasher: Box::default(), digest } };
        let count = read(session, &sql, self.dump.settings.read_timeout, &mut to).await;
        // A column that is gone, or the table.
        let count = count.map_err(|e| if has_code(&e, &[1054, 1146]) { altered().with_source(e) } else { e })?;
        if to.again.left > 0 {
            return Err(differs());
        }
        // Not every change of a table makes reading it fail. Now that it is being read, there is none.
        let known = self.dump.definitions.get(&(rows.database.clone(), rows.table.clone()));
        let now = definition_now(session, &rows.database, &rows.table).await?;
        if known.is_none_or(|known| *known != now) {
            return Err(altered());
        }
        session.run("end reading rows", "ROLLBACK TO SAVEPOINT kronos").await?;
        lease.give_back();
        Ok(count)
    }
}

/// Takes pieces of whole rows.
pub(super) trait Sink {
    async fn take(&mut self, piece: Vec<u8>) -> Result<()>;
}

/// Into a stream, without what was sent before.
struct Into<'a> {
    sender: &'a mut StreamSender,
    again: Again,
}

impl Sink for Into<'_> {
    async fn take(&mut self, piece: Vec<u8>) -> Result<()> {
        let mut piece = Bytes::from(piece);
        if self.again.left > 0 {
            self.again.pass(&mut piece)?;
        }
        if piece.is_empty() { Ok(()) } else { self.sender.send(piece).await }
    }
}

/// Reads what a query gives, as lines; gives their number.
pub(super) async fn read(session: &mut Session, sql: &str, wait: Duration, sink: &mut impl Sink) -> Result<u64> {
    let what = "read rows";
    let asked = tokio::time::timeout(wait, session.connection.query_stream::<Row, _>(sql)).await;
    let mut found = asked.map_err(|_| silent(wait).with("while", what))?.map_err(|e| failed(e, what))?;
    let (mut piece, mut count) = (Vec::with_capacity(PIECE + 4096), 0);
    loop {
        // Most rows are there already, and need no clock.
        let row = match found.next().now_or_never() {
            Some(row) => row,
            None => tokio::time::timeout(wait, found.next()).await.map_err(|_| silent(wait).with("while", what))?,
        };
        let Some(row) = row else { break };
        if !lines::push(&mut piece, &row.map_err(|e| failed(e, what))?) {
            return Err(super::error::internal("the server sent something else than bytes"));
        }
        count += 1;
        if piece.len() >= PIECE {
            sink.take(std::mem::replace(&mut piece, Vec::with_capacity(PIECE + 4096))).await?;
        }
    }
    if !piece.is_empty() {
        sink.take(piece).await?;
    }
    Ok(count)
}

/// What was sent before the connection broke, and now comes again.
struct Again {
    left: u64,
    hasher: Box<blake3::Hasher>,
    digest: Digest,
}

impl Again {
    /// Takes from the front of a piece what has been sent already.
    fn pass(&mut self, piece: &mut Bytes) -> Result<()> {
        let known = piece.split_to(usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len()));
        self.hasher.update(&known);
        self.left -= known.len() as u64;
        if self.left == 0 && Digest(*self.hasher.finalize().as_bytes()) != self.digest {
            Err(differs())
        } else {
            Ok(())
        }
    }
}

fn altered() -> Error {
    Error::new(ErrorKind::Conflict, "a table was altered after the backup began")
        .with("hint", "run the backup again")
        .with_retry(kronos_core::Retry::Later)
}

fn differs() -> Error {
    Error::new(ErrorKind::Conflict, "a table was not the same when it was read again after the connection broke")
        .with("hint", "run the backup again")
}
