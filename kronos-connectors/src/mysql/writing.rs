//! The sessions that write for a restore, and the undoing of what they made.

use kronos_core::Result;

use super::allowed::keep_as_is;
use super::connect::Session;
use super::globals;
use super::journal;
use super::restore::{DDL, MysqlRestore, locked};

/// Rows of several streams of a table may have to wait for each other.
const PATIENCE: u32 = 1_000_000;

impl MysqlRestore {
    /// A session that writes.
    pub(super) async fn take(&self) -> Result<Session> {
        let found = locked(&self.sessions).pop();
        let session = match found {
            Some(session) => session,
            None => self.open().await?,
        };
        locked(&self.at_work).insert(session.connection.id());
        Ok(session)
    }

    pub(super) async fn open(&self) -> Result<Session> {
        let mut session = self.settings.open().await?;
        let what = "prepare the session";
        session
            .run(what, &format!("SET SESSION innodb_lock_wait_timeout = {PATIENCE}, lock_wait_timeout = {DDL}"))
            .await?;
        if session.server.is_mariadb_since(10, 11) {
            session.run(what, "SET SESSION system_versioning_insert_history = ON").await?;
        }
        keep_as_is(&mut session).await?;
        if !self.settings.binlog {
            let off = session.run(what, "SET SESSION sql_log_bin = OFF").await;
            off.map_err(|e| e.with("hint", "`binlog = \"on\"` writes the restore into the binary log"))?;
        }
        journal::begin_writing(&mut session, &self.token).await?;
        Ok(session)
    }

    /// Takes a session back that has nothing open.
    pub(super) fn give_back(&self, session: Session) {
        locked(&self.at_work).remove(&session.connection.id());
        locked(&self.sessions).push(session);
    }

    /// Ends the sessions.
    pub(super) async fn end(&self) {
        let sessions = std::mem::take(&mut *locked(&self.sessions));
        futures::future::join_all(sessions.into_iter().map(Session::close)).await;
        if let Some(session) = self.living.lock().await.take() {
            session.close().await;
        }
    }

    /// Removes what was made.
    pub(super) async fn remove(&self) -> Result<()> {
        let sessions = std::mem::take(&mut *locked(&self.sessions));
        futures::future::join_all(sessions.into_iter().map(Session::close)).await;
        let mut session = self.settings.open().await?;
        // The server may wait for more rows from one that will never be heard of again.
        let at_work = std::mem::take(&mut *locked(&self.at_work));
        for former in at_work {
            journal::end_writing(&mut session, &self.token, former).await?;
        }
        for building in &self.buildings {
            building.undo(&mut session).await?;
        }
        let made = std::mem::take(&mut *locked(&self.made));
        globals::undo(&mut session, &made).await?;
        session.close().await;
        Ok(())
    }
}
