//! The number of a session. A server that has restarted gives it to somebody else, so it says nothing
//! by itself.

use std::time::{Duration, Instant};

use kronos_core::Result;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::error::failed;

/// The server counts its age in whole seconds.
const SLACK: Duration = Duration::from_secs(1);

/// A session of ours, as its server numbers it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    pub id: u32,
    /// It was there at this time.
    since: Instant,
}

impl Numbered {
    /// A session that is alive.
    pub(super) fn of(connection: &Conn) -> Self {
        Self { id: connection.id(), since: Instant::now() }
    }

    /// Whether the number still means this session, beyond doubt: asked over another one. Of a session
    /// that began within about two seconds of its server nobody can say so.
    pub(super) async fn is_ours(&self, other: &mut Conn) -> Result<bool> {
        let age = self.since.elapsed();
        Ok(uptime(other).await?.is_some_and(|uptime| uptime >= age + SLACK))
    }

    /// Whether the number may still mean this session: asked over another one.
    pub(super) async fn may_be_ours(&self, other: &mut Conn) -> Result<bool> {
        let age = self.since.elapsed();
        // A server that does not tell is taken to be the same.
        Ok(uptime(other).await?.is_none_or(|uptime| uptime + SLACK >= age))
    }
}

async fn uptime(other: &mut Conn) -> Result<Option<Duration>> {
    let told: Option<(String, String)> = other
        .query_first("SHOW GLOBAL STATUS LIKE 'Uptime'")
        .await
        .map_err(|e| failed(e, "ask how long the server has been up"))?;
    Ok(told.and_then(|(_, seconds)| seconds.parse().ok()).map(Duration::from_secs))
}
