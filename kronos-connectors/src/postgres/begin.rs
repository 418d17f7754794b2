//! The beginning of a dump: which databases, what is in them, and who may read it.

use std::sync::Arc;

use kronos_core::{DumpRequest, Error, ErrorKind, Outline, Phase, Result, RunContext, StreamInfo};
use tokio::sync::Mutex;

use super::catalog::{self, Relation};
use super::connect::{Session, shown as version_shown};
use super::holder::Holder;
use super::large_objects;
use super::names::{self, shown};
use super::plan::{Content, Named, Range, Rows, is_excluded, ranges};
use super::preflight::server_notes;
use super::reading::{Common, Held, Reading, Task};
use super::settings::{Method, PostgresSettings};
use super::tools::{Tool, find};
use super::workers::Workers;

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

/// What is known of the server before a snapshot is taken.
struct Server {
    version: u32,
    /// Bytes of a block.
    block: u64,
    may_read_passwords: bool,
}

/// Streams as they are found, in the order in which they will be read.
#[derive(Default)]
struct Streams {
    infos: Vec<StreamInfo>,
    tasks: Vec<(Option<usize>, Task)>,
}

impl Streams {
    fn push(&mut self, info: StreamInfo, holder: Option<usize>, task: Task) {
        self.infos.push(info);
        self.tasks.push((holder, task));
    }
}

pub(super) async fn begin(settings: &PostgresSettings, request: &DumpRequest, run: &RunContext) -> Result<Begun> {
    let (chosen, mut notices) = settings.chosen().await?;
    let (mut first, server) = ask(settings, &chosen[0]).await?;
    let major = server.version / 10_000;
    let dump = find(settings, "pg_dump", major, major).await?;
    let dumpall = find(settings, "pg_dumpall", major, major).await?;
    let mut streams = Streams::default();
    let mut warnings = Vec::new();

    let globals = Content::Globals { server: settings.databases.is_empty() };
    let task = Task::Globals { tool: dumpall, passwords: server.may_read_passwords };
    streams.push(globals.stream("globals".to_owned(), Phase::Before, Some(4096))?, None, task);
    if !server.may_read_passwords {
        notices.push("roles are backed up without their passwords: only a superuser may read those".to_owned());
    }
    if settings.method == Method::Native {
        notices.extend(server_notes(&mut first).await?);
    }
    let mut holders = Vec::new();
    let mut position = None;
    for database in &chosen {
        if settings.method == Method::Tool {
            let mut session = settings.open(database).await?;
            whole(&mut session, database, &dump, request, &server, &mut streams).await?;
            session.close().await;
            continue;
        }
        let mut holder = Holder::begin(settings, database, run).await?;
        position.get_or_insert_with(|| holder.position.clone());
        let left_out = native(&mut holder, holders.len(), &dump, request, &server, &mut streams).await?;
        warnings.extend(left_out.into_iter().map(|line| format!("{}: {line}", shown(database))));
        let Holder { database, session, snapshot, encoding, .. } = holder;
        holders.push(Held { database, snapshot, encoding, session: Mutex::new(Some(session)) });
    }
    first.run("end the session", "SELECT 1").await?;
    first.close().await;
    let workers = Workers::new(settings.clone());
    let common = Arc::new(Common { settings: settings.clone(), run: run.clone(), workers, holders });
    let reading = |(holder, task)| Reading { dump: common.clone(), holder, task };
    let readings = streams.tasks.into_iter().map(reading).collect();
    let outline = Outline { streams: streams.infos, server_version: Some(version_shown(server.version)), warnings };
    Ok(Begun { outline, common, readings, position, notices })
}

impl PostgresSettings {
    /// The databases to be backed up; of all databases those that may be read, and what is told of
    /// the others.
    pub(super) async fn chosen(&self) -> Result<(Vec<String>, Vec<String>)> {
        if !self.databases.is_empty() {
            return Ok((self.databases.clone(), Vec::new()));
        }
        let mut session = self.open(&self.maintenance_database).await?;
        let found = catalog::databases(&mut session).await?;
        // The one that every server has is of interest once someone puts something into it.
        let is_unused = catalog::own_objects(&mut session).await?.is_empty();
        session.close().await;
        let (mut chosen, mut templates, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for database in found {
            match () {
                () if database.is_template => templates.push(shown(&database.name)),
                () if !database.may_connect => closed.push(shown(&database.name)),
                () if database.name == self.maintenance_database && is_unused => templates.push(shown(&database.name)),
                () => {
                    names::check(&database.name)?;
                    chosen.push(database.name);
                }
            }
        }
        let mut notices = vec![format!("left out, as templates and empty: {}", templates.join(", "))];
        if !closed.is_empty() {
            notices.push(format!("left out, as the user may not open them: {}", closed.join(", ")));
        }
        if chosen.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "the server has no database that could be backed up")
                .with("server", self.address())
                .with("left out", notices.join("; ")));
        }
        Ok((chosen, notices))
    }
}

async fn ask(settings: &PostgresSettings, database: &str) -> Result<(Session, Server)> {
    let mut session = settings.open(database).await?;
    let (block, may_read_passwords): (i32, bool) = session
        .row(
            "ask for the server's settings",
            "SELECT current_setting('block_size')::int4, pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')",
        )
        .await?;
    let version = session.version;
    Ok((session, Server { version, block: u64::try_from(block).unwrap_or(8192), may_read_passwords }))
}

/// The streams of a database that Kronos reads; gives what is left out of it.
async fn native(
    holder: &mut Holder,
    at: usize,
    tool: &Tool,
    request: &DumpRequest,
    server: &Server,
    streams: &mut Streams,
) -> Result<Vec<String>> {
    let (database, prefix) = (holder.database.clone(), shown(&holder.database));
    let roles = catalog::roles(&mut holder.session).await?;
    let without_rows = holder.relations.iter().filter(|r| r.is_without_rows()).map(named).collect();
    let schema =
        Content::Schema { database: database.clone(), tool: tool.major, server: server.version, roles, without_rows };
    streams.push(
        schema.stream(format!("{prefix}/schema"), Phase::Before, None)?,
        Some(at),
        Task::Schema { tool: tool.clone() },
    );

    let mut left_out = Vec::new();
    let mut rows = Vec::new();
    for relation in holder.relations.iter().filter(|r| r.has_rows()) {
        if is_excluded(&request.exclude, &database, relation) {
            left_out.push(format!("the rows of {} are left out, as asked for", relation.shown()));
        } else if relation.is_unlogged && holder.is_standby {
            left_out.push(format!("{} is unlogged, and a standby has none of its rows", relation.shown()));
        } else {
            rows.extend(rows_of(holder, relation, server)?);
        }
    }
    for relation in holder.relations.iter().filter(|r| r.kind == "f") {
        left_out.push(format!("the rows of {} are on a foreign server and are not backed up", relation.shown()));
    }
    // The longest first: at the end nobody waits for a long one.
    rows.sort_by_key(|(info, _)| std::cmp::Reverse(info.size_hint));
    for (info, task) in rows {
        streams.push(info, Some(at), task);
    }
    let sequences: Vec<Relation> = holder.relations.iter().filter(|r| r.kind == "S").cloned().collect();
    if !sequences.is_empty() {
        let content = Content::Sequences { database: database.clone() };
        let info = content.stream(format!("{prefix}/sequences"), Phase::Data, Some(100 * sequences.len() as u64))?;
        streams.push(info, Some(at), Task::Sequences { sequences });
    }
    let (numbers, bytes) = large_objects::split(&mut holder.session).await?;
    let each = bytes / (numbers.len() as u64).max(1);
    for (n, numbers) in numbers.into_iter().enumerate() {
        let content = Content::LargeObjects { database: database.clone() };
        let info = content.stream(format!("{prefix}/large-objects{}", suffix(n)), Phase::Data, Some(each))?;
        streams.push(info, Some(at), Task::LargeObjects { numbers });
    }
    Ok(left_out)
}

fn rows_of(holder: &Holder, relation: &Relation, server: &Server) -> Result<Vec<(StreamInfo, Task)>> {
    let find = |oid: i64| holder.relations.iter().find(|r| r.oid == oid);
    let root = relation.root.and_then(find);
    let content = Content::Rows(Rows {
        database: holder.database.clone(),
        schema: relation.schema.clone(),
        table: relation.name.clone(),
        oid: number(relation),
        parents: relation.parents.iter().filter_map(|oid| find(*oid)).map(named).collect(),
        adds: relation.is_of_extension,
        columns: relation.columns.clone(),
        encoding: holder.encoding.clone(),
        root: root.map(|root| (root.schema.clone(), root.name.clone())),
    });
    let name = format!("{}/{}", shown(&holder.database), relation.shown());
    let stream = |(n, range): (usize, Option<Range>)| {
        let size = range.map_or(u64::try_from(relation.size).unwrap_or_default(), |range| range.bytes);
        let info = content.stream(format!("{name}{}", suffix(n)), Phase::Data, Some(size))?;
        Ok((info, Task::Rows { relation: relation.clone(), range }))
    };
    ranges(relation, server.block, server.version).into_iter().enumerate().map(stream).collect()
}

fn number(relation: &Relation) -> u32 {
    u32::try_from(relation.oid).unwrap_or_default()
}

fn named(relation: &Relation) -> Named {
    Named { schema: relation.schema.clone(), table: relation.name.clone(), oid: number(relation) }
}

/// The first part has the plain name; what grows keeps it.
fn suffix(n: usize) -> String {
    if n == 0 { String::new() } else { format!("#{n}") }
}

/// The stream of a database that `pg_dump` reads.
async fn whole(
    session: &mut Session,
    database: &str,
    tool: &Tool,
    request: &DumpRequest,
    server: &Server,
    streams: &mut Streams,
) -> Result<()> {
    let (size,): (i64,) =
        session.row("ask for the size", "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())").await?;
    let mut without = Vec::new();
    if !request.exclude.is_empty() {
        without = catalog::relations(session).await?;
        without.retain(|r| r.has_rows() && is_excluded(&request.exclude, database, r));
    }
    let (database, prefix, roles) = (database.to_owned(), shown(database), catalog::roles(session).await?);
    // What the database itself is like has to be known before its archive can be read.
    // Chosen by database only, as one program reads all of it.
    let without_rows = Vec::new();
    let schema =
        Content::Schema { database: database.clone(), tool: tool.major, server: server.version, roles, without_rows };
    let task = Task::Definition { tool: tool.clone(), database: database.clone() };
    streams.push(schema.stream(format!("{prefix}/schema"), Phase::Before, None)?, None, task);
    let content = Content::Dump { database: database.clone() };
    let info = content.stream(format!("{prefix}/dump"), Phase::Data, u64::try_from(size).ok())?;
    streams.push(info, None, Task::Dump { tool: tool.clone(), database, without });
    Ok(())
}
