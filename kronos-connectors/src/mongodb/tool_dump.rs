//! A backup by MongoDB's own program: a run and a stream for each database, or one for the whole of a
//! replica set, which then brings its changes along. Users and roles are read as always.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock};

use bytes::BytesMut;
use kronos_core::{DumpRequest, Error, ErrorKind, Result, RunContext, StreamInfo, StreamSender};
use mongodb::bson::{RawDocument, doc};
use tokio::io::AsyncReadExt;

use super::archive::{Archive, Described, Found};
use super::begin::{Begun, read_users};
use super::catalog;
use super::changes::Feed;
use super::connect::{Kind, Server};
use super::error::{if_allowed, internal};
use super::locked::locked;
use super::names::qualified;
use super::pace::Pace;
use super::plan::{Archived, Content, is_excluded};
use super::reading::{Common, Expected, Reading, Task};
use super::replay::{Chosen, Copied};
use super::settings::{Changes, MongodbSettings};
use super::tools::{Tool, find};

/// What the program writes is handed on in pieces of this size.
const PIECE: usize = 256 << 10;

/// A run of the program whose output is a stream.
#[derive(Debug)]
pub(super) struct Program {
    tool: Tool,
    settings: MongodbSettings,
    arguments: Vec<String>,
    databases: Vec<Archived>,
}

pub(super) async fn begin(
    settings: &MongodbSettings,
    server: Server,
    request: &DumpRequest,
    run: &RunContext,
    chosen: Vec<String>,
    mut notices: Vec<String>,
) -> Result<Begun> {
    let tool = find(settings).await?;
    notices.push(format!("{} {} ({})", tool.name, tool.version, tool.path.display()));
    let (mut tasks, mut warnings) = (Vec::new(), Vec::new());
    tasks.extend(read_users(settings, &server, &mut warnings).await?);
    // Of some databases only, mongodump takes no changes.
    let is_whole = settings.databases.is_empty() && request.exclude.is_empty() && has_oplog(settings, &server).await?;
    if is_whole {
        let (info, program) = of_all(settings, &server, &tool, chosen).await?;
        tasks.push((info, Task::Program(Box::new(program))));
    } else {
        if chosen.len() > 1 {
            warnings.push("each database is of a time of its own: mongodump reads one after the other".to_owned());
        }
        let unfollowed = "mongodump takes changes along of a whole replica set only: what is written during the backup may be in it or not";
        warnings.push(unfollowed.to_owned());
        for name in chosen {
            let (info, program) = of_database(settings, &server, request, &tool, name, &mut warnings).await?;
            tasks.push((info, Task::Program(Box::new(program))));
        }
    }
    let common = Common {
        server,
        run: run.clone(),
        pace: Pace::new(0),
        follower: tokio::sync::Mutex::new(None),
        position: OnceLock::new(),
        warnings: Mutex::default(),
        doubtful: Mutex::default(),
    };
    Ok(Begun::new(common, tasks, warnings, notices))
}

/// Whether there is an oplog that may be read, and that is wanted.
async fn has_oplog(settings: &MongodbSettings, server: &Server) -> Result<bool> {
    let is_wanted = matches!(settings.changes, Changes::Auto | Changes::Oplog);
    if !is_wanted || !matches!(server.kind, Kind::ReplicaSet(_)) {
        return Ok(false);
    }
    let ask = doc! { "find": "oplog.rs", "projection": { "ts": 1 }, "limit": 1, "singleBatch": true };
    let first = if_allowed(server.list("local", "look whether the oplog may be read", ask).await)?;
    Ok(first.is_some_and(|first| !first.is_empty()))
}

/// One collection after the other, so that what has not changed gives the same bytes in one place.
fn arguments() -> Vec<String> {
    vec!["--archive".to_owned(), "--numParallelCollections=1".to_owned()]
}

async fn of_all(
    settings: &MongodbSettings,
    server: &Server,
    tool: &Tool,
    chosen: Vec<String>,
) -> Result<(StreamInfo, Program)> {
    let mut arguments = arguments();
    arguments.push("--oplog".to_owned());
    let (mut databases, mut size) = (Vec::new(), 0);
    for name in chosen {
        let entries = catalog::list(server, &name).await?.entries;
        size += catalog::size(server, &name).await?;
        databases.push(Archived { name, collections: entries.into_iter().map(|entry| entry.name).collect() });
    }
    let content = Content::Archive { databases: databases.clone(), version: server.version.clone() };
    let info = content.stream("archive".to_owned(), Some(size))?;
    Ok((info, Program { tool: tool.clone(), settings: settings.clone(), arguments, databases }))
}

async fn of_database(
    settings: &MongodbSettings,
    server: &Server,
    request: &DumpRequest,
    tool: &Tool,
    name: String,
    warnings: &mut Vec<String>,
) -> Result<(StreamInfo, Program)> {
    let mut arguments = arguments();
    arguments.push(format!("--db={name}"));
    let mut collections = Vec::new();
    for entry in catalog::list(server, &name).await?.entries {
        if is_excluded(&request.exclude, &name, &entry.name) {
            arguments.push(format!("--excludeCollection={}", entry.name));
            warnings.push(format!("{} is left out, as asked for", qualified(&name, &entry.name)));
        } else {
            collections.push(entry.name);
        }
    }
    let size = catalog::size(server, &name).await?;
    let database = Archived { name, collections };
    let content = Content::Archive { databases: vec![database.clone()], version: server.version.clone() };
    let info = content.stream(format!("{}/archive", database.name), Some(size))?;
    Ok((info, Program { tool: tool.clone(), settings: settings.clone(), arguments, databases: vec![database] }))
}

impl Program {
    /// What the changes that it brings along, if any, are about.
    fn expected(&self, described: &[Described]) -> Expected {
        let databases = self.databases.iter().map(|database| database.name.clone()).collect();
        // Changes come of a whole replica set only.
        let chosen = Chosen { databases, left_out: BTreeSet::new(), all_but: Some(Vec::new()) };
        let copied = described.iter().filter(|one| !one.entry.is_view());
        // Which collection it read is not told.
        let copied = copied.map(|one| Copied::new(&one.database, &one.form.place(&one.entry.name), None)).collect();
        Expected { feed: Feed::Oplog, chosen, copied }
    }
}

impl Reading {
    /// Sends what the program writes; gives the number of documents. Only if it ended well and its
    /// archive is whole, the stream does; and only if a restore will understand it.
    pub(super) async fn program(&self, program: &Program, sender: &mut StreamSender) -> Result<u64> {
        let (mut command, file) = program.tool.command(&program.settings)?;
        command.args(&program.arguments);
        let mut running = program.tool.start(command, file, &program.settings)?;
        let mut output = running.child.stdout.take().ok_or_else(|| internal("a program without an output"))?;
        let (mut archive, mut count, mut last, mut rehearsal) = (Archive::new(), 0, None, None);
        let mut piece = BytesMut::with_capacity(PIECE);
        let broken = |e| Error::new(ErrorKind::Io, "a program's output could not be read").with_source(e);
        loop {
            let read = output.read_buf(&mut piece).await.map_err(broken)?;
            if read > 0 && piece.len() < piece.capacity() {
                continue;
            }
            let full = std::mem::replace(&mut piece, BytesMut::with_capacity(PIECE)).freeze();
            archive.push(&full);
            while let Some(found) = archive.next().map_err(|e| strange(program, &e))? {
                match found {
                    Found::Collections(described) => {
                        self.compare(program, &described);
                        rehearsal = Some(self.dump.rehearsal(&program.expected(&described)));
                    }
                    Found::Document(..) => count += 1,
                    Found::Change(entry) => {
                        if let Some(rehearsal) = &mut rehearsal {
                            rehearsal.entry(&entry)?;
                        }
                        last = Some(entry);
                    }
                    Found::End(_) => {}
                }
            }
            if !full.is_empty() {
                sender.send(full).await?;
            }
            if read == 0 {
                break;
            }
        }
        running.ended().await?;
        archive.finish().map_err(|e| strange(program, &e))?;
        if let Some(rehearsal) = rehearsal {
            locked(&self.dump.warnings).extend(rehearsal.finish()?);
        }
        let moment = last.as_ref().and_then(|entry| RawDocument::from_bytes(entry).ok()?.get_timestamp("ts").ok());
        if let Some(moment) = moment {
            // There is but one stream that has changes.
            let _ = self.dump.position.set(format!("{}:{}", moment.time, moment.increment));
        }
        Ok(count)
    }

    /// Tells of collections that were there a moment before.
    fn compare(&self, program: &Program, described: &[Described]) {
        for database in &program.databases {
            let is_there =
                |name: &str| described.iter().any(|one| one.database == database.name && one.entry.name == name);
            for gone in database.collections.iter().filter(|name| !is_there(name)) {
                let gone = qualified(&database.name, gone);
                self.warn(format!("{gone} was dropped before mongodump came to it, and is not in the backup"));
            }
        }
    }

    fn warn(&self, warning: String) {
        locked(&self.dump.warnings).push(warning);
    }
}

fn strange(program: &Program, error: &Error) -> Error {
    let mut strange = Error::new(ErrorKind::ToolFailed, "what a program wrote is not a whole archive")
        .with("program", program.tool.name)
        .with("because", error.message());
    for (key, value) in error.contexts() {
        strange = strange.with(key, value);
    }
    strange
}
