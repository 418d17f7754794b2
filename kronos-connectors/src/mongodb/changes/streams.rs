//! Change streams: one for the whole server, or, where the user may not have that, one for each
//! database. They may be apart: what happens in two databases meets only in a transaction, whose
//! events are of one moment, and all streams end at one moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use kronos_core::{Error, ErrorKind, Result};
use mongodb::Client;
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use mongodb::options::CursorType;
use mongodb::raw_batch_cursor::RawBatchCursor;

use super::super::error::{corrupt, failed};
use super::fragments::Fragments;
use super::moment::{Member, Role, poke};
use super::shared::{Fate, Shared, number};
use super::spool::Spool;
use super::{PATIENCE, Scope, entry, late};

const WHAT: &str = "follow the change stream";
/// So long the server waits for something to tell.
const WAIT: Duration = Duration::from_millis(500);
/// A stream is taken up again so often in a row.
const TRIES: u32 = 5;
/// `ChangeStreamHistoryLost`, and what an oplog says that has gone on.
const HISTORY_LOST: [i32; 2] = [286, 136];
/// From 7.0 on events that are larger than a document come in parts.
const WIRE_OF_7_0: i64 = 21;

/// One change stream.
struct Follow {
    client: Client,
    database: String,
    pipeline: Vec<Document>,
    from: Timestamp,
    began: Instant,
    shared: Arc<Shared>,
    cursor: RawBatchCursor,
    fragments: Fragments,
    is_router: bool,
    /// Everything up to here is kept.
    token: Option<RawDocumentBuf>,
    /// Every event up to here has been seen.
    reached: u64,
    spool: Spool,
}

/// Whether this user may open them.
pub(super) async fn are_allowed(client: &Client, member: &Member, scope: &Scope) -> Result<bool> {
    match open(client, member, scope, &Arc::default()).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens the streams: one, or one for each database.
async fn open(client: &Client, member: &Member, scope: &Scope, shared: &Arc<Shared>) -> Result<Vec<Follow>> {
    let from = member.now()?;
    match (Follow::open(client, "admin", scope, member, from, shared).await, &scope.databases) {
        (Err(error), Some(databases)) if error.kind() == ErrorKind::PermissionDenied => {
            let mut streams = Vec::new();
            for database in databases {
                streams.push(Follow::open(client, database, scope, member, from, shared).await?);
            }
            Ok(streams)
        }
        (stream, _) => Ok(vec![stream?]),
    }
}

/// Opens the streams, and waits until each shows that it has got to the moment from which they are.
pub(super) async fn start(
    client: &Client,
    member: &Member,
    scope: &Scope,
    shared: &Arc<Shared>,
) -> Result<Vec<BoxFuture<'static, Result<Spool>>>> {
    let streams = open(client, member, scope, shared).await?;
    poke(client).await;
    let mut tasks: Vec<BoxFuture<'static, Result<Spool>>> = Vec::new();
    for mut stream in streams {
        let until = Instant::now() + PATIENCE;
        // What is read from now on is not older: a stream tells only what the majority has.
        while stream.reached < number(stream.from) {
            if Instant::now() > until {
                return Err(late().with("database", &stream.database));
            }
            stream.step().await?;
        }
        tasks.push(Box::pin(stream.run()));
    }
    Ok(tasks)
}

impl Follow {
    async fn open(
        client: &Client,
        database: &str,
        scope: &Scope,
        member: &Member,
        from: Timestamp,
        shared: &Arc<Shared>,
    ) -> Result<Self> {
        let mut pipeline = Vec::new();
        if let (Some(databases), "admin") = (&scope.databases, database) {
            // Also what is moved into them.
            pipeline.push(
                doc! { "$match": { "$or": [{ "ns.db": { "$in": databases } }, { "to.db": { "$in": databases } }] } },
            );
        }
        if member.wire_version >= WIRE_OF_7_0 {
            pipeline.push(doc! { "$changeStreamSplitLargeEvent": {} });
        }
        let start = doc! { "startAtOperationTime": from };
        let cursor = cursor(client, database, &pipeline, start).await.map_err(|e| failed(&e, WHAT))?;
        let (client, database, shared) = (client.clone(), database.to_owned(), Arc::clone(shared));
        let (fragments, spool) = (Fragments::default(), Spool::default());
        let (began, is_router) = (Instant::now(), member.role == Role::Router);
        Ok(Self {
            client,
            database,
            pipeline,
            from,
            began,
            shared,
            cursor,
            fragments,
            is_router,
            token: None,
            reached: 0,
            spool,
        })
    }

    /// Reads on until the end is known and passed.
    async fn run(mut self) -> Result<Spool> {
        let mut late_at = None;
        loop {
            if let Some(end) = self.shared.end() {
                if self.reached > end || (self.reached == end && !self.fragments.is_open()) {
                    return Ok(self.spool);
                }
                if Instant::now() > *late_at.get_or_insert_with(|| Instant::now() + PATIENCE) {
                    return Err(late().with("database", &self.database));
                }
            }
            self.step().await?;
        }
    }

    /// Takes a batch; over a new connection where the old one is gone.
    async fn step(&mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            let error = match self.cursor.next().await {
                Some(Ok(batch)) => return self.take(batch.as_raw_document()).await,
                Some(Err(error)) => error,
                None => return Err(Error::new(ErrorKind::Conflict, "the server has ended the change stream")),
            };
            let mut error = error;
            loop {
                tries += 1;
                if tries > TRIES || !can_go_on(&error) {
                    return Err(self.lost(&error));
                }
                tokio::time::sleep(Duration::from_millis(200) * tries * tries).await;
                let token = self.token.clone().map(Document::try_from).transpose();
                let token = token.map_err(|_| corrupt("a resume token cannot be read"))?;
                let again = token.map(|token| doc! { "resumeAfter": token });
                let start = again.unwrap_or_else(|| doc! { "startAtOperationTime": self.from });
                match cursor(&self.client, &self.database, &self.pipeline, start).await {
                    Ok(cursor) => {
                        // The parts of an event are told again from the first one on.
                        (self.cursor, self.fragments) = (cursor, Fragments::default());
                        break;
                    }
                    Err(again) => error = again,
                }
            }
        }
    }

    async fn take(&mut self, answer: &RawDocument) -> Result<()> {
        for event in entry::batch(answer)? {
            let joined = match event.get("splitEvent") {
                Ok(Some(_)) => match self.fragments.add(event)? {
                    Some(joined) => Some(joined),
                    None => continue,
                },
                _ => None,
            };
            let event = joined.as_deref().unwrap_or(event);
            let moment = entry::moment(event, "clusterTime")?;
            if let Ok("invalidate") = event.get_str("operationType") {
                return Err(Error::new(ErrorKind::Conflict, "a database was dropped while it was backed up")
                    .with("database", &self.database));
            }
            // An event of a moment does not tell that no other one of the same follows.
            self.reached = self.reached.max(moment.saturating_sub(1));
            if self.shared.take(moment) == Fate::Beyond {
                self.reached = self.reached.max(moment);
                return Ok(());
            }
            self.spool.append(event.as_bytes()).await?;
            let id = event.get_document("_id").map_err(|_| corrupt("a change event has no resume token"))?;
            self.token = Some(id.to_owned());
        }
        if let (Some(token), false) = (entry::token(answer), self.fragments.is_open()) {
            // A batch may end within a transaction. And where several shards are merged, one of them
            // may still have events of the very moment that the token stands for.
            let is_behind = !self.is_router && entry::batch(answer)?.is_empty();
            if let Some(moment) = entry::moment_of_token(&token) {
                self.reached = self.reached.max(if is_behind { moment } else { moment.saturating_sub(1) });
            }
            self.token = Some(token);
        }
        Ok(())
    }

    fn lost(&self, error: &mongodb::error::Error) -> Error {
        let lost = matches!(error.kind.as_ref(), mongodb::error::ErrorKind::Command(refused) if HISTORY_LOST.contains(&refused.code));
        if !lost {
            return failed(error, WHAT);
        }
        Error::new(
            ErrorKind::Conflict,
            "the server has thrown away changes that the backup needs: its oplog is too small",
        )
        .with("the backup took", format!("{} s", self.began.elapsed().as_secs()))
        .with("hint", "`replSetResizeOplog` makes it larger; it must reach back further than a backup takes")
    }
}

async fn cursor(
    client: &Client,
    database: &str,
    pipeline: &[Document],
    start: Document,
) -> mongodb::error::Result<RawBatchCursor> {
    let mut stage = doc! { "showExpandedEvents": true };
    if database == "admin" {
        stage.insert("allChangesForCluster", true);
    }
    stage.extend(start);
    let stages = std::iter::once(doc! { "$changeStream": stage }).chain(pipeline.iter().cloned()).map(Bson::Document);
    let command = doc! {
        "aggregate": 1,
        "pipeline": stages.collect::<Vec<_>>(),
        "cursor": {},
        "readConcern": { "level": "majority" },
    };
    client
        .database(database)
        .run_cursor_command(command)
        .cursor_type(CursorType::TailableAwait)
        .max_time(WAIT)
        .batch()
        .await
}

/// Whether the stream can be taken up again where it broke.
fn can_go_on(error: &mongodb::error::Error) -> bool {
    use mongodb::error::ErrorKind as Driver;
    error.contains_label("ResumableChangeStreamError")
        || match error.kind.as_ref() {
            Driver::Io(_) | Driver::ConnectionPoolCleared { .. } | Driver::ServerSelection { .. } => true,
            Driver::Command(refused) => refused.code == 43,
            _ => false,
        }
}
