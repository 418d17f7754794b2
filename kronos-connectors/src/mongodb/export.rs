//! A backup as plain files, laid out as `mongodump` lays them: what `mongorestore` and `bsondump` read
//! without Kronos.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Piece, Restore, RestoreOutcome, RestoreRequest, Result, Stream, StreamEnd};
use mongodb::bson::{Bson, Document, doc};

use crate::servers::files::{self, Filling};
use crate::servers::output::Output;
use crate::system::io;

use super::catalog::Entry;
use super::changes::Feed;
use super::content;
use super::error::{corrupt, internal};
use super::json;
use super::names;
use super::plan::{Content, Part};
use super::target::{chosen, contents, is_named};
use super::users::KINDS;
use crate::servers::restoring::{same, small};

/// The longest name that a file may have, less what is added to it.
const LONGEST: usize = 238;
/// How users and roles are kept since 3.0, as `mongorestore` asks.
const SCHEMA_OF_USERS: i32 = 5;

/// A directory being filled.
#[derive(Debug)]
pub(super) struct Export {
    directory: Filling,
    request: RestoreRequest,
    contents: BTreeMap<String, Content>,
    written: Mutex<BTreeSet<String>>,
    outcome: Mutex<RestoreOutcome>,
}

impl Export {
    pub(super) fn begin(directory: &Path, request: &RestoreRequest) -> Result<Self> {
        let contents = contents(request)?;
        let directory = Filling::begin(directory)?;
        for database in contents.values().filter_map(Content::database) {
            // It becomes a directory.
            names::check(database)?;
        }
        Ok(Self { directory, request: request.clone(), contents, written: Mutex::default(), outcome: Mutex::default() })
    }

    async fn put(&self, stream: Stream) -> Result<()> {
        let name = stream.info().name.clone();
        let request = self.request.streams.iter().find(|s| s.info.name == name);
        let end = request.ok_or_else(|| internal("a stream that was not announced").with("stream", &name))?.end;
        let content = self.contents.get(&name).ok_or_else(|| internal("a stream without a description"))?;
        match content {
            Content::Users { .. } => self.users(&content::parse(&small(stream, end).await?)?).await,
            Content::Collections { database, .. } => {
                let described = content::parse(&small(stream, end).await?)?;
                self.describe(database, &described).await
            }
            Content::Documents(part) => {
                let path = self.place(&part.database, &part.form.place(&part.collection))?;
                self.plain(stream, end, self.part(&name, part, &path)).await
            }
            Content::Archive { databases, .. } => {
                let name = match databases.as_slice() {
                    [one] => files::folder(&one.name),
                    _ => "all".to_owned(),
                };
                let path = self.directory.join(format!("{name}.archive"));
                self.made(&path);
                self.plain(stream, end, path).await
            }
            Content::Changes { feed: Feed::Oplog } => {
                let path = self.directory.join("oplog.bson");
                self.made(&path);
                self.warn("oplog.bson makes all of it one moment: mongorestore --oplogReplay".to_owned());
                self.plain(stream, end, path).await
            }
            Content::Changes { feed: Feed::ChangeStream } => {
                let path = self.directory.join("changes.bson");
                self.made(&path);
                self.warn(
                    "changes.bson has what was written during the backup, as events of a change stream: \
                     mongorestore cannot apply them, a restore by Kronos does"
                        .to_owned(),
                );
                self.plain(stream, end, path).await
            }
        }
    }

    /// Where a part of a collection is written: the first one into its place, the others beside it.
    fn part(&self, stream: &str, part: &Part, path: &Path) -> PathBuf {
        let first = self.parts(part).next();
        match first {
            Some(first) if first != stream => {
                let number = self.parts(part).position(|name| name == stream).unwrap_or_default();
                path.with_added_extension(format!("{number:05}"))
            }
            _ => path.to_owned(),
        }
    }

    /// The streams of a collection, in their order.
    fn parts<'a>(&'a self, part: &'a Part) -> impl Iterator<Item = &'a str> {
        let is_of_it = |content: &Content| {
            matches!(content, Content::Documents(other)
                if (&other.database, &other.collection) == (&part.database, &part.collection))
        };
        self.contents.iter().filter(move |(_, content)| is_of_it(content)).map(|(name, _)| name.as_str())
    }

    fn place(&self, database: &str, collection: &str) -> Result<PathBuf> {
        let folder = self.directory.join(database);
        std::fs::create_dir_all(&folder).map_err(|e| io(e, &folder))?;
        Ok(folder.join(format!("{}.bson", file_name(collection)?)))
    }

    async fn describe(&self, database: &str, described: &[Document]) -> Result<()> {
        let wanted = chosen(&self.request, &self.contents, database);
        for one in described {
            let entry = Entry::of(one).ok_or_else(|| corrupt("a description of a collection is not one"))?;
            let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.contains(&entry.name));
            if !is_wanted && !is_named(&self.request, database, &entry.name) {
                continue;
            }
            let kind = match () {
                () if entry.is_view() => "view",
                () if entry.is_time_series() => "timeseries",
                () => "collection",
            };
            let path = self.place(database, &entry.name)?;
            let has_file = kind == "collection" && !self.has_documents(database, &entry.name);
            let Entry { name, options, indexes, .. } = entry;
            let indexes: Vec<Bson> = indexes.into_iter().map(Bson::Document).collect();
            let metadata = doc! { "options": options, "indexes": indexes, "collectionName": name, "type": kind };
            let text = json::canonical(&Bson::Document(metadata))?;
            self.file(path.with_extension("metadata.json"), text.as_bytes()).await?;
            if has_file {
                // Its documents were left out, and it is made all the same.
                self.file(path, b"").await?;
            }
        }
        Ok(())
    }

    fn has_documents(&self, database: &str, collection: &str) -> bool {
        self.contents.values().any(|content| {
            matches!(content, Content::Documents(part) if part.database == database && part.collection == collection)
        })
    }

    async fn users(&self, all: &[Document]) -> Result<()> {
        let folder = self.directory.join("admin");
        std::fs::create_dir_all(&folder).map_err(|e| io(e, &folder))?;
        for (kind, collection) in KINDS {
            let of_it = all.iter().filter(|one| one.get_str("kind").is_ok_and(|found| found == kind));
            let documents: Vec<&Document> = of_it.filter_map(|one| one.get_document("document").ok()).collect();
            let bytes = content::joined(documents)?;
            self.file(folder.join(format!("{collection}.bson")), &bytes).await?;
        }
        let schema = doc! { "_id": "authSchema", "currentVersion": SCHEMA_OF_USERS };
        self.file(folder.join("system.version.bson"), &content::joined([&schema])?).await
    }

    async fn file(&self, path: PathBuf, bytes: &[u8]) -> Result<()> {
        let mut file = Output::create(path).await?;
        file.write(bytes).await?;
        file.end().await.map(drop)
    }

    async fn plain(&self, mut stream: Stream, end: StreamEnd, path: PathBuf) -> Result<()> {
        let mut file = Output::create(path).await?;
        loop {
            match stream.next().await? {
                Some(Piece::Data(bytes)) => file.write(&bytes).await?,
                Some(Piece::End(found)) => {
                    same(found, end)?;
                    return file.end().await.map(drop);
                }
                None => return Err(internal("a stream was read after its end")),
            }
        }
    }

    fn made(&self, path: &Path) {
        self.outcome().created.push(path.display().to_string());
    }

    fn warn(&self, warning: String) {
        self.outcome().warnings.push(warning);
    }

    fn outcome(&self) -> std::sync::MutexGuard<'_, RestoreOutcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the parts of collections together.
    async fn complete(&self) -> Result<RestoreOutcome> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(missing) = self.request.streams.iter().find(|s| !written.contains(&s.info.name)) {
            return Err(
                internal("the export was finished before a stream was written").with("stream", &missing.info.name)
            );
        }
        let mut folders = BTreeSet::new();
        for (name, content) in &self.contents {
            match content {
                Content::Documents(part) => {
                    folders.insert(self.directory.join(&part.database));
                    let path = self.place(&part.database, &part.form.place(&part.collection))?;
                    let others: Vec<PathBuf> =
                        self.parts(part).skip(1).map(|name| self.part(name, part, &path)).collect();
                    if self.parts(part).next() == Some(name) && !others.is_empty() {
                        let mut file = Output::extend(path).await?;
                        for other in &others {
                            file.append(other).await?;
                        }
                        file.end().await?;
                    }
                }
                Content::Collections { database, .. } => drop(folders.insert(self.directory.join(database))),
                Content::Users { .. } => drop(folders.insert(self.directory.join("admin"))),
                Content::Archive { .. } | Content::Changes { .. } => {}
            }
        }
        let mut outcome = std::mem::take(&mut *self.outcome());
        outcome.created.extend(folders.iter().map(|folder| folder.display().to_string()));
        Ok(outcome)
    }
}

/// The name of a collection as that of a file: as the path of a URL has it.
fn file_name(collection: &str) -> Result<String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$&+:=@".contains(&b);
    let name: String =
        collection.bytes().map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    if name.len() > LONGEST {
        return Err(Error::new(ErrorKind::Unsupported, "the name of a collection is too long for that of a file")
            .with("collection", collection)
            .with("hint", "leave it out with --only, or restore it into a server"));
    }
    Ok(name)
}

#[async_trait]
impl Restore for Export {
    async fn write(&self, stream: Stream) -> Result<()> {
        let name = stream.info().name.clone();
        self.put(stream).await?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<RestoreOutcome> {
        let outcome = self.complete().await?;
        self.directory.keep();
        Ok(outcome)
    }

    async fn abort(self: Box<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_never_lies_elsewhere() {
        assert_eq!(file_name("a.b c").unwrap(), "a.b%20c");
        assert_eq!(file_name("../x/ü$").unwrap(), "..%2Fx%2F%C3%BC$");
        assert!(file_name(&"x".repeat(239)).is_err());
    }
}
