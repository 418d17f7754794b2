//! Databases to try things on, and the shortest ways to dump and restore them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use kronos_connectors::sqlite::{SqliteSettings, SqliteSource};
use kronos_core::{
    Connector, DumpRequest, Outline, PreviousStream, RestoreOutcome, RestoreRequest, Result, RunContext, Stream,
    StreamEnd, StreamId, StreamInfo,
};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// A stream that was read.
#[derive(Debug, Clone)]
pub struct Read {
    pub info: StreamInfo,
    pub bytes: Vec<u8>,
    pub end: StreamEnd,
}

impl Read {
    pub fn previous(&self) -> PreviousStream {
        PreviousStream { info: self.info.clone(), end: self.end }
    }

    pub fn stream(&self) -> Stream {
        Stream::from_bytes(self.info.clone(), self.bytes.clone())
    }
}

/// Opens a database as its own program would.
pub fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

/// Runs statements on a connection of their own.
pub fn sql(path: &Path, statements: &str) {
    open(path).execute_batch(statements).unwrap();
}

/// Makes a database with `rows` rows of about 200 bytes and an index, after `prepare`.
pub fn fill(path: &Path, prepare: &str, rows: u32) {
    sql(path, prepare);
    let insert = format!(
        "BEGIN; CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); CREATE INDEX i ON t(body);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < {rows})
         INSERT INTO t(body) SELECT hex(randomblob(100)) FROM n; COMMIT"
    );
    sql(path, &insert);
}

/// All schemas and rows of a database as text.
pub fn contents(path: &Path) -> String {
    let connection = open(path);
    let mut text = String::new();
    let schema = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY 1, 2, 3";
    let mut tables = Vec::new();
    let mut statement = connection.prepare(schema).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (kind, name, sql): (String, String, String) =
            (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        text.extend([&kind, " ", &name, " ", &sql, "\n"]);
        if kind == "table" {
            tables.push(name);
        }
    }
    for table in tables {
        let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = statement.column_count();
        let mut lines: Vec<String> = statement
            .query_map([], |row| Ok((0..columns).map(|c| shown(row.get_ref(c).unwrap())).collect::<String>()))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        lines.sort();
        text.extend([&table, "\n", &lines.join("\n"), "\n"]);
    }
    text
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(text) => format!("{:?}|", String::from_utf8_lossy(text)),
        value => format!("{value:?}|"),
    }
}

/// The connector of one file.
pub fn file(path: &Path) -> SqliteSource {
    SqliteSource::new(SqliteSettings::file(path)).unwrap()
}

/// Dumps everything, one stream after the other.
pub async fn dump(source: &SqliteSource) -> Vec<Read> {
    dump_with(source, &DumpRequest::default()).await.1
}

/// The same with a request; streams that are unchanged are left out.
pub async fn dump_with(source: &SqliteSource, request: &DumpRequest) -> (Outline, Vec<Read>) {
    let dump = source.begin_dump(request, &RunContext::new()).await.unwrap();
    let outline = dump.outline().clone();
    let mut all = Vec::new();
    for (id, info) in (0..).map(StreamId).zip(&outline.streams).filter(|(_, info)| !info.unchanged) {
        let (bytes, end) = dump.open(id).await.unwrap().collect().await.unwrap();
        all.push(Read { info: info.clone(), bytes, end });
    }
    dump.finish().await.unwrap();
    (outline, all)
}

/// Restores streams.
pub async fn restore(target: &SqliteSource, streams: &[Read], replace: bool) -> Result<RestoreOutcome> {
    let request = RestoreRequest { replace, ..RestoreRequest::new(streams.iter().map(Read::previous).collect()) };
    let restore = target.begin_restore(&request, &RunContext::new()).await?;
    for stream in streams {
        restore.write(stream.stream()).await?;
    }
    restore.finish().await
}

/// Dumps a file and restores it beside itself.
pub async fn round_trip(source: &Path) -> PathBuf {
    let target = source.with_file_name("restored.db");
    let streams = dump(&file(source)).await;
    restore(&file(&target), &streams, false).await.unwrap();
    target
}

/// The names in a directory.
pub fn listing(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Says `ok` when SQLite finds nothing wrong.
pub fn integrity(path: &Path) -> String {
    open(path).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}
