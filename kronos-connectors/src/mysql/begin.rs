//! The beginning of a dump: which databases, one moment of the server, and what is to be read.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kronos_core::{DumpRequest, Error, ErrorKind, Outline, Phase, Result, RunContext, StreamInfo, matches};

use super::catalog::{self, Table, Versions};
use super::connect::Session;
use super::globals;
use super::guard::Guard;
use super::moment::{self, Names};
use super::names::{self, qualified, shown};
use super::objects::{self, Kind};
use super::plan::{Column, Content, Form, Rows, is_excluded};
use super::preflight;
use super::ranges;
use super::reading::{Common, Definitions, Reading, Task};
use super::settings::{Method, MysqlSettings};
use super::tool_dump;
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
    let mut session = settings.open().await?;
    let hidden = preflight::unseen(&mut session, &chosen).await?;
    refuse(&hidden.needed)?;
    if settings.strict {
        refuse(&hidden.wanted)?;
    }
    if settings.method == Method::Tool {
        session.close().await;
        return tool_dump::begin(settings, request, run, chosen, notices).await;
    }
    let before = definitions(&mut session, &chosen).await?;
    session.close().await;
    let moment = moment::open(settings, &chosen, request.parallel.max(LEAST), run).await?;
    notices.extend(moment.notices);
    if let Some(held) = moment.held {
        notices.push(format!("commits were held back for {} ms", held.as_millis()));
    }
    let is_guarded = moment.guard.is_some();
    let guard = Guard::keep(moment.guard);
    // What follows is not of the snapshots: a table that is changed now fails when it is read.
    let mut session = settings.open().await?;
    let (names, definitions, mut warnings) = (moment.names, Definitions::new(), moment.warnings);
    warnings.extend(hidden.wanted);
    let mut streams = Streams { tasks: Vec::new(), warnings, names, definitions, settings, request };
    streams.globals(&mut session).await?;
    let mut rows = Vec::new();
    for database in &chosen {
        let within = |e: Error| e.with("database", shown(database));
        streams.schema(&mut session, database).await.map_err(within)?;
        rows.extend(streams.rows(&mut session, database).await.map_err(within)?);
    }
    if !is_guarded {
        unaltered(&before, &streams.definitions)?;
    }
    // The longest first: at the end nobody waits for a long one.
    rows.sort_by_key(|(info, _)| std::cmp::Reverse(info.size_hint));
    streams.tasks.extend(rows);
    let server_version = Some(session.server.shown());
    session.close().await;

    let workers = Workers::new(moment.sessions);
    let Streams { tasks, warnings, definitions, .. } = streams;
    let common = Arc::new(Common {
        settings: settings.clone(),
        run: run.clone(),
        workers,
        guard,
        definitions,
        position: OnceLock::new(),
    });
    let (infos, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    let readings = tasks.into_iter().map(|task| Reading { dump: common.clone(), task }).collect();
    let outline = Outline { streams: infos, server_version, warnings };
    Ok(Begun { outline, common, readings, position: moment.place.map(|place| place.to_string()), notices })
}

/// The definitions of all tables.
async fn definitions(session: &mut Session, databases: &[String]) -> Result<Definitions> {
    let mut found = Definitions::new();
    for database in databases {
        for (name, kind) in catalog::relations(session, database).await? {
            if !["BASE TABLE", "SYSTEM VERSIONED"].contains(&kind.as_str()) {
                continue;
            }
            match objects::definition_now(session, database, &name).await {
                Ok(definition) => drop(found.insert((database.clone(), name), definition)),
                // Dropped since they were listed; or it cannot be opened, which is told later.
                Err(error) if error.context("code").is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// Fails unless the tables were before the snapshots what they are after them, and so in them. A
/// change that the server makes at once leaves no other trace.
fn unaltered(before: &Definitions, after: &Definitions) -> Result<()> {
    match after.iter().find(|(table, definition)| before.get(table) != Some(definition)) {
        None => Ok(()),
        Some(((database, table), _)) => Err(changed(database, table)),
    }
}

fn changed(database: &str, table: &str) -> Error {
    Error::new(ErrorKind::Conflict, "a table was made, altered, dropped or renamed while the backup began")
        .with("table", qualified(database, table))
        .with("hint", "run the backup again")
        .with_retry(kronos_core::Retry::Later)
}

impl MysqlSettings {
    /// The databases to be backed up, and what is told of the others.
    pub(super) async fn chosen(&self, exclude: &[String]) -> Result<(Vec<String>, Vec<String>)> {
        let mut session = self.open().await?;
        let found = catalog::databases(&mut session).await?;
        let named = catalog::folded(&mut session, &self.databases).await?;
        session.close().await;
        let found: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
        if let Some(missing) = named.iter().find(|name| !found.contains(name)) {
            return Err(Error::new(ErrorKind::NotFound, "the server has no such database, or the user may not see it")
                .with("database", shown(missing)));
        }
        if !named.is_empty() {
            return Ok((named, Vec::new()));
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

/// What a user may not see, the server does not say that there is.
fn refuse(missing: &[String]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::PermissionDenied, "a part of what is to be backed up would be left out without a word")
        .with("missing", missing.join("; ")))
}

/// Streams as they are found, in the order in which they will be read.
struct Streams<'a> {
    tasks: Vec<(StreamInfo, Task)>,
    warnings: Vec<String>,
    /// What there was when the snapshots were opened.
    names: Names,
    definitions: Definitions,
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

    async fn schema(&mut self, session: &mut Session, database: &str) -> Result<()> {
        let objects = objects::read(session, database).await?;
        let now: BTreeSet<&String> = objects.iter().map(|object| &object.name).collect();
        if let Some(gone) = self.names.get(database).and_then(|names| names.iter().find(|name| !now.contains(name))) {
            return Err(changed(database, gone));
        }
        for table in objects.iter().filter(|object| object.kind == Kind::Table) {
            let definition = objects::definition(table.create.bytes()?);
            self.definitions.insert((database.to_owned(), table.name.clone()), definition);
        }
        let lines = objects::lines(&objects)?;
        let (major, minor, patch) = session.server.version;
        let content = Content::Schema {
            database: database.to_owned(),
            flavor: session.server.name().to_owned(),
            version: format!("{major}.{minor}.{patch}"),
        };
        self.ready(&content, format!("{}/schema", shown(database)), lines)
    }

    fn ready(&mut self, content: &Content, name: String, bytes: Vec<u8>) -> Result<()> {
        let info = content.stream(name, Phase::Before, Some(bytes.len() as u64))?;
        self.tasks.push((info, Task::Ready(Bytes::from(bytes))));
        Ok(())
    }

    async fn rows(&mut self, session: &mut Session, database: &str) -> Result<Vec<(StreamInfo, Task)>> {
        let mut streams = Vec::new();
        let mut still = Vec::new();
        let tables = catalog::tables(session, database).await?;
        self.same(database, &tables)?;
        for table in tables {
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

    /// Every table has been listed twice, for its definition and for its rows.
    fn same(&self, database: &str, tables: &[Table]) -> Result<()> {
        let defined = self.definitions.keys().filter(|(of, _)| of == database).map(|(_, table)| table);
        let (defined, listed): (BTreeSet<_>, BTreeSet<_>) =
            (defined.collect(), tables.iter().map(|t| &t.name).collect());
        defined.symmetric_difference(&listed).next().map_or(Ok(()), |table| Err(changed(database, table)))
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
