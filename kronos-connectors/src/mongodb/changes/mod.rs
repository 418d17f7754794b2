//! What is written while a backup reads: followed from before the first read to after the last one.
//!
//! Two feeds behind one interface. Change streams are the documented way: they work through `mongos`
//! and on services that show no oplog, but tell nothing of time series and of system collections.
//! The oplog tells everything, to whoever may read `local`, on a replica set.
//!
//! Snapshot reads (`atClusterTime`) are no third way. They give one moment only as long as the server
//! keeps the history of it, five minutes unless set otherwise, and some servers take the option and
//! read what is there now; none of this shows in what comes back.
//!
//! What is read must not be older than the moment from which on they are followed: reads ask for
//! `majority`, and where they go to other members than the primary one, for `afterClusterTime` of that
//! moment.

mod entry;
mod fragments;
mod moment;
mod oplog;
mod rolled_over;
mod shared;
mod spool;
mod streams;
mod transaction;
mod wanted;

use std::time::Duration;

use bytes::Bytes;
use kronos_core::{Error, ErrorKind, Result};
use mongodb::Client;
use mongodb::bson::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use self::moment::{Member, Role};
use self::shared::Shared;
use self::spool::Spool;
use super::error::internal;
use super::settings::Changes;

/// So long a feed may take to show that it has got as far as the server. An idle shard tells of
/// itself every ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// A source of changes; named in backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Feed {
    /// Change streams.
    ChangeStream,
    /// `local.oplog.rs`.
    Oplog,
}

/// What is followed.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// These databases; without it all but `admin`, `config` and `local`.
    pub(super) databases: Option<Vec<String>>,
    /// Something is among it of which only the oplog tells: time series, system collections.
    pub(super) only_in_oplog: bool,
}

impl Scope {
    /// Whether changes of this database are wanted.
    fn has(&self, database: &str) -> bool {
        match &self.databases {
            Some(chosen) => chosen.iter().any(|name| name == database),
            None => !matches!(database, "admin" | "config" | "local"),
        }
    }
}

/// Follows a feed in the background. Dropped, it stops, and the driver ends its cursor on the server.
#[derive(Debug)]
pub(super) struct Follower {
    client: Client,
    feed: Feed,
    shared: std::sync::Arc<Shared>,
    tasks: Vec<Task>,
}

/// Ends with whoever holds it.
#[derive(Debug)]
struct Task(JoinHandle<Result<Spool>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Which feed it will be, and the member that was asked; `None`: nothing is wanted, or `Auto` on a
/// standalone server.
async fn choose(client: &Client, wanted: Changes, scope: &Scope) -> Result<Option<(Member, Feed)>> {
    let member = match wanted {
        Changes::None => return Ok(None),
        _ => Member::ask(client).await?,
    };
    let feed = match (wanted, member.role) {
        (Changes::Auto, Role::Standalone) => return Ok(None),
        (_, Role::Standalone) => return Err(unsupported("a standalone server has no log of changes")),
        (Changes::Oplog, Role::Router) => return Err(unsupported("mongos shows no oplog")),
        (Changes::Oplog, _) => Feed::Oplog,
        (Changes::Auto, Role::ReplicaSet) if oplog::is_readable(client).await? => {
            // The role `backup` may read the oplog, and open no change stream.
            let takes_oplog = scope.only_in_oplog || !streams::are_allowed(client, &member, scope).await?;
            if takes_oplog { Feed::Oplog } else { Feed::ChangeStream }
        }
        _ => Feed::ChangeStream,
    };
    Ok(Some((member, feed)))
}

/// Which feed a backup would follow, and whether the user may; `None`: it would follow nothing.
pub(super) async fn outlook(client: &Client, wanted: Changes, scope: &Scope) -> Result<Option<(Feed, bool)>> {
    let Some((member, feed)) = choose(client, wanted, scope).await? else { return Ok(None) };
    let is_allowed = match feed {
        Feed::Oplog => oplog::is_readable(client).await?,
        Feed::ChangeStream => streams::are_allowed(client, &member, scope).await?,
    };
    Ok(Some((feed, is_allowed)))
}

impl Follower {
    /// Returns once it is certain that everything from the moment before it was called on will be
    /// delivered; to be called before the first read. `None`: nothing is wanted, or `Auto` on a
    /// standalone server, which has no log of changes. `Auto` may come to change streams although the
    /// scope has what only the oplog tells of, where the oplog cannot be read: see
    /// [`feed`](Self::feed).
    pub(super) async fn start(client: &Client, wanted: Changes, scope: Scope) -> Result<Option<Self>> {
        // A server that has fallen silent is not waited for without end.
        tokio::time::timeout(PATIENCE * 2, Self::begin(client, wanted, scope)).await.map_err(|_| late())?
    }

    async fn begin(client: &Client, wanted: Changes, scope: Scope) -> Result<Option<Self>> {
        let Some((member, feed)) = choose(client, wanted, &scope).await? else { return Ok(None) };
        let shared = std::sync::Arc::new(Shared::default());
        let tasks = match feed {
            Feed::Oplog => oplog::start(client, &scope, &shared).await,
            Feed::ChangeStream => streams::start(client, &member, &scope, &shared).await,
        };
        let tasks = tasks.map_err(refused)?;
        let tasks = tasks.into_iter().map(|task| Task(tokio::spawn(task))).collect();
        Ok(Some(Self { client: client.clone(), feed, shared, tasks }))
    }

    /// Which source it is.
    pub(super) fn feed(&self) -> Feed {
        self.feed
    }

    /// Whether it has failed already, so that a backup need not go on for nothing; the error comes
    /// out of [`finish`](Self::finish).
    pub(super) fn has_failed(&self) -> bool {
        self.tasks.iter().any(|task| task.0.is_finished())
    }

    /// Everything up to this moment; to be called after the last document was read.
    pub(super) async fn finish(mut self) -> Result<ChangeLog> {
        // All that was read is older than what the server has done last.
        let asked = tokio::time::timeout(PATIENCE, Member::ask(&self.client)).await;
        let to = self.shared.end_at(asked.map_err(|_| late())??.now()?);
        // Where it does not get through, the changes are late.
        let _ = tokio::time::timeout(PATIENCE, moment::poke(&self.client)).await;
        let mut spools = Vec::new();
        for task in &mut self.tasks {
            // A late feed says so itself; this is for one that hangs.
            let ended = tokio::time::timeout(PATIENCE * 2, &mut task.0).await.map_err(|_| late())?;
            spools.push(ended.map_err(|e| internal("following the changes has panicked").with_source(e))??);
        }
        let entries = spools.iter().map(Spool::entries).sum();
        Ok(ChangeLog { to, entries, spools: spools.into_iter(), open: None })
    }
}

/// Everything that was written between two moments.
#[derive(Debug)]
pub(super) struct ChangeLog {
    /// The last moment that is whole.
    pub(super) to: Timestamp,
    /// How many entries there are.
    pub(super) entries: u64,
    spools: std::vec::IntoIter<Spool>,
    open: Option<spool::Reader>,
}

impl ChangeLog {
    /// The next bytes: BSON documents one after another, as the server delivered them.
    pub(super) async fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(open) = &mut self.open
                && let Some(bytes) = open.next().await?
            {
                return Ok(Some(bytes));
            }
            match self.spools.next() {
                Some(spool) => self.open = Some(spool.read().await?),
                None => return Ok(None),
            }
        }
    }
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, message).with("option", "changes")
}

/// What is needed to follow, for people.
pub(super) const NEEDED: &str = "of a replica set the role `backup` of admin is enough, elsewhere `readAnyDatabase` is needed as well; \
     `changes = \"none\"` does without";

fn refused(error: Error) -> Error {
    if error.kind() != ErrorKind::PermissionDenied {
        return error;
    }
    Error::new(ErrorKind::PermissionDenied, "the user may not follow what is written during the backup")
        .with("hint", NEEDED)
        .with_source(error)
}

fn late() -> Error {
    Error::new(ErrorKind::Timeout, "the changes do not catch up with the server")
        .with("after", format!("{} s", PATIENCE.as_secs()))
}
