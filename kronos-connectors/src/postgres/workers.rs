//! The sessions that read: each sees what the holder of the snapshot sees.

use std::sync::{Mutex, PoisonError};

use kronos_core::{Error, ErrorKind, Result};

use super::connect::Session;
use super::holder::BEGIN;
use super::names::literal;
use super::settings::PostgresSettings;

/// Sessions that have nothing to do at the moment, by the names of their snapshots.
#[derive(Debug)]
pub(super) struct Workers {
    settings: PostgresSettings,
    idle: Mutex<Vec<(String, Session)>>,
}

impl Workers {
    pub(super) fn new(settings: PostgresSettings) -> Self {
        Self { settings, idle: Mutex::default() }
    }

    /// A session that sees a snapshot of a database. As many as there are readers: one that has
    /// nothing to do elsewhere is ended first.
    pub(super) async fn take(&self, database: &str, snapshot: &str) -> Result<Session> {
        let found = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            match idle.iter().position(|(of, _)| of == snapshot) {
                Some(at) => Some(idle.swap_remove(at)),
                None => idle.pop(),
            }
        };
        match found {
            Some((of, session)) if of == snapshot => return Ok(session),
            Some((_, session)) => session.close().await,
            None => {}
        }
        let mut session = self.settings.open(database).await?;
        session.run("begin the transaction", BEGIN).await?;
        let sql = format!("SET TRANSACTION SNAPSHOT {}", literal(snapshot));
        session.run("take over the snapshot", &sql).await.map_err(without_holder)?;
        Ok(session)
    }

    /// Takes a session back whose transaction is as it was.
    pub(super) fn give_back(&self, snapshot: &str, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((snapshot.to_owned(), session));
    }

    /// Ends those that have nothing to do.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        futures::future::join_all(idle.into_iter().map(|(_, session)| session.close())).await;
    }
}

/// A snapshot ends with the session that has exported it. The server then calls its name invalid (since
/// version 17: unknown), or its process gone.
fn without_holder(error: Error) -> Error {
    match error.context("sqlstate") {
        Some("22023" | "42704" | "55000") => {
            Error::new(ErrorKind::ConnectionFailed, "the session that holds the snapshot is lost").with_source(error)
        }
        _ => error,
    }
}
