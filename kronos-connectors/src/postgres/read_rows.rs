//! Rows of a table into a stream, over another connection when one breaks.

use bytes::BytesMut;
use futures::{FutureExt, StreamExt};
use kronos_core::{Digest, Error, ErrorKind, Event, Result, StreamSender};

use super::catalog::Relation;
use super::connect::Session;
use super::error::{failed, is_lost};
use super::names::{ident, literal};
use super::plan::Range;
use super::reading::Reading;

/// Rows are handed on in pieces of about this size.
const PIECE: usize = 256 << 10;
/// How often a table is read over a new connection.
const ATTEMPTS: u32 = 4;

/// The statement that sends rows.
pub(super) fn statement(relation: &Relation, range: Option<Range>, encoding: &str) -> String {
    let columns = relation.columns.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ");
    let listed = if columns.is_empty() { String::new() } else { format!(" ({columns})") };
    let what = match (range, &relation.condition) {
        (None, None) => format!("{}{listed}", relation.sql()),
        // What an extension says of its table is SQL and begins with WHERE.
        (None, Some(condition)) => format!("(SELECT {columns} FROM ONLY {} {condition})", relation.sql()),
        (Some(range), _) => {
            let end = range.to.map_or_else(String::new, |to| format!(" AND ctid < '({to},0)'::pg_catalog.tid"));
            let begin = format!("ctid >= '({},0)'::pg_catalog.tid", range.from);
            format!("(SELECT {columns} FROM ONLY {} WHERE {begin}{end})", relation.sql())
        }
    };
    format!("COPY {what} TO STDOUT (ENCODING {})", literal(encoding))
}

/// How far a stream had come when its connection broke.
#[derive(Debug, Clone, Copy)]
struct Sent {
    length: u64,
    digest: Digest,
}

impl Reading {
    /// Sends the rows of a table or of a range of it; gives their number.
    pub(super) async fn rows(
        &self,
        relation: &Relation,
        range: Option<Range>,
        sender: &mut StreamSender,
    ) -> Result<u64> {
        let holder = self.holder()?;
        let sql = statement(relation, range, &holder.encoding);
        let mut attempt = 1;
        loop {
            let (length, digest) = sender.so_far();
            let error = match self.try_rows(relation, &sql, sender, Sent { length, digest }).await {
                Err(error) if is_lost(&error) && attempt < ATTEMPTS => error,
                done => return done,
            };
            // The others must see the same, and do so only while the snapshot is held.
            self.still_held().await.map_err(|_| echo_lost(&error))?;
            self.dump.run.emit(&Event::Retrying {
                what: format!("read {}", relation.shown()),
                attempt,
                error: error.to_string(),
            });
            tokio::time::sleep(self.dump.run.limits.backoff * (1 << attempt)).await;
            attempt += 1;
        }
    }

    async fn try_rows(&self, relation: &Relation, sql: &str, sender: &mut StreamSender, sent: Sent) -> Result<u64> {
        let holder = self.holder()?;
        let mut worker = self.dump.workers.take(&holder.database, &holder.snapshot).await?;
        if lock_at_once(&mut worker, relation).await? {
            let rows = self.copy(&mut worker, sql, sender, sent).await?;
            self.dump.workers.give_back(&holder.snapshot, worker);
            return Ok(rows);
        }
        // Someone waits for an exclusive lock, and whoever asks now would have to wait behind him,
        // and he for the snapshot. Its own session has the lock.
        self.dump.workers.give_back(&holder.snapshot, worker);
        let mut session = holder.session.lock().await;
        let session = session.as_mut().ok_or_else(|| super::error::internal("the snapshot has been given up"))?;
        self.copy(session, sql, sender, sent).await
    }

    /// Sends what a COPY gives, without what was sent before, which must be the same.
    async fn copy(&self, session: &mut Session, sql: &str, sender: &mut StreamSender, sent: Sent) -> Result<u64> {
        let what = "read rows";
        let mut body = session.connection.copy_out_raw(sql).await.map_err(|e| failed(e, what))?;
        let mut again = Again { left: sent.length, hasher: Box::default(), digest: sent.digest };
        let mut piece = BytesMut::with_capacity(PIECE);
        let mut rows = 0;
        let wait = self.dump.settings.read_timeout;
        loop {
            // The protocol has one row in each message. Most are there already, and need no clock.
            let row = match body.next().now_or_never() {
                Some(row) => row,
                None => tokio::time::timeout(wait, body.next()).await.map_err(|_| silent(wait))?,
            };
            let Some(row) = row else { break };
            let mut row = row.map_err(|e| failed(e, what))?;
            rows += 1;
            if again.left > 0 {
                again.pass(&mut row)?;
            }
            if piece.len() + row.len() > PIECE && !piece.is_empty() {
                sender.send(std::mem::replace(&mut piece, BytesMut::with_capacity(PIECE)).freeze()).await?;
            }
            if row.len() > PIECE {
                sender.send(row).await?;
            } else {
                piece.extend_from_slice(&row);
            }
        }
        if again.left > 0 {
            return Err(differs());
        }
        if !piece.is_empty() {
            sender.send(piece.freeze()).await?;
        }
        Ok(rows)
    }
}

/// A server that says nothing, and a network that has died without a word, look the same.
pub(super) fn silent(after: std::time::Duration) -> Error {
    Error::new(ErrorKind::ConnectionFailed, "the server sends no more rows")
        .with("after", format!("{} s", after.as_secs()))
        .with_retry(kronos_core::Retry::Later)
}

fn echo_lost(error: &Error) -> Error {
    crate::servers::error::echo(error)
        .with("snapshot", "lost as well, so the backup cannot go on")
        .with_retry(kronos_core::Retry::Never)
}

/// Whether the table could be locked without waiting.
async fn lock_at_once(worker: &mut Session, relation: &Relation) -> Result<bool> {
    worker.run("lock a table", "SAVEPOINT kronos").await?;
    let sql = format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE NOWAIT", relation.sql());
    match worker.run("lock a table", &sql).await {
        Ok(()) => worker.run("lock a table", "RELEASE SAVEPOINT kronos").await.map(|()| true),
        Err(error) if error.kind() == ErrorKind::Locked => {
            worker.run("lock a table", "ROLLBACK TO SAVEPOINT kronos").await.map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// What is read once more.
struct Again {
    left: u64,
    hasher: Box<blake3::Hasher>,
    digest: Digest,
}

impl Again {
    fn pass(&mut self, row: &mut bytes::Bytes) -> Result<()> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(row.len());
        self.hasher.update(&row.split_to(length));
        self.left -= length as u64;
        if self.left == 0 && self.hasher.finalize().as_bytes() != &self.digest.0 {
            return Err(differs());
        }
        Ok(())
    }
}

fn differs() -> Error {
    Error::new(ErrorKind::Conflict, "a table that was read again in one snapshot gave other rows, or in another order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_names_what_it_reads() {
        let mut table = Relation {
            oid: 1,
            schema: "public".into(),
            name: "a\"b".into(),
            kind: "r".into(),
            is_unlogged: false,
            size: 0,
            is_heap: true,
            was_rewritten: false,
            is_readable: true,
            is_filtered: false,
            columns: vec!["x".into(), "y z".into()],
            condition: None,
            root: None,
            parents: Vec::new(),
            is_of_extension: false,
        };
        let end = "TO STDOUT (ENCODING 'UTF8')";
        assert_eq!(statement(&table, None, "UTF8"), format!("COPY \"public\".\"a\"\"b\" (\"x\", \"y z\") {end}"));
        let range = Range { from: 8192, to: Some(16384), bytes: 0 };
        let sql = statement(&table, Some(range), "UTF8");
        assert!(
            sql.contains("ctid >= '(8192,0)'") && sql.contains("ctid < '(16384,0)'") && sql.contains("ONLY"),
            "{sql}"
        );
        table.columns.clear();
        assert_eq!(statement(&table, None, "UTF8"), format!("COPY \"public\".\"a\"\"b\" {end}"));
        table.condition = Some("WHERE NOT builtin".into());
        assert!(
            statement(&table, None, "UTF8").contains("(SELECT  FROM ONLY \"public\".\"a\"\"b\" WHERE NOT builtin)")
        );
    }
}
