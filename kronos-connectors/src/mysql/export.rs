//! A backup as plain files: what the servers' own client reads without Kronos.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{Piece, Restore, RestoreOutcome, RestoreRequest, Result, Stream, StreamEnd};

use crate::servers::files::{Filling, folder};
use crate::servers::output::Output;
use crate::system::io;

use super::error::internal;
use super::globals_file;
use super::insert::Inserts;
use super::names::ident;
use super::objects::{self, Object};
use super::plan::{Content, Dumped, Rows};
use super::script_file;
use super::sections::Sections;
use super::target::contents;
use crate::servers::restoring::{same, text};

/// A directory being filled.
#[derive(Debug)]
pub(super) struct Export {
    directory: Filling,
    request: RestoreRequest,
    contents: BTreeMap<String, Content>,
    /// What has been written, by the name of its stream.
    written: Mutex<BTreeMap<String, Vec<PathBuf>>>,
    schemas: Mutex<BTreeMap<String, Vec<Object>>>,
}

impl Export {
    pub(super) fn begin(directory: &Path, request: &RestoreRequest) -> Result<Self> {
        let contents = contents(request)?;
        let directory = Filling::begin(directory)?;
        for content in contents.values() {
            if let Content::Schema { database, .. } = content {
                let data = directory.join(parts(database));
                std::fs::create_dir_all(&data).map_err(|e| io(e, &data))?;
            }
        }
        let request = request.clone();
        Ok(Self { directory, request, contents, written: Mutex::default(), schemas: Mutex::default() })
    }

    async fn put(&self, stream: Stream) -> Result<Vec<PathBuf>> {
        let name = stream.info().name.clone();
        let place = self.request.streams.iter().position(|s| s.info.name == name);
        let place = place.ok_or_else(|| internal("a stream that was not announced").with("stream", &name))?;
        let end = self.request.streams[place].end;
        let content = self.contents.get(&name).ok_or_else(|| internal("a stream without a description"))?;
        match content {
            Content::Globals { .. } => {
                let script = globals_file::script(&text(stream, end).await?)?;
                let path = self.directory.join("globals.sql");
                let mut file = Output::create(path).await?;
                file.write(script.as_bytes()).await?;
                Ok(vec![file.end().await?])
            }
            Content::Schema { database, .. } => {
                let objects = objects::parse(&text(stream, end).await?)?;
                self.schemas.lock().unwrap_or_else(PoisonError::into_inner).insert(database.clone(), objects);
                Ok(Vec::new())
            }
            Content::Rows(rows) => {
                let path = self.directory.join(parts(&rows.database)).join(format!("{place:05}.sql"));
                let mut file = Output::create(path).await?;
                inserts(rows, stream, end, &mut file).await?;
                Ok(vec![file.end().await?])
            }
            Content::Dump { databases, .. } => self.dump(databases, stream, end).await,
        }
    }

    /// Each database of a dump as a file of its own, that can be loaded under any name.
    async fn dump(&self, databases: &[Dumped], mut stream: Stream, end: StreamEnd) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for database in databases {
            let path = self.directory.join(format!("{}.sql", folder(&database.name)));
            files.push(Output::create(path).await?);
        }
        let mut sections = Sections::new(databases, databases.len() > 1);
        loop {
            let (pieces, is_end) = match stream.next().await? {
                Some(Piece::Data(bytes)) => (sections.split(&bytes)?, false),
                Some(Piece::End(found)) => {
                    same(found, end)?;
                    (sections.split_end()?, true)
                }
                None => return Err(internal("a stream was read after its end")),
            };
            for (of, bytes) in pieces {
                for (_, file) in files.iter_mut().enumerate().filter(|(at, _)| of.is_none_or(|of| of == *at)) {
                    file.write(&bytes).await?;
                }
            }
            if is_end {
                break;
            }
        }
        let mut paths = Vec::new();
        for file in files {
            paths.push(file.end().await?);
        }
        Ok(paths)
    }

    /// One script for each database that loads everything in the right order.
    async fn complete(&self) -> Result<RestoreOutcome> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(missing) = self.request.streams.iter().find(|s| !written.contains_key(&s.info.name)) {
            return Err(
                internal("the export was finished before a stream was written").with("stream", &missing.info.name)
            );
        }
        let schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut outcome = RestoreOutcome::default();
        for (name, content) in &self.contents {
            match content {
                Content::Schema { database, flavor, .. } => {
                    let is_mariadb = flavor == "MariaDB";
                    let objects = schemas.get(database).map(Vec::as_slice).unwrap_or_default();
                    let rows = self.contents.iter().filter_map(|(stream, content)| match content {
                        Content::Rows(rows) if rows.database == *database => {
                            Some((rows, written.get(stream)?.first()?))
                        }
                        _ => None,
                    });
                    let (rows, files): (Vec<_>, Vec<_>) = rows.unzip();
                    let [before, after] = script_file::around(database, objects, &rows, is_mariadb)?;
                    let mut file = Output::create(self.directory.join(format!("{}.sql", folder(database)))).await?;
                    file.write(&before).await?;
                    for part in files {
                        file.append(part).await?;
                    }
                    file.write(&after).await?;
                    let parts = self.directory.join(parts(database));
                    tokio::fs::remove_dir(&parts).await.map_err(|e| io(e, &parts))?;
                    outcome.created.push(file.end().await?.display().to_string());
                }
                Content::Dump { .. } | Content::Globals { .. } => {
                    outcome
                        .created
                        .extend(written.get(name).into_iter().flatten().map(|path| path.display().to_string()));
                }
                Content::Rows(_) => {}
            }
        }
        Ok(outcome)
    }
}

#[async_trait]
impl Restore for Export {
    async fn write(&self, stream: Stream) -> Result<()> {
        let name = stream.info().name.clone();
        let paths = self.put(stream).await?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(name, paths);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<RestoreOutcome> {
        let outcome = self.complete().await?;
        self.directory.keep();
        Ok(outcome)
    }

    async fn abort(self: Box<Self>) {}
}

/// Where the rows of a database are until its file can be put together.
fn parts(database: &str) -> String {
    format!("{}.parts", folder(database))
}

/// Rows as statements, which every server takes.
async fn inserts(rows: &Rows, mut stream: Stream, end: StreamEnd, file: &mut Output) -> Result<()> {
    let mut inserts = Inserts::new(rows, &ident(&rows.table));
    loop {
        let statements = match stream.next().await? {
            Some(Piece::Data(bytes)) => inserts.push(&bytes)?,
            Some(Piece::End(found)) => {
                same(found, end)?;
                if let Some((sql, _)) = inserts.end()? {
                    file.write(format!("{sql};\n").as_bytes()).await?;
                }
                return Ok(());
            }
            None => return Err(internal("a stream was read after its end")),
        };
        for (sql, _) in statements {
            file.write(format!("{sql};\n").as_bytes()).await?;
        }
    }
}
