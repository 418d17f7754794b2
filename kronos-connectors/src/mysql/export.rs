//! A backup as plain files: what the servers' own client reads without Kronos.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{
    Error, ErrorKind, Piece, Restore, RestoreOutcome, RestoreRequest, Result, Stream, StreamEnd, TargetReport,
};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::error::internal;
use super::globals;
use super::insert::Inserts;
use super::names::{hex, ident};
use super::objects::{self, Object};
use super::plan::{Content, Dumped, Rows};
use super::restore::{same, text};
use super::script_file;
use super::sections::Sections;
use super::target::contents;

/// Looks at the directory; it must not exist, or be empty.
pub(super) fn inspect(directory: &Path, needed: u64) -> Result<TargetReport> {
    let is_empty = match std::fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
        Err(e) => return Err(io(e, directory)),
    };
    let existing = if is_empty { Vec::new() } else { vec![format!("{} is not empty", directory.display())] };
    Ok(TargetReport { existing, needed, free: None, obstacles: Vec::new() })
}

/// A directory being filled.
#[derive(Debug)]
pub(super) struct Export {
    directory: PathBuf,
    request: RestoreRequest,
    contents: BTreeMap<String, Content>,
    /// What has been written, by the name of its stream.
    written: Mutex<BTreeMap<String, Vec<PathBuf>>>,
    schemas: Mutex<BTreeMap<String, Vec<Object>>>,
    is_over: bool,
}

impl Export {
    pub(super) fn begin(directory: &Path, request: &RestoreRequest) -> Result<Self> {
        if let Some(existing) = inspect(directory, 0)?.existing.first() {
            return Err(Error::new(ErrorKind::AlreadyExists, existing));
        }
        let contents = contents(request)?;
        std::fs::create_dir_all(directory).map_err(|e| io(e, directory))?;
        for content in contents.values() {
            if let Content::Schema { database, .. } = content {
                let data = directory.join(parts(database));
                std::fs::create_dir_all(&data).map_err(|e| io(e, &data))?;
            }
        }
        let (directory, request) = (directory.to_owned(), request.clone());
        Ok(Self { directory, request, contents, written: Mutex::default(), schemas: Mutex::default(), is_over: false })
    }

    fn clean(&self) {
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            // What cannot be removed is seen by the next export, which refuses.
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
    }

    async fn put(&self, stream: Stream) -> Result<Vec<PathBuf>> {
        let name = stream.info().name.clone();
        let place = self.request.streams.iter().position(|s| s.info.name == name);
        let place = place.ok_or_else(|| internal("a stream that was not announced").with("stream", &name))?;
        let end = self.request.streams[place].end;
        let content = self.contents.get(&name).ok_or_else(|| internal("a stream without a description"))?;
        match content {
            Content::Globals { .. } => {
                let script = globals::script(&text(stream, end).await?)?;
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
        let done = self.complete().await;
        self.is_over = done.is_ok();
        done
    }

    async fn abort(self: Box<Self>) {}
}

impl Drop for Export {
    fn drop(&mut self) {
        if !self.is_over {
            self.clean();
        }
    }
}

/// A file being written.
struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    async fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).await.map_err(|e| io(e, &path))?;
        Ok(Self { path, file })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).await.map_err(|e| io(e, &self.path))
    }

    /// Takes what a file has, and removes it.
    async fn append(&mut self, part: &Path) -> Result<()> {
        let mut from = File::open(part).await.map_err(|e| io(e, part))?;
        tokio::io::copy(&mut from, &mut self.file).await.map_err(|e| io(e, &self.path))?;
        tokio::fs::remove_file(part).await.map_err(|e| io(e, part))
    }

    async fn end(mut self) -> Result<PathBuf> {
        self.file.flush().await.map_err(|e| io(e, &self.path))?;
        self.file.sync_all().await.map_err(|e| io(e, &self.path))?;
        Ok(self.path)
    }
}

fn io(error: std::io::Error, path: &Path) -> Error {
    use std::io::ErrorKind as System;
    let (kind, message) = match error.kind() {
        System::StorageFull | System::QuotaExceeded => (ErrorKind::StorageFull, "no room left on the disk"),
        System::PermissionDenied | System::ReadOnlyFilesystem => (ErrorKind::PermissionDenied, "no permission"),
        System::NotFound | System::NotADirectory => (ErrorKind::NotFound, "no such file or directory"),
        System::AlreadyExists => (ErrorKind::AlreadyExists, "exists already"),
        _ => (ErrorKind::Io, "a file could not be written"),
    };
    Error::new(kind, message).with("path", path.display()).with_source(error)
}

/// Where the rows of a database are until its file can be put together.
fn parts(database: &str) -> String {
    format!("{}.parts", folder(database))
}

/// The name of a database as that of a directory or a file.
fn folder(database: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut name = String::new();
    for c in database.chars() {
        match c {
            _ if is_plain(c) => name.push(c),
            _ => c.to_string().bytes().for_each(|byte| name.extend(["%", &hex(&[byte]).to_uppercase()])),
        }
    }
    name
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_never_leads_elsewhere() {
        assert_eq!(
            (folder("shop"), folder("../x"), folder("a b")),
            ("shop".into(), "%2E%2E%2Fx".into(), "a%20b".into())
        );
    }
}
