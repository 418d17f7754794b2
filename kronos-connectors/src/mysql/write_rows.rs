//! Rows into the tables that are being made; and whether they are what the backup holds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt};
use kronos_core::{Digest, Error, ErrorKind, Piece, Result, Stream, StreamEnd};
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;

use super::building::{Building, count};
use super::connect::Session;
use super::error::{failed, internal, silent};
use super::insert::Inserts;
use super::names::{ident, qualified};
use super::plan::{Content, Form, Range, Rows};
use super::read_rows::{Sink, read};
use super::restore::MysqlRestore;
use super::settings::Check;
use crate::servers::restoring::same;

/// Pieces that wait for the server.
const WAITING: usize = 4;

impl MysqlRestore {
    /// Writes rows of a table.
    pub(super) async fn write_rows(&self, rows: &Rows, stream: Stream, end: StreamEnd) -> Result<()> {
        let building = self.building(&rows.database)?;
        building.check_table(&rows.table)?;
        let mut session = self.take().await?;
        let named = |e: Error| e.with("table", qualified(&building.planned.to, &rows.table));
        // MariaDB locks an empty table as a whole for whoever checks nothing: where several fill one, the
        // others would wait for the first, or two that begin at once would be told of a deadlock.
        let checks = u8::from(rows.range != Range::default());
        session.run("prepare the session", &format!("SET SESSION unique_checks = {checks}")).await.map_err(named)?;
        let written = if self.loads && !rows.columns.is_empty() {
            let moved = load(&mut session, rows, &building.name, stream, end, &self.handed_over);
            let loaded = moved.await;
            loaded.map(|Loaded { rows: written, warnings }| {
                if warnings > 0 {
                    building.doubt(&rows.table);
                }
                written
            })
        } else {
            insert(&mut session, rows, &building.name, stream, end).await
        };
        let written = written.map_err(named)?;
        self.give_back(session);
        if end.rows.is_some_and(|rows| rows != written) {
            let error = Error::new(ErrorKind::Corrupt, "the server took another number of rows than the backup has");
            return Err(named(error.with("rows", written)));
        }
        Ok(())
    }

    /// Adds keys, several tables at a time, and compares what is there with the backup.
    pub(super) async fn complete_tables(&self, building: &Building) -> Result<()> {
        let parallel = self.run.limits.parallel.max(1);
        for foreign in [false, true] {
            let work = building.tables().into_iter().map(|table| async move {
                let mut session = self.take().await?;
                let added = if foreign {
                    building.add_foreign_keys(&mut session, &table).await
                } else {
                    building.add_keys(&mut session, &table).await
                };
                added.map_err(|e| building.hinted(e.with("table", qualified(&building.planned.to, &table))))?;
                self.give_back(session);
                Ok::<_, Error>(())
            });
            // Two that lead to each other would wait for each other.
            let at_once = if foreign { 1 } else { parallel };
            futures::stream::iter(work).buffer_unordered(at_once).try_collect::<()>().await?;
        }
        Ok(())
    }

    /// Compares every stream of rows with what is in the tables; gives the number of rows.
    pub(super) async fn compare(&self, building: &Building) -> Result<u64> {
        let mut expected = Vec::new();
        for stream in &self.request.streams {
            if let Some(Content::Rows(rows)) = self.contents.get(&stream.info.name)
                && rows.database == building.planned.from
            {
                expected.push((rows.clone(), stream.end));
            }
        }
        let total = expected.iter().filter_map(|(_, end)| end.rows).sum();
        match self.settings.check {
            Check::Bytes => {
                let work = expected.into_iter().map(|(rows, end)| self.compare_bytes(building, rows, end));
                futures::stream::iter(work)
                    .buffer_unordered(self.run.limits.parallel.max(1))
                    .try_collect::<()>()
                    .await?;
            }
            Check::Count => {
                let mut tables = std::collections::BTreeMap::<String, (bool, u64)>::new();
                for (rows, end) in expected {
                    if building.is_doubtful(&rows.table) {
                        self.compare_bytes(building, rows.clone(), end).await?;
                    }
                    let table = tables.entry(rows.table).or_insert((rows.history, 0));
                    table.1 += end.rows.unwrap_or_default();
                }
                let mut session = self.take().await?;
                for (table, (history, rows)) in tables {
                    let found = count(&mut session, &qualified(&building.name, &table), history).await?;
                    if found != rows {
                        return Err(Error::new(
                            ErrorKind::Corrupt,
                            "a table has another number of rows than the backup",
                        )
                        .with("table", qualified(&building.planned.to, &table))
                        .with("expected", rows)
                        .with("found", found));
                    }
                }
                self.give_back(session);
            }
        }
        Ok(total)
    }

    async fn compare_bytes(&self, building: &Building, rows: Rows, end: StreamEnd) -> Result<()> {
        let mut session = self.take().await?;
        let mut sink = Hash { hasher: blake3::Hasher::new(), length: 0 };
        let sql = rows.select(&building.name)?;
        let named = |e: Error| e.with("table", qualified(&building.planned.to, &rows.table));
        let found = read(&mut session, &sql, self.settings.read_timeout, &mut sink).await.map_err(named)?;
        self.give_back(session);
        let digest = Digest(*sink.hasher.finalize().as_bytes());
        if (sink.length, digest) == (end.length, end.digest) {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Corrupt, "the server has other rows than it was given")
            .with("rows", found)
            .with("expected", end.rows.unwrap_or_default())
            .with("hint", "`check = \"count\"` only counts them");
        Err(named(error))
    }
}

struct Hash {
    hasher: blake3::Hasher,
    length: u64,
}

impl Sink for Hash {
    async fn take(&mut self, piece: Vec<u8>) -> Result<()> {
        self.hasher.update(&piece);
        self.length += piece.len() as u64;
        Ok(())
    }
}

/// The statement that takes rows as they were read.
fn load_statement(rows: &Rows, database: &str) -> String {
    let (mut fields, mut values) = (Vec::new(), Vec::new());
    for (place, column) in rows.columns.iter().enumerate() {
        let name = ident(&column.name);
        let value = match column.form {
            Form::Plain | Form::Float => None,
            // Beside others that are set, MariaDB would forget that it was given a value.
            Form::Counter => Some(format!("@v{place}")),
            Form::Number => Some(format!("CAST(@v{place} AS UNSIGNED)")),
            Form::Text => Some(format!("CONVERT(@v{place} USING utf8mb4)")),
        };
        match value {
            None => fields.push(name),
            Some(value) => {
                fields.push(format!("@v{place}"));
                values.push(format!("{name} = {value}"));
            }
        }
    }
    let set = if values.is_empty() { String::new() } else { format!(" SET {}", values.join(", ")) };
    format!(
        "LOAD DATA LOCAL INFILE 'kronos' INTO TABLE {} CHARACTER SET binary FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' \
            LINES TERMINATED BY '\\n' ({}){set}",
        qualified(database, &rows.table),
        fields.join(", ")
    )
}

/// What came of a `LOAD DATA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loaded {
    rows: u64,
    /// What the server said of rows that it took. It says so of a value of ENUM that is no member,
    /// and of what it computes; and of values that it has changed.
    warnings: u64,
}

impl Loaded {
    /// Reads `Records: 6  Deleted: 0  Skipped: 1  Warnings: 4`. Whatever the `sql_mode`, `LOCAL` makes
    /// the server leave out rows that it does not want.
    fn of(rows: u64, report: &str) -> Result<Self> {
        let number = |name: &str| {
            let rest = &report[report.find(name)? + name.len()..];
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<u64>().ok()
        };
        let (Some(records), Some(skipped), Some(deleted), Some(warnings)) =
            (number("Records: "), number("Skipped: "), number("Deleted: "), number("Warnings: "))
        else {
            return Err(internal("the server reports nothing of the rows that it was given").with("report", report));
        };
        if skipped == 0 && deleted == 0 && records == rows {
            return Ok(Self { rows, warnings });
        }
        Err(Error::new(ErrorKind::Corrupt, "the server left out rows that it was given")
            .with("given", records)
            .with("left out", skipped.max(records.saturating_sub(rows)))
            .with("hint", "two rows may have the same key here; is the target of another kind or version?"))
    }
}

/// Sends a stream to the server; gives what the server did. Streams of one table may wait for each
/// other as long as any of them gets on: when none of the restore does, the server is lost.
async fn load(
    session: &mut Session,
    rows: &Rows,
    database: &str,
    mut stream: Stream,
    end: StreamEnd,
    handed_over: &AtomicU64,
) -> Result<Loaded> {
    let what = "write rows";
    let wait = session.wait;
    let is_fetching = &AtomicBool::new(false);
    let sql = load_statement(rows, database);
    let (sender, receiver) = mpsc::channel(WAITING);
    let body = futures::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|p| (p, receiver)) });
    session.connection.set_infile_handler(async move { Ok(body.boxed()) });
    let feed = async move {
        loop {
            is_fetching.store(true, Ordering::Release);
            let next = stream.next().await;
            handed_over.fetch_add(1, Ordering::AcqRel);
            is_fetching.store(false, Ordering::Release);
            match next {
                // A server that takes no more says why.
                Ok(Some(Piece::Data(bytes))) => {
                    if sender.send(Ok(bytes)).await.is_err() {
                        return Ok(());
                    }
                    handed_over.fetch_add(1, Ordering::AcqRel);
                }
                Ok(Some(Piece::End(found))) => return same(found, end),
                Ok(None) => return Err(internal("a stream was read after its end")),
                Err(error) => {
                    // So that the statement ends in an error too.
                    let _ = sender.send(Err(std::io::Error::other("the stream failed"))).await;
                    return Err(error);
                }
            }
        }
    };
    let run = session.connection.query_drop(sql);
    let stuck = async {
        loop {
            let before = handed_over.load(Ordering::Acquire);
            tokio::time::sleep(wait).await;
            if before == handed_over.load(Ordering::Acquire) && !is_fetching.load(Ordering::Acquire) {
                return;
            }
        }
    };
    let (sent, done) = tokio::select! {
        both = async { tokio::join!(feed, run) } => both,
        () = stuck => return Err(silent(wait).with("while", what)),
    };
    sent?;
    done.map_err(|e| failed(e, what))?;
    Loaded::of(session.connection.affected_rows(), &session.connection.info())
}

async fn insert(session: &mut Session, rows: &Rows, database: &str, mut stream: Stream, end: StreamEnd) -> Result<u64> {
    let what = "write rows";
    let mut inserts = Inserts::new(rows, &qualified(database, &rows.table));
    let mut written = 0;
    let mut run = async |statements: Vec<(String, u64)>| {
        for (sql, count) in statements {
            session.run(what, &sql).await?;
            written += count;
        }
        Ok::<_, Error>(())
    };
    loop {
        match stream.next().await? {
            Some(Piece::Data(bytes)) => run(inserts.push(&bytes)?).await?,
            Some(Piece::End(found)) => {
                same(found, end)?;
                run(inserts.end()?.into_iter().collect()).await?;
                return Ok(written);
            }
            None => return Err(internal("a stream was read after its end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::plan::{Column, Range};

    #[test]
    fn rows_that_were_left_out_are_missed() {
        let of = |rows, report| Loaded::of(rows, report);
        assert_eq!(of(6, "Records: 6  Deleted: 0  Skipped: 0  Warnings: 4").unwrap(), Loaded { rows: 6, warnings: 4 });
        assert_eq!(
            of(5, "Records: 6  Deleted: 0  Skipped: 1  Warnings: 1").unwrap_err().context("left out"),
            Some("1")
        );
        assert!(of(6, "Records: 6  Deleted: 1  Skipped: 0  Warnings: 0").is_err() && of(6, "").is_err());
    }

    #[test]
    fn columns_are_written_as_they_were_read() {
        let column = |name: &str, form| Column { name: name.into(), form };
        let rows = Rows {
            database: "d".into(),
            table: "t`".into(),
            columns: vec![column("a", Form::Float), column("j", Form::Text), column("e", Form::Number)],
            key: Vec::new(),
            history: false,
            range: Range::default(),
        };
        let sql = load_statement(&rows, "o");
        assert!(sql.contains("INTO TABLE `o`.`t```"), "{sql}");
        assert!(
            sql.ends_with("(`a`, @v1, @v2) SET `j` = CONVERT(@v1 USING utf8mb4), `e` = CAST(@v2 AS UNSIGNED)"),
            "{sql}"
        );
    }
}
