//! Waiting for statements that may take long: as long as the server is at work on them, and no longer;
//! and for the server's programs, as long as it can be reached.

use std::time::Duration;

use kronos_core::{ErrorKind, Result};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::error::{failed, has_code, is_lost, silent};
use super::numbered::Numbered;
use super::settings::MysqlSettings;

/// An answer may be on its way while it is asked what became of it.
const GRACE: Duration = Duration::from_secs(1);
/// With these a server that is alive lets nobody else in.
const CROWDED: [u16; 3] = [1040, 1203, 1226];

/// Looks after one session over another one.
#[derive(Debug)]
pub(super) struct Watch {
    settings: Box<MysqlSettings>,
    /// Of the session.
    number: Numbered,
}

impl Watch {
    pub(super) fn new(settings: &MysqlSettings, connection: &Conn) -> Self {
        Self { settings: Box::new(settings.clone()), number: Numbered::of(connection) }
    }

    /// Waits for an answer. Nobody can tell a statement that takes hours from a network that has died
    /// without a word, but the server can.
    pub(super) async fn attend<T>(&self, answer: impl Future<Output = T>) -> Result<T> {
        let mut answer = std::pin::pin!(answer);
        let wait = self.settings.read_timeout;
        loop {
            if let Ok(answer) = tokio::time::timeout(wait, &mut answer).await {
                return Ok(answer);
            }
            if !self.is_at_work().await? {
                return tokio::time::timeout(GRACE, &mut answer).await.map_err(|_| silent(wait));
            }
        }
    }

    async fn is_at_work(&self) -> Result<bool> {
        let asked = async {
            let mut other = self.settings.connect().await?;
            let sql = format!(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {} AND command <> 'Sleep'",
                self.number.id
            );
            let what = "look after a statement";
            let found: Option<u64> = other.query_first(sql).await.map_err(|e| failed(e, what))?;
            let is_same = self.number.may_be_ours(&mut other).await?;
            // That it may be gone already is no matter.
            let _ = other.disconnect().await;
            Ok(is_same && found.unwrap_or_default() > 0)
        };
        match tokio::time::timeout(self.settings.connect_timeout + GRACE, asked).await {
            Err(_) => Ok(false),
            Ok(Err(error)) if has_code(&error, &CROWDED) => Ok(true),
            Ok(Err(error)) if is_lost(&error) => Ok(false),
            Ok(done) => done,
        }
    }
}

impl MysqlSettings {
    /// Waits for what a program of the server does. By itself it would wait for hours for a server that
    /// cannot be reached any more.
    pub(super) async fn while_reached<T>(&self, doing: impl Future<Output = T>) -> Result<T> {
        let mut doing = std::pin::pin!(doing);
        loop {
            if let Ok(done) = tokio::time::timeout(self.read_timeout, &mut doing).await {
                return Ok(done);
            }
            self.reach().await?;
        }
    }

    async fn reach(&self) -> Result<()> {
        let asked = async {
            let other = self.connect().await?;
            // That it may be gone already is no matter.
            let _ = other.disconnect().await;
            Ok(())
        };
        match tokio::time::timeout(self.connect_timeout + GRACE, asked).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if has_code(&error, &CROWDED) => Ok(()),
            // Whoever refuses is there.
            Ok(Err(error)) if ![ErrorKind::ConnectionFailed, ErrorKind::Timeout].contains(&error.kind()) => Ok(()),
            _ => Err(silent(self.read_timeout)),
        }
    }
}
