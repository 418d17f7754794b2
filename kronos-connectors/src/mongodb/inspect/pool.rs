//! The driver's pool, and as many callers at a time as it has connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kronos_core::inspect::{
    Database, PoolSettings, PoolStatistics, ResultColumn, Schema, Scope, Table, TableInfo, TableName, Value,
};
use kronos_core::{ConnectionReport, Connector, Engine, Error, ErrorKind, Result};
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use tokio::sync::{Mutex, Semaphore};

use super::super::MongodbSource;
use super::super::error::{failed, internal};
use super::super::json;
use super::super::settings::MongodbSettings;
use super::catalog;
use super::connection::{Pooled, command};
use crate::inspect::{
    Backend, Browse, Connection as _, Count, Reading, Statement, closed, exhausted, patience, read, unanswered,
};

/// Connections beside those of callers: statements are ended by them.
const SPARE: u32 = 4;

/// The pool of one server.
#[derive(Debug)]
pub(crate) struct Pool {
    settings: MongodbSettings,
    bounds: PoolSettings,
    made: Mutex<Option<Made>>,
    callers: Arc<Semaphore>,
    /// Connections there are, as the driver tells.
    open: Arc<AtomicU32>,
    active: Count,
    waiting: Count,
}

/// The driver's client. As its connections have no age, it has one for all of them: a new one takes its
/// place, and the old one is shut down when nobody uses it any more.
#[derive(Debug, Clone)]
struct Made {
    client: Client,
    since: Instant,
}

impl Pool {
    pub(in super::super) fn new(settings: MongodbSettings, bounds: PoolSettings) -> Self {
        Self {
            settings,
            callers: Arc::new(Semaphore::new(bounds.max_connections as usize)),
            bounds,
            made: Mutex::default(),
            open: Arc::default(),
            active: Count::default(),
            waiting: Count::default(),
        }
    }

    async fn made(&self) -> Result<Made> {
        let mut made = self.made.lock().await;
        if let Some(known) = made.as_ref().filter(|known| known.since.elapsed() < self.bounds.max_lifetime) {
            return Ok(known.clone());
        }
        let new = Made { client: self.make().await?, since: Instant::now() };
        if let Some(old) = made.replace(new.clone()) {
            retire(old.client);
        }
        Ok(new)
    }

    /// Where a connection is silent, a network that has forgotten them is to be feared for all.
    async fn let_go(&self, silent: &Made) {
        let mut made = self.made.lock().await;
        // Somebody else may have found out before.
        if let Some(old) = made.take_if(|known| known.since == silent.since) {
            retire(old.client);
        }
    }

    async fn make(&self) -> Result<Client> {
        // The pool opens connections beside those that are asked for; when one of them is refused,
        // whoever waits is told that the pool was cleared, and not why.
        let mut settings = self.settings.clone();
        // Before the caller's time is over, so that he hears why.
        settings.connect_timeout = settings.connect_timeout.min(self.bounds.acquire_timeout * 3 / 4);
        let first = tokio::time::timeout(self.bounds.acquire_timeout, settings.open()).await;
        let late = |_| unanswered(self.describe(), self.bounds.acquire_timeout);
        first.map_err(late)??.close().await;
        let mut options = self.settings.options().await?;
        options.max_pool_size = Some(self.bounds.max_connections + SPARE);
        options.min_pool_size = Some(self.bounds.min_connections.min(self.bounds.max_connections));
        options.max_idle_time = Some(self.bounds.idle_timeout);
        // A server that is gone is not waited for any longer than a connection.
        options.server_selection_timeout = Some(self.bounds.acquire_timeout.min(self.settings.connect_timeout));
        // What others have committed is what is seen, as by default.
        options.read_concern = None;
        let open = self.open.clone();
        options.cmap_event_handler = Some(EventHandler::callback(move |event| {
            let counted = match event {
                CmapEvent::ConnectionCreated(_) => open.fetch_add(1, Ordering::Relaxed),
                CmapEvent::ConnectionClosed(_) => open.fetch_sub(1, Ordering::Relaxed),
                _ => 0,
            };
            let _ = counted;
        }));
        Client::with_options(options).map_err(|e| failed(&e, "connect"))
    }

    /// The database that is meant when none is named.
    pub(super) fn database<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        named.or_else(|| self.settings.databases.first().map(String::as_str)).unwrap_or("admin")
    }
}

/// Shuts down when the last one is done with it.
fn retire(client: Client) {
    tokio::spawn(async move { client.shutdown().await });
}

#[async_trait]
impl Backend for Pool {
    type Connection = Pooled;

    fn engine(&self) -> Engine {
        Engine::MONGODB
    }

    fn describe(&self) -> String {
        MongodbSource::of(&self.settings).describe()
    }

    fn settings(&self) -> &PoolSettings {
        &self.bounds
    }

    async fn test(&self) -> Result<ConnectionReport> {
        MongodbSource::of(&self.settings).test_connection().await
    }

    fn read(&self, text: &str) -> Reading {
        read(&Engine::MONGODB, text)
    }

    async fn acquire(&self, database: Option<&str>) -> Result<Pooled> {
        let waiting = self.waiting.one();
        let permit = tokio::time::timeout(self.bounds.acquire_timeout, self.callers.clone().acquire_owned()).await;
        drop(waiting);
        let permit = permit.map_err(|_| exhausted(&self.bounds))?.map_err(|_| closed())?;
        let mut made = self.made().await?;
        let mut pooled = Pooled::new(made.client.clone(), self.database(database), permit, self.active.one()).await?;
        let mut is_first = true;
        loop {
            // The driver hands out what has long been dead as well.
            match tokio::time::timeout(patience(&self.bounds), pooled.ping()).await {
                Ok(Ok(())) => return Ok(pooled),
                // Where the server has ended one, the driver has closed them all by now.
                Ok(Err(error)) if error.kind() == ErrorKind::ConnectionFailed && is_first => is_first = false,
                Ok(Err(error)) => return Err(error),
                Err(_) => self.let_go(&made).await,
            }
            made = self.made().await?;
            pooled = pooled.over(made.client.clone()).await?;
        }
    }

    fn statistics(&self) -> PoolStatistics {
        let (active, open) = (self.active.now(), self.open.load(Ordering::Relaxed));
        PoolStatistics {
            max: self.bounds.max_connections,
            // The driver opens one when a caller first asks.
            size: open.max(active),
            active,
            idle: open.saturating_sub(active),
            waiting: self.waiting.now(),
        }
    }

    /// MongoDB has no sessions that only read: what the parser does not know to read is refused.
    fn guards(&self) -> bool {
        false
    }

    async fn close(&self) {
        self.callers.close();
        let made = self.made.lock().await.take();
        if let Some(Made { client, .. }) = made {
            // What still runs is waited for, and then cut off.
            if tokio::time::timeout(Duration::from_secs(5), client.clone().shutdown()).await.is_err() {
                client.shutdown().immediate(true).await;
            }
        }
    }

    async fn databases(&self, connection: &mut Pooled, scope: &Scope) -> Result<Vec<Database>> {
        catalog::databases(connection, scope).await
    }

    /// A database has none within it.
    async fn schemas(&self, _: &mut Pooled, _: &Scope) -> Result<Vec<Schema>> {
        Ok(Vec::new())
    }

    async fn tables(&self, connection: &mut Pooled, scope: &Scope) -> Result<Vec<Table>> {
        catalog::tables(connection, scope).await
    }

    async fn table_info(&self, connection: &mut Pooled, name: &TableName) -> Result<TableInfo> {
        catalog::info(connection, &name.name).await
    }

    async fn count(&self, connection: &mut Pooled, name: &TableName) -> Result<u64> {
        catalog::count(connection, &name.name).await
    }

    async fn browse(&self, connection: &mut Pooled, name: &TableName) -> Result<Browse> {
        let found = catalog::find(connection, &name.name).await?;
        // Of what a view gives, nothing need be in order, nor have an index.
        let has_key = found.get_str("type").unwrap_or("collection") == "collection";
        let text = json::canonical(&Bson::Document(doc! { "find": &name.name }))?;
        let key = if has_key { vec!["_id".to_owned()] } else { Vec::new() };
        Ok(Browse { text, quoted: key.clone(), key })
    }

    fn whole(&self, browse: &Browse, after: Option<&str>) -> Result<Statement> {
        let mut ask = command(&browse.text)?;
        if !browse.key.is_empty() {
            ask.insert("sort", doc! { "_id": 1 });
        }
        if let Some(place) = after {
            let wrong = || {
                Error::new(ErrorKind::Config, "this is no place where a page of this table ended")
                    .with("hint", "take the `next` of the page before, as it is")
            };
            if browse.key.is_empty() {
                return Err(wrong());
            }
            let place: Document = serde_json::from_str(place).map_err(|_| wrong())?;
            let id = place.get("_id").cloned().filter(|_| place.len() == 1).ok_or_else(wrong)?;
            // A comparison stays within one type; the order of the index does not. It begins with the
            // place itself, if that is still there.
            ask.insert("hint", doc! { "_id": 1 });
            ask.insert("min", doc! { "_id": id.clone() });
            ask.insert("filter", doc! { "_id": { "$ne": id } });
        }
        Ok(Statement { text: json::canonical(&Bson::Document(ask))?, parameters: Vec::new() })
    }

    fn part(&self, statement: Statement, skip: u64, take: u64) -> Result<Statement> {
        let mut ask = command(&statement.text)?;
        let number = |count: u64| i64::try_from(count).map_err(|_| internal("a page that is out of reach"));
        ask.insert("skip", number(skip)?);
        ask.insert("limit", number(take)?);
        Ok(Statement { text: json::canonical(&Bson::Document(ask))?, parameters: statement.parameters })
    }

    fn place(&self, _: &[ResultColumn], key: &[String], row: &[Value]) -> Option<String> {
        let (Some(_), Some(Value::Json(text))) = (key.first(), row.first()) else { return None };
        let document: Document = serde_json::from_str(text).ok()?;
        let id = document.get("_id")?.clone();
        json::canonical(&Bson::Document(doc! { "_id": id })).ok()
    }
}
