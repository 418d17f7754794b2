//! The oplog, read by a tailable cursor. It begins with the oldest transaction that is open, since
//! such a one is told from its first entry on and happens with its last; and begins again further back
//! where one turns up that began before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use kronos_core::{Error, ErrorKind, Result};
use mongodb::Client;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use mongodb::options::CursorType;
use mongodb::raw_batch_cursor::RawBatchCursor;

use super::super::error::{corrupt, failed, if_allowed};
use super::moment::Member;
use super::shared::{Fate, Shared, number};
use super::spool::Spool;
use super::wanted::kept;
use super::{PATIENCE, Scope, entry, late, rolled_over, transaction};

const WHAT: &str = "follow the oplog";
const WAIT: Duration = Duration::from_millis(500);
const TRIES: u32 = 5;
/// The cursor is behind what the oplog still has.
const POSITION_LOST: i32 = 136;

/// Whether this user may read it, and what tells where it must begin.
pub(super) async fn is_readable(client: &Client) -> Result<bool> {
    let is_there = |database: &str, collection: &str| {
        let collection = client.database(database).collection::<Document>(collection);
        async move {
            let first = collection.find_one(doc! {}).projection(doc! { "_id": 1 }).await;
            if_allowed(first.map_err(|e| failed(&e, "look into the oplog")))
        }
    };
    let has_entries = is_there("local", "oplog.rs").await?.is_some_and(|first| first.is_some());
    Ok(has_entries && is_there("config", "transactions").await?.is_some())
}

struct Follow {
    client: Client,
    scope: Scope,
    began: Instant,
    shared: Arc<Shared>,
    cursor: RawBatchCursor,
    /// The first entry.
    from: u64,
    /// The last entry that was seen, which a new cursor must begin with.
    last: u64,
    /// The next one must be this: nothing between was thrown away.
    is_expected: bool,
    spool: Spool,
}

/// Opens the oplog at the moment from which everything is needed.
pub(super) async fn start(
    client: &Client,
    scope: &Scope,
    shared: &Arc<Shared>,
) -> Result<Vec<BoxFuture<'static, Result<Spool>>>> {
    let open = oldest_open(client).await?;
    let settled = Member::ask(client).await?.settled();
    let settled = settled.ok_or_else(|| corrupt("the server does not tell what its majority has"))?;
    let from = open.filter(|open| number(*open) < number(settled)).unwrap_or(settled);
    // An entry that is there shows that nothing after it was thrown away.
    let Some(from) = last_entry(client, from).await? else {
        return Err(rolled_over::error(client.clone(), Duration::ZERO).await);
    };
    let cursor = cursor(client, from).await.map_err(|e| failed(&e, WHAT))?;
    let (client, scope, shared) = (client.clone(), scope.clone(), Arc::clone(shared));
    let (began, spool) = (Instant::now(), Spool::default());
    let from = number(from);
    let mut follow = Follow { client, scope, began, shared, cursor, from, last: from, is_expected: true, spool };
    let until = Instant::now() + PATIENCE;
    while follow.is_expected {
        if Instant::now() > until {
            return Err(late());
        }
        follow.step().await?;
    }
    Ok(vec![Box::pin(follow.run())])
}

/// The entry of a moment, or the last one before it.
async fn last_entry(client: &Client, until: Timestamp) -> Result<Option<Timestamp>> {
    let oplog = client.database("local").collection::<Document>("oplog.rs");
    let found = oplog.find_one(doc! { "ts": { "$lte": until } }).sort(doc! { "$natural": -1 });
    let found = found.projection(doc! { "ts": 1 }).await.map_err(|e| failed(&e, WHAT))?;
    let moment = |entry: Document| entry.get_timestamp("ts");
    found.map(moment).transpose().map_err(|_| corrupt("the server tells a change without its time"))
}

/// The entry of a moment.
async fn entry_of(client: &Client, moment: Timestamp) -> Result<Option<RawDocumentBuf>> {
    let oplog = client.database("local").collection::<RawDocumentBuf>("oplog.rs");
    let found = oplog.find_one(doc! { "ts": moment }).await;
    found.map_err(|e| failed(&e, "look for the beginning of a transaction"))
}

/// Where the oldest transaction began that is prepared or in progress.
async fn oldest_open(client: &Client) -> Result<Option<Timestamp>> {
    let filter = doc! { "state": { "$in": ["prepared", "inProgress"] }, "startOpTime": { "$exists": true } };
    let table = client.database("config").collection::<Document>("transactions");
    let found = table.find_one(filter).sort(doc! { "startOpTime.ts": 1 }).await;
    let found = found.map_err(|e| failed(&e, "look for open transactions"))?;
    let began = |open: Document| {
        let told = open.get_document("startOpTime").and_then(|start| start.get_timestamp("ts"));
        told.map_err(|_| corrupt("the server does not tell when an open transaction began"))
    };
    found.map(began).transpose()
}

impl Follow {
    async fn run(mut self) -> Result<Spool> {
        let mut late_at = None;
        loop {
            if let Some(end) = self.shared.end() {
                if self.last >= end {
                    return Ok(self.spool);
                }
                if Instant::now() > *late_at.get_or_insert_with(|| Instant::now() + PATIENCE) {
                    return Err(late());
                }
            }
            self.step().await?;
        }
    }

    /// Takes a batch; over a new cursor where the old one is gone.
    async fn step(&mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            let mut error = match self.cursor.next().await {
                Some(Ok(batch)) => {
                    return match self.take(batch.as_raw_document()).await? {
                        None => Ok(()),
                        Some(part) => self.begin_again(part).await,
                    };
                }
                Some(Err(error)) => Some(error),
                // A cursor that found nothing at first is closed at once.
                None => None,
            };
            loop {
                tries += 1;
                if let Some(error) = error.take_if(|error| tries > TRIES || !can_go_on(error)) {
                    return Err(lost(self.client.clone(), self.began.elapsed(), &error).await);
                }
                if tries > TRIES {
                    return Err(Error::new(
                        ErrorKind::ConnectionFailed,
                        "the server ends reading the oplog again and again",
                    ));
                }
                tokio::time::sleep(Duration::from_millis(200) * tries * tries).await;
                match cursor(&self.client, entry::timestamp(self.last)).await {
                    Ok(cursor) => {
                        (self.cursor, self.is_expected) = (cursor, true);
                        break;
                    }
                    Err(again) => error = Some(again),
                }
            }
        }
    }

    /// Keeps what is wanted of a batch; gives a part of a transaction that is older than all that was read.
    async fn take(&mut self, answer: &RawDocument) -> Result<Option<Timestamp>> {
        for entry in entry::batch(answer)? {
            let moment = entry::moment(entry, "ts")?;
            if self.is_expected {
                if moment != self.last {
                    return Err(rolled_over::error(self.client.clone(), self.began.elapsed()).await);
                }
                self.is_expected = false;
                if self.spool.entries() > 0 {
                    // It is the one before which the cursor broke.
                    continue;
                }
            }
            if let Some(part) = transaction::before(entry).filter(|part| number(*part) < self.from) {
                return Ok(Some(part));
            }
            if self.shared.take(moment) == Fate::Beyond {
                self.last = moment;
                return Ok(None);
            }
            if let Some(kept) = kept(entry, &self.scope)? {
                self.spool.append(kept.as_bytes()).await?;
            }
            self.last = moment;
        }
        Ok(None)
    }

    /// Follows it from the beginning of a transaction on, of which this is a part.
    async fn begin_again(&mut self, part: Timestamp) -> Result<()> {
        let from = transaction::beginning(part, |moment| entry_of(&self.client, moment)).await?;
        self.cursor = cursor(&self.client, from).await.map_err(|e| failed(&e, WHAT))?;
        (self.from, self.last, self.is_expected) = (number(from), number(from), true);
        self.spool = Spool::default();
        Ok(())
    }
}

/// The error of a cursor that cannot go on.
async fn lost(client: Client, took: Duration, error: &mongodb::error::Error) -> Error {
    match error.kind.as_ref() {
        mongodb::error::ErrorKind::Command(refused) if refused.code == POSITION_LOST => {
            rolled_over::error(client, took).await
        }
        _ => failed(error, WHAT),
    }
}

async fn cursor(client: &Client, from: Timestamp) -> mongodb::error::Result<RawBatchCursor> {
    let command = doc! {
        "find": "oplog.rs",
        "filter": { "ts": { "$gte": from } },
        "tailable": true,
        "awaitData": true,
        "readConcern": { "level": "majority" },
    };
    let local = client.database("local");
    local.run_cursor_command(command).cursor_type(CursorType::TailableAwait).max_time(WAIT).batch().await
}

/// Whether a new cursor can go on where this one broke.
fn can_go_on(error: &mongodb::error::Error) -> bool {
    use mongodb::error::ErrorKind as Driver;
    match error.kind.as_ref() {
        Driver::Io(_) | Driver::ConnectionPoolCleared { .. } | Driver::ServerSelection { .. } => true,
        // The cursor is gone, or the server is no longer the primary one.
        Driver::Command(refused) => matches!(refused.code, 43 | 91 | 189 | 237 | 10107 | 11600 | 11602 | 13435 | 13436),
        _ => false,
    }
}
