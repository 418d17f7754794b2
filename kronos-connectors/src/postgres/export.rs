//! A backup as plain files: what `psql` and `pg_restore` read without Kronos.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Piece, Restore, RestoreOutcome, RestoreRequest, Result, Stream, StreamEnd};
use tokio::io::AsyncWriteExt;

use crate::servers::files::{self, Filling};

use super::error::{internal, io};
use super::large_objects::{Frames, Meta};
use super::names::{ident, literal, qualified};
use super::plan::{Content, Rows, Sequence};
use super::restore::spool;
use super::settings::PostgresSettings;
use super::target::contents;
use super::tools::find;
use crate::servers::restoring::{same, text};

/// A directory being filled.
#[derive(Debug)]
pub(super) struct Export {
    settings: PostgresSettings,
    directory: Filling,
    request: RestoreRequest,
    contents: BTreeMap<String, Content>,
    /// What has been written, by the name of its stream.
    written: Mutex<BTreeMap<String, PathBuf>>,
}

impl Export {
    pub(super) fn begin(settings: &PostgresSettings, directory: &Path, request: &RestoreRequest) -> Result<Self> {
        let contents = contents(request)?;
        let directory = Filling::begin(directory)?;
        for database in contents.values().filter_map(Content::database).filter(|name| !is_whole(&contents, name)) {
            let data = directory.join(files::folder(database)).join("data");
            std::fs::create_dir_all(&data).map_err(|e| io(e, &data))?;
        }
        let (settings, request) = (settings.clone(), request.clone());
        Ok(Self { settings, directory, request, contents, written: Mutex::default() })
    }

    async fn put(&self, stream: Stream) -> Result<PathBuf> {
        let name = stream.info().name.clone();
        let place = self.request.streams.iter().position(|s| s.info.name == name);
        let place = place.ok_or_else(|| internal("a stream that was not announced").with("stream", &name))?;
        let end = self.request.streams[place].end;
        let content = self.contents.get(&name).ok_or_else(|| internal("a stream without a description"))?;
        let folder = self.directory.join(content.database().map(files::folder).unwrap_or_default());
        let path = match content {
            Content::Globals { .. } => self.directory.join("globals.sql"),
            // It is in the archive of everything as well.
            Content::Schema { database, .. } if is_whole(&self.contents, database) => {
                return spool(&self.settings, stream, end).await.map(|file| file.path().to_owned());
            }
            Content::Schema { .. } => folder.join("schema.dump"),
            Content::Dump { database } => self.directory.join(format!("{}.dump", files::folder(database))),
            Content::Sequences { .. } => folder.join("sequences.sql"),
            Content::Rows(_) | Content::LargeObjects { .. } => folder.join(format!("data/{place:05}.sql")),
        };
        let mut file = tokio::fs::File::create(&path).await.map_err(|e| io(e, &path))?;
        match content {
            Content::Sequences { .. } => {
                let script = sequences(&text(stream, end).await?)?;
                file.write_all(script.as_bytes()).await.map_err(|e| io(e, &path))?;
            }
            Content::LargeObjects { database } => {
                large_objects(stream, end, self.tool(database), &mut file, &path).await?;
            }
            Content::Rows(rows) => {
                file.write_all(copy(rows).as_bytes()).await.map_err(|e| io(e, &path))?;
                plain(stream, end, &mut file, &path).await?;
                file.write_all(b"\\.\n").await.map_err(|e| io(e, &path))?;
            }
            _ => plain(stream, end, &mut file, &path).await?,
        }
        file.sync_all().await.map_err(|e| io(e, &path))?;
        Ok(path)
    }

    /// The first number of the version of `pg_dump` that wrote a schema.
    fn tool(&self, database: &str) -> u32 {
        let tool = |content: &Content| match content {
            Content::Schema { database: of, tool, .. } if of == database => Some(*tool),
            _ => None,
        };
        self.contents.values().find_map(tool).unwrap_or_default()
    }

    /// The schema as SQL, and one script that reads everything in the right order.
    async fn complete(&self) -> Result<RestoreOutcome> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(missing) = self.request.streams.iter().find(|s| !written.contains_key(&s.info.name)) {
            return Err(
                internal("the export was finished before a stream was written").with("stream", &missing.info.name)
            );
        }
        let mut outcome = RestoreOutcome::default();
        for (name, content) in &self.contents {
            match content {
                Content::Schema { database, tool, server, .. } if !is_whole(&self.contents, database) => {
                    let folder = self.directory.join(files::folder(database));
                    for section in ["pre-data", "post-data"] {
                        let path = self.script(&folder, section, *tool).await?;
                        if *server < 170_000 {
                            without_newer(&path)?;
                        }
                    }
                    let path = folder.join("restore.sql");
                    std::fs::write(&path, self.all(database, &written)).map_err(|e| io(e, &path))?;
                    outcome.created.push(format!("{}: psql -d NEW -f restore.sql, in its directory", path.display()));
                }
                Content::Dump { .. } | Content::Globals { .. } => {
                    outcome.created.extend(written.get(name).map(|path| path.display().to_string()));
                }
                _ => {}
            }
        }
        Ok(outcome)
    }

    async fn script(&self, folder: &Path, section: &str, tool: u32) -> Result<PathBuf> {
        let tool = find(&self.settings, "pg_restore", tool, tool).await?;
        let mut command = tool.command(&self.settings);
        let path = folder.join(format!("{section}.sql"));
        command.arg(format!("--section={section}")).arg("--file").arg(&path);
        command.arg(folder.join("schema.dump"));
        tool.start(&mut command)?.ended().await.map(|_| path)
    }

    fn all(&self, database: &str, written: &BTreeMap<String, PathBuf>) -> String {
        let mut script = "\\set ON_ERROR_STOP on\nSET lc_monetary = 'C';\n\\i pre-data.sql\n".to_owned();
        for (name, content) in &self.contents {
            let file =
                written.get(name).and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
            let Some(file) = file.filter(|_| content.database() == Some(database)) else { continue };
            match content {
                Content::Rows(_) | Content::LargeObjects { .. } => script.extend(["\\i data/", &file, "\n"]),
                Content::Sequences { .. } => script.push_str("\\i sequences.sql\n"),
                _ => {}
            }
        }
        script.push_str("\\i post-data.sql\nANALYZE;\n");
        script
    }
}

/// Takes out what programs since 17 say and servers before do not know.
fn without_newer(path: &Path) -> Result<()> {
    const NEWER: &[u8] = b"\nSET transaction_timeout = 0;\n";
    let mut script = std::fs::read(path).map_err(|e| io(e, path))?;
    // It is said at the beginning, before anything that may look like it.
    let found = script.windows(NEWER.len()).take(4096).position(|line| line == NEWER);
    if let Some(at) = found {
        script.drain(at..at + NEWER.len() - 1);
        std::fs::write(path, script).map_err(|e| io(e, path))?;
    }
    Ok(())
}

#[async_trait]
impl Restore for Export {
    async fn write(&self, stream: Stream) -> Result<()> {
        let name = stream.info().name.clone();
        let path = self.put(stream).await?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(name, path);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<RestoreOutcome> {
        let outcome = self.complete().await?;
        self.directory.keep();
        Ok(outcome)
    }

    async fn abort(self: Box<Self>) {}
}

/// Whether a database is one archive.
fn is_whole(contents: &BTreeMap<String, Content>, database: &str) -> bool {
    contents.values().any(|content| matches!(content, Content::Dump { database: of } if of == database))
}

/// The statement that reads the lines after it, as `pg_dump` writes it.
fn copy(rows: &Rows) -> String {
    let (schema, table) = match &rows.root {
        Some((schema, table)) => (schema, table),
        None => (&rows.schema, &rows.table),
    };
    let columns = rows.columns.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ");
    let listed = if columns.is_empty() { String::new() } else { format!(" ({columns})") };
    format!("COPY {}{listed} FROM STDIN (ENCODING {});\n", qualified(schema, table), literal(&rows.encoding))
}

fn sequences(text: &str) -> Result<String> {
    let wrong = |e| Error::new(ErrorKind::Corrupt, "the sequences of the backup are malformed").with_source(e);
    let mut script = String::new();
    for line in text.lines() {
        let s: Sequence = serde_json::from_str(line).map_err(wrong)?;
        let name = literal(&qualified(&s.schema, &s.name));
        let _ = writeln!(script, "SELECT pg_catalog.setval({name}, {}, {});", s.last, s.called);
    }
    Ok(script)
}

async fn plain(mut stream: Stream, end: StreamEnd, file: &mut tokio::fs::File, path: &Path) -> Result<()> {
    loop {
        match stream.next().await? {
            Some(Piece::Data(bytes)) => file.write_all(&bytes).await.map_err(|e| io(e, path))?,
            Some(Piece::End(found)) => return same(found, end),
            None => return Err(internal("a stream was read after its end")),
        }
    }
}

/// Large objects as statements. The schema makes them, empty, where `pg_dump` is older than 17.
async fn large_objects(
    mut stream: Stream,
    end: StreamEnd,
    tool: u32,
    file: &mut tokio::fs::File,
    path: &Path,
) -> Result<()> {
    let (mut frames, mut open) = (Frames::default(), None);
    loop {
        match stream.next().await? {
            Some(Piece::Data(bytes)) => {
                frames.push(&bytes);
                while let Some((number, bytes)) = frames.next()? {
                    let (text, next) = match open {
                        None if tool < 17 => (String::new(), Some(0)),
                        None => {
                            let meta = Meta::of(&bytes)?.statements(number, true, true);
                            (format!("SELECT pg_catalog.lo_create({number});\n{meta}"), Some(0))
                        }
                        Some(_) if bytes.is_empty() => (String::new(), None),
                        Some(place) => {
                            let hex = hex::encode(&bytes);
                            let text = format!("SELECT pg_catalog.lo_put({number}, {place}, '\\x{hex}');\n");
                            (text, Some(place + bytes.len()))
                        }
                    };
                    open = next;
                    file.write_all(text.as_bytes()).await.map_err(|e| io(e, path))?;
                }
            }
            Some(Piece::End(found)) => {
                frames.end()?;
                return same(found, end);
            }
            None => return Err(internal("a stream was read after its end")),
        }
    }
}
