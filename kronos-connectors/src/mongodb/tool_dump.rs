//! A backup by MongoDB's own program: a run and a stream for each database, one after the other. Users
//! and roles are read as always.

use std::sync::{Arc, Mutex, OnceLock};

use bytes::BytesMut;
use kronos_core::{DumpRequest, Error, ErrorKind, Outline, Result, RunContext, StreamInfo, StreamSender};
use tokio::io::AsyncReadExt;

use super::archive::{Archive, Found};
use super::begin::{Begun, read_users};
use super::catalog;
use super::connect::Server;
use super::error::internal;
use super::names::qualified;
use super::pace::Pace;
use super::plan::{Archived, Content, is_excluded};
use super::reading::{Common, Reading, Task};
use super::settings::MongodbSettings;
use super::tools::{Tool, find};

/// What the program writes is handed on in pieces of this size.
const PIECE: usize = 256 << 10;

/// A run of the program whose output is a stream.
#[derive(Debug)]
pub(super) struct Program {
    tool: Tool,
    settings: MongodbSettings,
    arguments: Vec<String>,
    database: Archived,
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
    if chosen.len() > 1 {
        warnings.push("each database is of a time of its own: mongodump reads one after the other".to_owned());
    }
    warnings
        .push("mongodump does not follow changes: what is written during the backup may be in it or not".to_owned());
    for name in chosen {
        let (info, program) = of_database(settings, &server, request, &tool, name, &mut warnings).await?;
        tasks.push((info, Task::Program(Box::new(program))));
    }
    let server_version = Some(server.shown());
    let common = Arc::new(Common {
        server,
        run: run.clone(),
        pace: Pace::new(0),
        position: OnceLock::new(),
        warnings: Mutex::default(),
    });
    let (streams, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    let readings = tasks.into_iter().map(|task| Reading { dump: common.clone(), task }).collect();
    Ok(Begun { outline: Outline { streams, server_version, warnings }, common, readings, notices })
}

async fn of_database(
    settings: &MongodbSettings,
    server: &Server,
    request: &DumpRequest,
    tool: &Tool,
    name: String,
    warnings: &mut Vec<String>,
) -> Result<(StreamInfo, Program)> {
    // One collection after the other, so that what has not changed gives the same bytes in one place.
    let mut arguments = vec!["--archive".to_owned(), "--numParallelCollections=1".to_owned()];
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
    Ok((info, Program { tool: tool.clone(), settings: settings.clone(), arguments, database }))
}

impl Reading {
    /// Sends what the program writes; gives the number of documents. Only if it ended well and its
    /// archive is whole, the stream does; and only if a restore will understand it.
    pub(super) async fn program(&self, program: &Program, sender: &mut StreamSender) -> Result<u64> {
        let (mut command, file) = program.tool.command(&program.settings)?;
        command.args(&program.arguments);
        let mut running = program.tool.start(command, file, &program.settings)?;
        let mut output = running.child.stdout.take().ok_or_else(|| internal("a program without an output"))?;
        let (mut archive, mut count) = (Archive::new(), 0);
        let mut piece = BytesMut::with_capacity(PIECE);
        let broken = |e| Error::new(ErrorKind::Io, "a program's output could not be read").with_source(e);
        loop {
            let read = output.read_buf(&mut piece).await.map_err(broken)?;
            if read > 0 && piece.len() < piece.capacity() {
                continue;
            }
            let full = std::mem::replace(&mut piece, BytesMut::with_capacity(PIECE)).freeze();
            archive.push(&full);
            while let Some(found) = archive.next().map_err(|e| self.strange(program, &e))? {
                match found {
                    Found::Collections(described) => {
                        let is_there = |name: &String| described.iter().any(|one| one.entry.name == *name);
                        if let Some(gone) = program.database.collections.iter().find(|name| !is_there(name)) {
                            let gone = qualified(&program.database.name, gone);
                            self.warn(format!(
                                "{gone} was dropped before mongodump came to it, and is not in the backup"
                            ));
                        }
                    }
                    Found::Document(..) => count += 1,
                    Found::End(_) | Found::Change(_) => {}
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
        archive.finish().map_err(|e| self.strange(program, &e))?;
        Ok(count)
    }

    #[allow(clippy::unused_self, reason = "reads as what it is about")]
    fn strange(&self, program: &Program, error: &Error) -> Error {
        let mut strange = Error::new(ErrorKind::ToolFailed, "what a program wrote is not a whole archive")
            .with("program", program.tool.name)
            .with("because", error.message());
        for (key, value) in error.contexts() {
            strange = strange.with(key, value);
        }
        strange
    }

    fn warn(&self, warning: String) {
        self.dump.warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(warning);
    }
}
