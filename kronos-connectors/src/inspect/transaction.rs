//! A transaction on a connection that is held until it ends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::inspect::{Effect, Query, QueryResult, Text, Transaction};
use kronos_core::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, Connection, Control, Ran, Statement};
use super::page;
use super::permitted::permitted;
use super::rows::Rows;
use super::running::{Outcome, Wait, joined, start, supervised};
use super::settle::{settle, uncertain};

/// The held connection. It is away while a statement runs on it.
#[derive(Debug)]
pub(super) struct Held<B: Backend> {
    connection: Option<B::Connection>,
    backend: Arc<B>,
    write: bool,
    limit: Duration,
}

impl<B: Backend> Held<B> {
    pub(super) fn new(connection: B::Connection, backend: Arc<B>, write: bool, limit: Duration) -> Self {
        Self { connection: Some(connection), backend, write, limit }
    }

    /// Does `work` on a task of its own. If the caller goes, or the work has to be stopped, the
    /// connection is closed, and with it the transaction is undone.
    async fn run<T: Send + 'static>(
        &mut self,
        limit: Duration,
        work: impl for<'a> FnOnce(&'a mut B::Connection) -> futures::future::BoxFuture<'a, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut connection = self.connection.take().ok_or_else(over)?;
        let (task, _guard) = start(move |gone| {
            Box::pin(async move {
                match supervised(&mut connection, limit, &gone, work).await {
                    Outcome::Ended(Err(error)) if error.kind() == ErrorKind::ConnectionFailed => {
                        connection.close().await;
                        Err(error)
                    }
                    Outcome::Ended(done) if !gone.is_cancelled() => Ok((connection, done)),
                    Outcome::Ended(done) => {
                        connection.close().await;
                        done.and(Err(over()))
                    }
                    Outcome::Stopped(error) => {
                        connection.close().await;
                        Err(error)
                    }
                }
            })
        });
        let (connection, done) = Wait::new(limit).on(joined(task)).await?;
        self.connection = Some(connection);
        done
    }

    async fn end(mut self, control: Control) -> Result<()> {
        let (limit, keeps) = (self.limit, self.write && matches!(control, Control::Commit));
        let ended = self.run(limit, move |connection| Box::pin(connection.control(control))).await;
        let ended = match self.connection.take() {
            Some(connection) => settle(connection, Outcome::Ended(ended)).await,
            None => ended,
        };
        ended.map_err(|error| uncertain(error, keeps))
    }

    async fn mark(&mut self, control: Control) -> Result<()> {
        let marked = self.run(self.limit, move |connection| Box::pin(connection.control(control))).await;
        marked.map_err(|error| self.told(error))
    }

    /// What became of the transaction, if its connection is gone.
    fn told(&self, error: Error) -> Error {
        match self.connection {
            None if error.kind() != ErrorKind::InvalidQuery => error.with("note", "the transaction is undone"),
            _ => error,
        }
    }
}

fn over() -> Error {
    Error::new(ErrorKind::InvalidQuery, "the transaction is over").with("hint", "begin another one")
}

#[async_trait]
impl<B: Backend> Transaction for Held<B> {
    async fn execute(&mut self, query: &Query) -> Result<QueryResult> {
        let Text::Statement(text) = &query.text else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "in a transaction, the rows of a table are read by a SELECT",
            ));
        };
        if query.database.is_some() {
            return Err(Error::new(ErrorKind::Config, "a transaction is in the database that it was begun in"));
        }
        let read = permitted(self.backend.as_ref(), text, query, self.write)?;
        let paged = page::of_statement(self.backend.as_ref(), &read, &query.parameters, &query.page)?;
        let changes = self.write && read.verdict.effect >= Effect::Writes;
        let (mut rows, received) = Rows::channel(true);
        let (limit, statement): (_, Statement) = (query.timeout.unwrap_or(self.limit), paged.statement);
        let ran = self.run(limit, move |connection| {
            Box::pin(async move {
                connection.limit(limit).await?;
                connection.run(&statement, &mut rows).await
            })
        });
        let both = async { Ok(tokio::join!(ran, received.take(paged.skip, paged.take))) };
        let ended = Wait::new(limit).on(both).await.and_then(|(ran, taken)| ran.map(|ran| (ran, taken)));
        let (ran, taken) = ended.map_err(|error| self.told(error))?;
        let affected = match ran {
            Ran::Whole(affected) => affected,
            Ran::Enough => None,
        };
        Ok(super::service::result(taken, affected.filter(|_| changes), query, None, |_, _| None))
    }

    async fn savepoint(&mut self, name: &str) -> Result<()> {
        self.mark(Control::Savepoint(name.to_owned())).await
    }

    async fn rollback_to(&mut self, name: &str) -> Result<()> {
        self.mark(Control::RollbackTo(name.to_owned())).await
    }

    async fn release(&mut self, name: &str) -> Result<()> {
        self.mark(Control::Release(name.to_owned())).await
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.end(Control::Commit).await
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        self.end(Control::Rollback).await
    }
}

impl<B: Backend> Drop for Held<B> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // Outside of a runtime the connection is closed as it is dropped, which undoes it as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let limit = self.limit;
            runtime.spawn(async move {
                let mut connection = connection;
                let gone = CancellationToken::new();
                let undone = supervised(&mut connection, limit, &gone, |connection| {
                    Box::pin(connection.control(Control::Rollback))
                });
                let outcome = undone.await;
                // Nobody is left to be told.
                let _ = settle(connection, outcome).await;
            });
        }
    }
}
