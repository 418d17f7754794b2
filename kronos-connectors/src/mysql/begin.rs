//! The beginning of a dump: which databases, one moment of the server, and what is to be read.

use std::sync::Arc;

use bytes::Bytes;
use kronos_core::{DumpRequest, Error, ErrorKind, Outline, Phase, Result, RunContext, StreamInfo, matches};
use tokio::sync::Mutex;

use super::catalog::{self, Table, Versions};
use super::connect::Session;
use super::globals;
use super::moment;
use super::names::{self, qualified, shown};
use super::objects::{self, Kind, Object, Text};
use super::plan::{Column, Content, Form, Rows, is_excluded};
use super::ranges;
use super::reading::{Common, Reading, Task};
use super::settings::MysqlSettings;
use super::workers::Workers;

/// One stream may be kept waiting by its reader while another is read.
const LEAST: usize = 2;

/// What is ready to be read.
pub(super) struct Begun {
    pub outline: Outline,
    pub common: Arc<Common>,
    /// One for each stream.
    pub readings: Vec<Reading>,
    pub position: Option<String>,
    /// What the user may want to know.
    pub notices: Vec<String>,
}

pub(super) async fn begin(settings: &MysqlSettings, request: &DumpRequest, run: &RunContext) -> Result<Begun> {
    let (chosen, mut notices) = settings.chosen(&request.exclude).await?;
    let moment = moment::open(settings, request.parallel.max(LEAST), run).await?;
    notices.extend(moment.notices);
    if let Some(held) = moment.held {
        notices.push(format!("commits were held back for {} ms", held.as_millis()));
    }
    // What follows is not of the snapshots: a table that is changed now fails when it is read.
    let mut session = settings.open().await?;
    let mut streams = Streams { tasks: Vec::new(), warnings: moment.warnings, settings, request };
    streams.globals(&mut session).await?;
    let mut rows = Vec::new();
    for database in &chosen {
        let named = |e: Error| e.with("database", shown(database));
        let before = streams.schema(&mut session, database).await.map_err(named)?;
        rows.extend(streams.rows(&mut session, database).await.map_err(named)?);
        // Some changes of a table do not make it fail.
        if tables(&objects::read(&mut session, database).await.map_err(named)?) != tables(&before) {
            return Err(named(Error::new(ErrorKind::Conflict, "a table was changed while the backup began"))
                .with_retry(kronos_core::Retry::Later));
        }
    }
    // The longest first: at the end nobody waits for a long one.
    rows.sort_by_key(|(info, _)| std::cmp::Reverse(info.size_hint));
    streams.tasks.extend(rows);
    let server_version = Some(session.server.shown());
    session.close().await;

    let workers = Workers::new(moment.sessions);
    let guard = Mutex::new(moment.guard);
    let common = Arc::new(Common { settings: settings.clone(), run: run.clone(), workers, guard });
    let Streams { tasks, warnings, .. } = streams;
    let (infos, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    let readings = tasks.into_iter().map(|task| Reading { dump: common.clone(), task }).collect();
    let outline = Outline { streams: infos, server_version, warnings };
    Ok(Begun { outline, common, readings, position: moment.place.map(|place| place.to_string()), notices })
}

/// How tables are defined, without the numbers to which they have counted.
fn tables(objects: &[Object]) -> Vec<String> {
    let tables = objects.iter().filter(|object| object.kind == Kind::Table);
    let text = |object: &Object| match &object.create {
        Text::Plain(text) => match text.split_once(" AUTO_INCREMENT=") {
            Some((begin, rest)) => format!("{begin}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
            None => text.clone(),
        },
        Text::Bytes { hex } => hex.clone(),
    };
    tables.map(text).collect()
}

impl MysqlSettings {
    /// The databases to be backed up, and what is told of the others.
    pub(super) async fn chosen(&self, exclude: &[String]) -> Result<(Vec<String>, Vec<String>)> {
        let mut session = self.open().await?;
        let found = catalog::databases(&mut session).await?;
        session.close().await;
        let found: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
        if let Some(missing) = self.databases.iter().find(|name| !found.contains(name)) {
            return Err(Error::new(ErrorKind::NotFound, "the server has no such database, or the user may not see it")
                .with("database", shown(missing)));
        }
        if !self.databases.is_empty() {
            return Ok((self.databases.clone(), Vec::new()));
        }
        let is_excluded = |name: &str| exclude.iter().any(|pattern| matches(pattern, &shown(name)));
        let (left, chosen): (Vec<_>, Vec<_>) = found.into_iter().partition(|name| is_excluded(name));
        let mut notices = Vec::new();
        if !left.is_empty() {
            let left: Vec<String> = left.iter().map(|name| shown(name)).collect();
            notices.push(format!("left out, as asked for: {}", left.join(", ")));
        }
        if chosen.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "the server has no database that could be backed up")
                .with("server", self.address()));
        }
        for name in &chosen {
            names::check(name)?;
        }
        Ok((chosen, notices))
    }
}

/// Streams as they are found, in the order in which they will be read.
struct Streams<'a> {
    tasks: Vec<(StreamInfo, Task)>,
    warnings: Vec<String>,
    settings: &'a MysqlSettings,
    request: &'a DumpRequest,
}

impl Streams<'_> {
    async fn globals(&mut self, session: &mut Session) -> Result<()> {
        let (lines, warnings) = globals::read(session).await?;
        self.warnings.extend(warnings);
        let content = Content::Globals { server: self.settings.databases.is_empty() };
        self.ready(&content, "globals".to_owned(), lines)
    }

    async fn schema(&mut self, session: &mut Session, database: &str) -> Result<Vec<Object>> {
        let objects = objects::read(session, database).await?;
        let lines = objects::lines(&objects)?;
        let (major, minor, patch) = session.server.version;
        let content = Content::Schema {
            database: database.to_owned(),
            flavor: session.server.name().to_owned(),
            version: format!("{major}.{minor}.{patch}"),
        };
        self.ready(&content, format!("{}/schema", shown(database)), lines)?;
        Ok(objects)
    }

    fn ready(&mut self, content: &Content, name: String, bytes: Vec<u8>) -> Result<()> {
        let info = content.stream(name, Phase::Before, Some(bytes.len() as u64))?;
        self.tasks.push((info, Task::Ready(Bytes::from(bytes))));
        Ok(())
    }

    async fn rows(&mut self, session: &mut Session, database: &str) -> Result<Vec<(StreamInfo, Task)>> {
        let mut streams = Vec::new();
        let mut still = Vec::new();
        for table in catalog::tables(session, database).await? {
            let name = qualified(database, &table.name);
            if is_excluded(&self.request.exclude, database, &table.name) {
                self.warnings.push(format!("the rows of {name} are left out, as asked for"));
                continue;
            }
            let Some(engine) = table.engine.as_deref() else {
                return Err(Error::new(ErrorKind::QueryFailed, "the server cannot open a table")
                    .with("table", name)
                    .with("hint", "CHECK TABLE says why; `exclude` leaves its rows out"));
            };
            if !table.has_rows() {
                self.warnings
                    .push(format!("{name} has no rows of its own (engine {engine}): only its definition is kept"));
                continue;
            }
            if !table.is_transactional {
                still.push(format!("{} ({engine})", shown(&table.name)));
            }
            streams.extend(self.of_table(session, database, &table).await?);
        }
        if still.is_empty() {
            return Ok(streams);
        }
        let names = still.join(", ");
        if self.settings.strict {
            return Err(Error::new(ErrorKind::Unsupported, "no snapshot can hold these tables still")
                .with("tables", names)
                .with("hint", "ALTER TABLE … ENGINE = InnoDB; or go without `strict`"));
        }
        self.warnings.push(format!(
            "{}: no snapshot can hold these tables still, and their rows may be newer than the rest: {names}",
            shown(database)
        ));
        Ok(streams)
    }

    async fn of_table(
        &mut self,
        session: &mut Session,
        database: &str,
        table: &Table,
    ) -> Result<Vec<(StreamInfo, Task)>> {
        let mut rows = Rows {
            database: database.to_owned(),
            table: table.name.clone(),
            columns: table.columns.clone(),
            key: Vec::new(),
            history: false,
            range: super::plan::Range::default(),
        };
        if table.is_innodb() {
            rows.key = table.key.iter().map(|column| column.name.clone()).collect();
        }
        match &table.versions {
            // Before, nobody could write them back.
            Some(Versions::Times(start, end)) if session.server.is_mariadb_since(10, 11) => {
                rows.history = true;
                let column = |name: &String| Column { name: name.clone(), form: Form::Plain };
                rows.columns.extend([column(start), column(end)]);
            }
            Some(_) => self.warnings.push(format!(
                "{}: only the present rows are kept, for no server can take back those of the past",
                qualified(database, &table.name)
            )),
            None => {}
        }
        let parts = ranges::split(session, database, table, self.settings.range).await?;
        let each = table.size / (parts.len() as u64).max(1);
        let name = format!("{}/{}", shown(database), shown(&table.name));
        let stream = |(n, range)| {
            let rows = Rows { range, ..rows.clone() };
            let content = Content::Rows(rows.clone());
            // The first part has the plain name; what grows keeps it.
            let name = if n == 0 { name.clone() } else { format!("{name}#{n}") };
            Ok((content.stream(name, Phase::Data, Some(each))?, Task::Rows(rows)))
        };
        parts.into_iter().enumerate().map(stream).collect()
    }
}
