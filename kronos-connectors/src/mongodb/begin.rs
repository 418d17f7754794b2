//! The beginning of a dump: which databases, what they have, and what is to be read.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use kronos_core::{DumpRequest, Error, ErrorKind, Outline, PreviousStream, Result, RunContext, StreamInfo, matches};
use mongodb::bson::{Document, doc};

use super::bounds::{self, Range, Size};
use super::catalog::{self, Entry, Listed, name_of};
use super::changes::{Feed, Follower, Scope};
use super::connect::{Kind, Server};
use super::content;
use super::names::{self, qualified};
use super::pace::Pace;
use super::plan::{Content, Form, Order, Part, is_excluded, stream_name};
use super::reading::{Common, Expected, Reading, Task};
use super::replay::{Chosen, Copied};
use super::settings::{Method, MongodbSettings};
use super::tool_dump;
use super::users;

/// So many bytes are asked for at a time, about.
const BATCH: u64 = 8 << 20;

/// What is ready to be read.
pub(super) struct Begun {
    pub outline: Outline,
    pub common: Arc<Common>,
    /// One for each stream.
    pub readings: Vec<Reading>,
    /// What the user may want to know.
    pub notices: Vec<String>,
}

impl Begun {
    /// What is known once it is settled what is read.
    pub(super) fn new(
        common: Common,
        tasks: Vec<(StreamInfo, Task)>,
        warnings: Vec<String>,
        notices: Vec<String>,
    ) -> Self {
        let (server_version, common) = (Some(common.server.shown()), Arc::new(common));
        let (streams, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
        let readings = tasks.into_iter().map(|task| Reading { dump: common.clone(), task }).collect();
        Self { outline: Outline { streams, server_version, warnings }, common, readings, notices }
    }
}

pub(super) async fn begin(settings: &MongodbSettings, request: &DumpRequest, run: &RunContext) -> Result<Begun> {
    let server = settings.open().await?;
    let (known, notices) = chosen(settings, &server, &request.exclude).await?;
    if settings.method == Method::Tool {
        return tool_dump::begin(settings, server, request, run, known, notices).await;
    }
    let (follower, unfollowed) = follow(settings, &server, &known).await?;
    // Of those that are made from now on, the changes tell.
    let (chosen, notices) = chosen(settings, &server, &request.exclude).await?;
    let mut streams = Streams {
        tasks: Vec::new(),
        warnings: Vec::new(),
        copied: Vec::new(),
        left_out: BTreeSet::new(),
        settings,
        request,
        server: &server,
    };
    streams.tasks.extend(read_users(settings, &server, &mut streams.warnings).await?);
    let mut data = Vec::new();
    for database in &chosen {
        let within = |e: Error| e.with("database", database);
        let listed = catalog::list(&server, database).await.map_err(within)?;
        streams.collections(database, &listed)?;
        data.extend(streams.documents(database, &listed).await.map_err(within)?);
    }
    streams.warnings.extend(unfollowed);
    // The longest first: at the end nobody waits for a long one.
    data.sort_by_key(|(info, _)| std::cmp::Reverse(info.size_hint));
    let parts = data.len();
    streams.tasks.extend(data);
    if let Some(follower) = &follower {
        let content = Content::Changes { feed: follower.feed() };
        let all_but = settings.databases.is_empty().then(|| request.exclude.clone());
        let left_out = std::mem::take(&mut streams.left_out);
        let chosen = Chosen { databases: chosen, left_out, all_but };
        let copied = std::mem::take(&mut streams.copied);
        let expected = Expected { feed: follower.feed(), chosen, copied };
        // The last one: it ends after all others.
        streams.tasks.push((content.stream("changes".to_owned(), None)?, Task::Changes(Box::new(expected))));
    }
    let Streams { tasks, warnings, .. } = streams;
    let common = Common {
        server,
        run: run.clone(),
        pace: Pace::new(parts),
        follower: tokio::sync::Mutex::new(follower),
        position: OnceLock::new(),
        warnings: Mutex::default(),
        doubtful: Mutex::default(),
    };
    Ok(Begun::new(common, tasks, warnings, notices))
}

/// Follows what is written from now on; with what is not promised.
async fn follow(
    settings: &MongodbSettings,
    server: &Server,
    chosen: &[String],
) -> Result<(Option<Follower>, Option<String>)> {
    let scope = scope(settings, server, chosen).await?;
    let only_in_oplog = scope.only_in_oplog;
    let follower = Follower::start(&server.client, settings.changes, scope).await?;
    let what = "what is written during the backup may be in it or not";
    let warning = match (&follower, &server.kind) {
        (None, Kind::Standalone) => Some(format!("a standalone server keeps no log of changes: {what}")),
        (None, _) => Some(format!("changes are not followed: {what}")),
        (Some(follower), _) if follower.feed() == Feed::ChangeStream && only_in_oplog => {
            Some(format!("change streams do not tell of time series and of stored functions: of these {what}"))
        }
        _ => None,
    };
    Ok((follower, warning))
}

/// What is followed.
pub(super) async fn scope(settings: &MongodbSettings, server: &Server, chosen: &[String]) -> Result<Scope> {
    let mut only_in_oplog = false;
    for database in chosen {
        let ask = doc! { "listCollections": 1, "cursor": {} };
        for one in server.list(database, "look for time series", ask).await? {
            let is_series = one.get_document("options").is_ok_and(|options| options.contains_key("timeseries"));
            only_in_oplog |= is_series || one.get_str("name").is_ok_and(|name| name == names::FUNCTIONS);
        }
    }
    let databases = (!settings.databases.is_empty()).then(|| chosen.to_vec());
    Ok(Scope { databases, only_in_oplog })
}

/// The databases to be backed up, and what is told of the others.
pub(super) async fn chosen(
    settings: &MongodbSettings,
    server: &Server,
    exclude: &[String],
) -> Result<(Vec<String>, Vec<String>)> {
    let found: Vec<String> = catalog::databases(server).await?.into_iter().map(|(name, _)| name).collect();
    if let Some(missing) = settings.databases.iter().find(|name| !found.contains(name)) {
        return Err(Error::new(ErrorKind::NotFound, "the server has no such database, or the user may not see it")
            .with("database", missing));
    }
    if !settings.databases.is_empty() {
        return Ok((settings.databases.clone(), Vec::new()));
    }
    let is_excluded = |name: &str| exclude.iter().any(|pattern| matches(pattern, name));
    let (left, chosen): (Vec<_>, Vec<_>) = found.into_iter().partition(|name| is_excluded(name));
    let mut notices = Vec::new();
    if !left.is_empty() {
        notices.push(format!("left out, as asked for: {}", left.join(", ")));
    }
    if chosen.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "the server has no database that could be backed up")
            .with("server", settings.address()));
    }
    for name in &chosen {
        names::check(name)?;
    }
    Ok((chosen, notices))
}

/// The stream of users and roles, where they may be seen.
pub(super) async fn read_users(
    settings: &MongodbSettings,
    server: &Server,
    warnings: &mut Vec<String>,
) -> Result<Option<(StreamInfo, Task)>> {
    let Some(bytes) = users::read(server, &settings.databases).await? else {
        warnings.push("users and roles are not backed up: the role `backup` may read them".to_owned());
        return Ok(None);
    };
    let content = Content::Users { server: settings.databases.is_empty() };
    ready(&content, "users".to_owned(), bytes).map(Some)
}

/// A stream of what has been read already.
fn ready(content: &Content, name: String, bytes: Vec<u8>) -> Result<(StreamInfo, Task)> {
    Ok((content.stream(name, Some(bytes.len() as u64))?, Task::Ready(Bytes::from(bytes))))
}

struct Streams<'a> {
    tasks: Vec<(StreamInfo, Task)>,
    warnings: Vec<String>,
    copied: Vec<Copied>,
    /// Collections whose documents are not wanted.
    left_out: BTreeSet<(String, String)>,
    settings: &'a MongodbSettings,
    request: &'a DumpRequest,
    server: &'a Server,
}

impl Streams<'_> {
    fn collections(&mut self, database: &str, listed: &Listed) -> Result<()> {
        let described: Vec<Document> = listed.entries.iter().map(Entry::description).collect();
        let restoring = listed.left_out.iter().filter(|name| names::is_beside(name).is_some()).count();
        if restoring > 0 {
            self.warnings.push(format!("{database}: {restoring} collections are left out that a restore has made"));
        }
        let content = Content::Collections { database: database.to_owned(), version: self.server.version.clone() };
        self.ready(&content, format!("{database}/collections"), content::joined(&described)?)
    }

    fn ready(&mut self, content: &Content, name: String, bytes: Vec<u8>) -> Result<()> {
        self.tasks.push(ready(content, name, bytes)?);
        Ok(())
    }

    async fn documents(&mut self, database: &str, listed: &Listed) -> Result<Vec<(StreamInfo, Task)>> {
        let mut streams = Vec::new();
        for entry in listed.entries.iter().filter(|entry| !entry.is_view()) {
            if is_excluded(&self.request.exclude, database, &entry.name) {
                let name = qualified(database, &entry.name);
                self.warnings.push(format!("the documents of {name} are left out, as asked for"));
                self.left_out.insert((database.to_owned(), entry.name.clone()));
                continue;
            }
            let form = match (entry.is_time_series(), listed.bucketed.contains(&entry.name)) {
                (false, _) => Form::Documents,
                (true, true) => Form::Buckets,
                (true, false) => Form::Measurements,
            };
            streams.extend(self.of_collection(database, entry, form).await?);
            // No log tells of measurements as they are.
            if form != Form::Measurements {
                self.copied.push(Copied::new(database, &form.place(&entry.name), entry.uuid));
            }
        }
        Ok(streams)
    }

    async fn of_collection(&self, database: &str, entry: &Entry, form: Form) -> Result<Vec<(StreamInfo, Task)>> {
        let collection = entry.name.as_str();
        let has_id = entry.indexes.iter().any(|index| name_of(index) == "_id_");
        let order = if entry.is_clustered() {
            Order::Clustered
        } else if form != Form::Documents || entry.is_capped() || !has_id {
            Order::Natural
        } else {
            Order::Id
        };
        let (bytes, count) = catalog::collection_size(self.server, database, &form.place(collection)).await?;
        let ranges = if order == Order::Id {
            let previous = self.previous(database, collection);
            let size = Size { bytes, count };
            bounds::split(self.server, (database, collection), size, self.settings.range, &previous).await?
        } else {
            vec![Range::default()]
        };
        let batch = BATCH / (bytes / count.max(1)).max(1);
        let batch = u32::try_from(batch.clamp(10, 100_000)).unwrap_or(10);
        let each = bytes / ranges.len() as u64;
        let stream = |(number, range): (usize, Range)| {
            let text = |bound: Option<Document>| bound.as_ref().map(bounds::text).transpose();
            let part = Part {
                database: database.to_owned(),
                collection: collection.to_owned(),
                form,
                order,
                from: text(range.from)?,
                to: text(range.to)?,
            };
            let name = stream_name(database, collection, number);
            let info = Content::Documents(part.clone()).stream(name, Some(each))?;
            Ok((info, Task::Documents { part, batch, uuid: entry.uuid }))
        };
        ranges.into_iter().enumerate().map(stream).collect()
    }

    /// The streams of a collection in the backup before, in their order.
    fn previous(&self, database: &str, collection: &str) -> Vec<&PreviousStream> {
        let Some(previous) = &self.request.previous else { return Vec::new() };
        (0..).map_while(|number| previous.streams.get(&stream_name(database, collection, number))).collect()
    }
}
