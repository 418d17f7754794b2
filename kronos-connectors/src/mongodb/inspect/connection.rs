//! A session of the driver, and a command in it.

use std::time::Duration;

use async_trait::async_trait;
use kronos_core::inspect::{ResultColumn, Value};
use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, ClientSession};
use tokio::sync::OwnedSemaphorePermit;

use super::super::connect::is_written;
use super::super::error::failed;
use super::super::json;
use crate::inspect::{Connection, Control, One, Ran, Rows, Statement, Stop, of_kind};

/// Commands that answer with a cursor.
const WITH_CURSOR: [&str; 4] = ["aggregate", "find", "listCollections", "listIndexes"];

/// A session, and the right to use one connection at a time.
#[derive(Debug)]
pub(crate) struct Pooled {
    client: Client,
    database: String,
    session: ClientSession,
    limit: Option<Duration>,
    in_transaction: bool,
    _permit: OwnedSemaphorePermit,
    _active: One,
}

impl Pooled {
    pub(super) async fn new(client: Client, database: &str, permit: OwnedSemaphorePermit, active: One) -> Result<Self> {
        let session = client.start_session().await.map_err(|e| failed(&e, "connect"))?;
        let database = database.to_owned();
        Ok(Self { client, database, session, limit: None, in_transaction: false, _permit: permit, _active: active })
    }

    /// The same over other connections.
    pub(super) async fn over(self, client: Client) -> Result<Self> {
        let session = client.start_session().await.map_err(|e| failed(&e, "connect"))?;
        Ok(Self { client, session, ..self })
    }

    /// Runs a command in the session's database.
    pub(super) async fn command(&mut self, what: &'static str, ask: Document) -> Result<Document> {
        let database = self.database.clone();
        self.command_of(&database, what, ask).await
    }

    pub(super) async fn command_of(&mut self, database: &str, what: &'static str, ask: Document) -> Result<Document> {
        let ask = self.timed(ask);
        let done = self.client.database(database).run_command(ask).session(&mut self.session).await;
        let done = done.map_err(|e| query_error(&e, what))?;
        is_written(&done, what).map(|()| done)
    }

    /// All of what a command gives by a cursor.
    pub(super) async fn list(&mut self, what: &'static str, ask: Document) -> Result<Vec<Document>> {
        let ask = self.timed(ask);
        let database = self.client.database(&self.database);
        let found = database.run_cursor_command(ask).session(&mut self.session).await;
        let mut found = found.map_err(|e| query_error(&e, what))?;
        let mut all = Vec::new();
        while let Some(one) = found.next(&mut self.session).await {
            all.push(one.map_err(|e| query_error(&e, what))?);
        }
        Ok(all)
    }

    /// The command with the time that the server may take for it, unless it says less itself.
    fn timed(&self, mut ask: Document) -> Document {
        if let Some(limit) = self.limit {
            // A little less than ours, so that the server is the first.
            let most = i64::try_from(limit.as_millis() * 19 / 20).unwrap_or(i64::MAX).clamp(1, i64::from(i32::MAX));
            let own = ask.get("maxTimeMS").map(|own| super::super::catalog::number(Some(own)));
            let less = own.and_then(|own| i64::try_from(own).ok()).filter(|own| *own > 0 && *own < most);
            ask.insert("maxTimeMS", less.unwrap_or(most));
        }
        ask
    }
}

/// A command out of its text.
pub(super) fn command(text: &str) -> Result<Document> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::InvalidQuery, "this is no command in extended JSON")
            // What the parser met may be a secret; where it was says enough.
            .with("line", error.line())
            .with("column", error.column())
            .with("hint", r#"write for example {"find": "orders", "filter": {"total": {"$gt": 5}}}"#)
    })
}

/// A document as a row.
fn row(document: Document) -> Result<Vec<Value>> {
    json::canonical(&Bson::Document(document)).map(|text| vec![Value::Json(text)])
}

#[async_trait]
impl Connection for Pooled {
    async fn ping(&mut self) -> Result<()> {
        self.command_of("admin", "ask for a sign of life", doc! { "ping": 1 }).await.map(drop)
    }

    async fn writing(&mut self) -> Result<()> {
        Ok(())
    }

    /// One that only reads is no transaction of the server: not all that reads may be in one, and
    /// standalone servers have none.
    async fn begin(&mut self, write: bool) -> Result<()> {
        if write {
            self.session.start_transaction().await.map_err(|e| query_error(&e, "begin"))?;
            self.in_transaction = true;
        }
        Ok(())
    }

    async fn limit(&mut self, time: Duration) -> Result<()> {
        self.limit = Some(time);
        Ok(())
    }

    async fn run(&mut self, statement: &Statement, rows: &mut Rows) -> Result<Ran> {
        if !statement.parameters.is_empty() {
            return Err(Error::new(ErrorKind::InvalidQuery, "a command of MongoDB has no parameters")
                .with("hint", "its values are in the document itself"));
        }
        let ask = command(&statement.text)?;
        let name = ask.keys().next().map(String::as_str).unwrap_or_default();
        let has_cursor = WITH_CURSOR.contains(&name) && !ask.contains_key("explain");
        let column = ResultColumn { name: "document".to_owned(), data_type: "document".to_owned() };
        if !has_cursor {
            let ask = if self.in_transaction { ask } else { self.timed(ask) };
            let done = self.client.database(&self.database).run_command(ask).session(&mut self.session).await;
            let done = done.map_err(|e| query_error(&e, "run the command"))?;
            is_written(&done, "run the command")?;
            let affected = done.get("nModified").or_else(|| done.get("n"));
            let affected = affected.map(|count| super::super::catalog::number(Some(count)));
            rows.columns(vec![column]).await;
            rows.row(row(done)?).await;
            return Ok(Ran::Whole(affected));
        }
        let ask = if self.in_transaction { ask } else { self.timed(ask) };
        let database = self.client.database(&self.database);
        let found = database.run_cursor_command(ask).session(&mut self.session).await;
        let mut found = found.map_err(|e| query_error(&e, "run the command"))?;
        rows.columns(vec![column]).await;
        while let Some(document) = found.next(&mut self.session).await {
            if !rows.row(row(document.map_err(|e| query_error(&e, "read documents"))?)?).await {
                return Ok(Ran::Enough);
            }
        }
        Ok(Ran::Whole(None))
    }

    async fn control(&mut self, control: Control) -> Result<()> {
        let done = match control {
            Control::Commit if self.in_transaction => self.session.commit_transaction().await,
            Control::Rollback if self.in_transaction => self.session.abort_transaction().await,
            Control::Commit | Control::Rollback => Ok(()),
            Control::Savepoint(_) | Control::RollbackTo(_) | Control::Release(_) => {
                return Err(Error::new(ErrorKind::Unsupported, "MongoDB has no savepoints"));
            }
        };
        self.in_transaction = false;
        done.map_err(|e| query_error(&e, "end the transaction"))
    }

    fn stop(&self) -> Box<dyn Stop> {
        Box::new(Kill { client: self.client.clone(), session: self.session.id().clone() })
    }

    /// The driver has its connections back already.
    async fn give_back(self) {}

    async fn close(self) {}
}

/// Ends what runs in a session.
struct Kill {
    client: Client,
    session: Document,
}

#[async_trait]
impl Stop for Kill {
    async fn stop(&self) -> Result<()> {
        let ask = doc! { "killSessions": [self.session.clone()] };
        self.client.database("admin").run_command(ask).await.map(drop).map_err(|e| failed(&e, "end a command"))
    }
}

/// An error with the kind that callers of the service branch on.
pub(super) fn query_error(error: &mongodb::error::Error, what: &'static str) -> Error {
    let error = failed(error, what);
    let code: Option<i32> = error.context("code").and_then(|code| code.parse().ok());
    let kind = match code {
        // A value, a type, a field, a stage or a command that does not exist.
        Some(2 | 9 | 14 | 40 | 59 | 72 | 168 | 40324 | 17276) => ErrorKind::InvalidQuery,
        // The session was ended: by us, as it took too long.
        Some(206 | 228 | 251) => ErrorKind::Cancelled,
        _ => return error,
    };
    of_kind(&error, kind, error.message())
}
