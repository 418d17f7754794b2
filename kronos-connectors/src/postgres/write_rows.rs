//! What streams hold, into the databases that are being made; and whether it is all there.

use futures::{StreamExt, TryStreamExt};
use kronos_core::{Error, ErrorKind, Piece, Result, Stream, StreamEnd};
use sqlx::postgres::types::Oid;
use tokio::io::AsyncWriteExt;

use super::building::{Building, Table};
use super::connect::Session;
use super::error::{failed, internal, is_lost};
use super::large_objects::{Frames, Meta};
use super::names::{conninfo, ident, literal, qualified};
use super::plan::{Rows, Sequence};
use super::restore::PostgresRestore;
use crate::servers::restoring::same;

/// Values of sequences are set so many at a time.
const SEQUENCES: usize = 200;
/// Bytes of large objects that are written in one transaction, about.
const BATCH: usize = 16 << 20;

impl PostgresRestore {
    /// Writes rows. A table's only stream goes into it in one transaction that empties it first, so
    /// that the server knows that nobody else has to see the rows come.
    pub(super) async fn write_rows(&self, rows: &Rows, is_alone: bool, stream: Stream, end: StreamEnd) -> Result<()> {
        let building = self.building(&rows.database)?;
        let (schema, table) = match &rows.root {
            Some((schema, table)) => (schema, table),
            None => (&rows.schema, &rows.table),
        };
        let name = qualified(schema, table);
        let mut session = self.take(building).await?;
        let freeze = is_alone && rows.root.is_none() && !rows.adds;
        if freeze {
            session.run("begin to write rows", &format!("BEGIN; TRUNCATE ONLY {name}")).await?;
        }
        let written = copy(&mut session, &copy_statement(&name, rows, freeze), stream, end).await?;
        if freeze {
            session.run("commit rows", "COMMIT").await?;
        }
        self.give_back(building, session);
        if end.rows.is_some_and(|rows| rows != written) {
            return Err(Error::new(ErrorKind::Corrupt, "the server took another number of rows than the backup has")
                .with("table", name)
                .with("rows", written));
        }
        if !rows.adds {
            building.count(Table { name, is_partitioned: rows.root.is_some() }, written);
        }
        Ok(())
    }

    pub(super) async fn write_sequences(&self, database: &str, text: &str) -> Result<()> {
        let building = self.building(database)?;
        let wrong = |e| Error::new(ErrorKind::Corrupt, "the sequences of the backup are malformed").with_source(e);
        let all: Vec<Sequence> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(wrong)?;
        let mut session = self.take(building).await?;
        for some in all.chunks(SEQUENCES) {
            // Of a backup of which only some tables are restored, not all are there.
            let value = |s: &Sequence| {
                let name = literal(&qualified(&s.schema, &s.name));
                format!("pg_catalog.setval(pg_catalog.to_regclass({name}), {}, {})", s.last, s.called)
            };
            let values: Vec<String> = some.iter().map(value).collect();
            session.run("set the sequences", &format!("SELECT {}", values.join(", "))).await?;
        }
        self.give_back(building, session);
        Ok(())
    }

    pub(super) async fn write_large_objects(&self, database: &str, mut stream: Stream, end: StreamEnd) -> Result<()> {
        let what = "write large objects";
        let building = self.building(database)?;
        let mut session = self.take(building).await?;
        let (mut frames, mut open, mut objects, mut batch) = (Frames::default(), None, 0, 0);
        session.run(what, "BEGIN").await?;
        loop {
            match stream.next().await? {
                Some(Piece::Data(bytes)) => {
                    frames.push(&bytes);
                    while let Some((number, bytes)) = frames.next()? {
                        batch += bytes.len() + 256;
                        open = match open {
                            None => {
                                self.make_large_object(&mut session, number, &Meta::of(&bytes)?).await?;
                                Some((number, 0_i64))
                            }
                            Some((of, _)) if of != number => {
                                return Err(Error::new(ErrorKind::Corrupt, "a large object has no end"));
                            }
                            Some(_) if bytes.is_empty() => {
                                objects += 1;
                                None
                            }
                            Some((_, place)) => {
                                let put = sqlx::query("SELECT pg_catalog.lo_put($1, $2, $3)");
                                let put = put.bind(Oid(number)).bind(place).bind(&bytes[..]);
                                put.execute(&mut session.connection).await.map_err(|e| failed(e, what))?;
                                Some((number, place + i64::try_from(bytes.len()).unwrap_or_default()))
                            }
                        };
                    }
                    if batch > BATCH {
                        batch = 0;
                        session.run(what, "COMMIT; BEGIN").await?;
                    }
                }
                Some(Piece::End(found)) => {
                    same(found, end)?;
                    frames.end()?;
                    break;
                }
                None => return Err(internal("a stream was read after its end")),
            }
        }
        session.run(what, "COMMIT").await?;
        self.give_back(building, session);
        if end.rows.is_some_and(|rows| rows != objects) {
            return Err(Error::new(ErrorKind::Corrupt, "the backup has another number of large objects than it says"));
        }
        Ok(())
    }

    /// Makes an object, unless the schema did: the archives of `pg_dump` before 17 have them.
    async fn make_large_object(&self, session: &mut Session, number: u32, meta: &Meta) -> Result<()> {
        let what = "make a large object";
        let sql = format!(
            "SELECT count(pg_catalog.lo_create({number})) FROM (SELECT) AS x WHERE NOT EXISTS \
                (SELECT FROM pg_catalog.pg_largeobject_metadata WHERE oid = {number})"
        );
        let (made,): (i64,) = session.row(what, &sql).await?;
        if made > 0 {
            session.run(what, &meta.statements(number, self.request.owners, self.request.privileges)).await?;
        }
        Ok(())
    }

    /// Writes a whole database by `pg_restore`, which reads it from here.
    pub(super) async fn write_dump(&self, database: &str, mut stream: Stream, end: StreamEnd) -> Result<()> {
        let building = self.building(database)?;
        let mut command = building.restore(&self.settings);
        command.arg(format!("--dbname={}", conninfo(&building.name))).stdin(std::process::Stdio::piped());
        let mut running = building.start(&mut command)?;
        let mut input = running.child.stdin.take().ok_or_else(|| internal("a program without an input"))?;
        let mut taken = true;
        loop {
            match stream.next().await? {
                // A program that ends early says why.
                Some(Piece::Data(bytes)) => taken = taken && input.write_all(&bytes).await.is_ok(),
                Some(Piece::End(found)) => break same(found, end)?,
                None => return Err(internal("a stream was read after its end")),
            }
            if !taken {
                break;
            }
        }
        taken = taken && input.shutdown().await.is_ok();
        drop(input);
        building.judge(running.ending().await?)?;
        if !taken {
            return Err(Error::new(ErrorKind::ToolFailed, "pg_restore did not read all of the backup"));
        }
        Ok(())
    }

    /// Counts the rows of every table, several at a time; an error unless they are as many as in the
    /// backup.
    pub(super) async fn count_rows(&self, building: &Building) -> Result<u64> {
        let parallel = self.run.limits.parallel.max(1);
        let counts = futures::stream::iter(building.expected())
            .map(|(Table { name, is_partitioned }, expected)| async move {
                let mut session = self.take(building).await?;
                let only = if is_partitioned { "" } else { "ONLY " };
                let sql = format!("SELECT count(*) FROM {only}{name}");
                let (found,): (i64,) = session.row("count rows", &sql).await?;
                self.give_back(building, session);
                if u64::try_from(found) != Ok(expected) {
                    return Err(Error::new(ErrorKind::Corrupt, "a table has another number of rows than the backup")
                        .with("table", name)
                        .with("expected", expected)
                        .with("found", found));
                }
                Ok(expected)
            })
            .buffer_unordered(parallel);
        counts.try_fold(0, |sum, rows| async move { Ok(sum + rows) }).await
    }

    /// Tells the planner what is in the tables, several at a time. That is no part of the backup: what
    /// cannot be done is told. Tables above foreign ones are left to the user, for it would ask those.
    pub(super) async fn analyze(&self, building: &Building) -> Result<()> {
        let mut session = self.take(building).await?;
        let sql = "WITH RECURSIVE above AS ( \
                SELECT i.inhparent AS oid FROM pg_catalog.pg_inherits i \
                    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'f' \
                UNION SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid) \
            SELECT n.nspname::text, c.relname::text, c.oid IN (SELECT oid FROM above) FROM pg_catalog.pg_class c \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
                AND c.oid >= 16384 ORDER BY c.relpages DESC";
        let tables: Vec<(String, String, bool)> = session.rows("list the tables", sql).await?;
        self.give_back(building, session);
        let work = tables.into_iter().map(|(schema, table, is_above_foreign)| async move {
            let name = qualified(&schema, &table);
            if is_above_foreign {
                building
                    .warn(format!("no statistics were gathered of {name}, which has foreign tables below it: ANALYZE"));
                return Ok(());
            }
            let mut session = self.take(building).await?;
            match session.run("gather statistics", &format!("ANALYZE {name}")).await {
                Ok(()) => {}
                Err(error) if is_lost(&error) || error.context("sqlstate").is_none() => return Err(error),
                Err(error) => building.warn(format!("no statistics could be gathered of {name}: {error}")),
            }
            self.give_back(building, session);
            Ok::<_, Error>(())
        });
        futures::stream::iter(work).buffer_unordered(self.run.limits.parallel.max(1)).try_collect().await
    }
}

fn copy_statement(name: &str, rows: &Rows, freeze: bool) -> String {
    let columns = rows.columns.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ");
    let listed = if columns.is_empty() { String::new() } else { format!(" ({columns})") };
    let freeze = if freeze { ", FREEZE" } else { "" };
    format!("COPY {name}{listed} FROM STDIN (ENCODING {}{freeze})", literal(&rows.encoding))
}

/// Sends a stream to the server; gives the number of rows that it took.
async fn copy(session: &mut Session, sql: &str, mut stream: Stream, end: StreamEnd) -> Result<u64> {
    let what = "write rows";
    let mut copy = session.connection.copy_in_raw(sql).await.map_err(|e| failed(e, what))?;
    loop {
        match stream.next().await? {
            Some(Piece::Data(bytes)) => drop(copy.send(bytes).await.map_err(|e| failed(e, what))?),
            Some(Piece::End(found)) => {
                same(found, end)?;
                return copy.finish().await.map_err(|e| failed(e, what));
            }
            None => return Err(internal("a stream was read after its end")),
        }
    }
}
