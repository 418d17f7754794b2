//! What is read into one stream, and what all streams of a dump have in common.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{Result, RunContext, StreamSender};

use crate::servers::streams::{self, Read, Reads};

use super::catalog;
use super::changes::{Feed, Follower};
use super::connect::Server;
use super::content::Documents;
use super::locked::locked;
use super::pace::Pace;
use super::plan::Part;
use super::replay::{Chosen, Copied, Rehearsal};
use super::tool_dump::Program;

/// What the streams of one dump have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub server: Server,
    pub run: RunContext,
    pub pace: Pace,
    /// Follows what is written.
    pub follower: tokio::sync::Mutex<Option<Follower>>,
    /// Up to where what was written is part of the backup.
    pub position: OnceLock<String>,
    /// What the user should know at the end.
    pub warnings: Mutex<Vec<String>>,
    /// Collections of which something was read when their names were no longer theirs.
    pub doubtful: Mutex<BTreeSet<(String, String)>>,
}

/// What is read into a stream.
#[derive(Debug)]
pub(super) enum Task {
    /// What has been read already.
    Ready(Bytes),
    Documents {
        part: Part,
        /// How many are asked for at a time.
        batch: u32,
        /// Which collection is meant, where the server tells.
        uuid: Option<[u8; 16]>,
    },
    /// What a program writes.
    Program(Box<Program>),
    /// What was written while documents were read.
    Changes(Box<Expected>),
}

/// What the changes are about.
#[derive(Debug)]
pub(super) struct Expected {
    pub feed: Feed,
    pub chosen: Chosen,
    /// The collections that are read.
    pub copied: Vec<Copied>,
}

/// One stream being read.
#[derive(Debug)]
pub(super) struct Reading {
    pub dump: Arc<Common>,
    pub task: Task,
}

#[async_trait]
impl Reads for Reading {
    async fn read(&self, sender: &mut StreamSender) -> Result<Read> {
        match &self.task {
            Task::Documents { part, batch, uuid } => {
                let lap = self.dump.pace.begin();
                let is_followed = self.dump.is_followed().await?;
                let count = self.documents(part, *batch, sender).await?;
                if is_followed {
                    self.dump.identify(part, *uuid).await?;
                }
                lap.done();
                Ok(Read::of_rows(count))
            }
            Task::Program(program) => self.program(program, sender).await.map(Read::of_rows),
            Task::Changes(expected) => self.changes(expected, sender).await.map(Read::of_rows),
            Task::Ready(bytes) => streams::send(bytes, sender).await.map(|()| Read::default()),
        }
    }
}

impl Reading {
    /// Waits for the last document, and sends what was written up to then; gives the number of entries.
    async fn changes(&self, expected: &Expected, sender: &mut StreamSender) -> Result<u64> {
        self.dump.pace.all().await?;
        let follower = self.dump.follower.lock().await.take();
        let follower = follower.ok_or_else(|| super::error::internal("changes that nobody has followed"))?;
        let mut log = follower.finish().await?;
        let position = format!("{}:{}", log.to.time, log.to.increment);
        // Each stream is opened once.
        let _ = self.dump.position.set(position);
        let mut rehearsal = self.dump.rehearsal(expected);
        let mut entries = Documents::default();
        while let Some(bytes) = log.next_chunk().await? {
            entries.push(&bytes);
            while let Some(entry) = entries.next()? {
                rehearsal.entry(&entry)?;
            }
            sender.send(bytes).await?;
        }
        entries.finish()?;
        locked(&self.dump.warnings).extend(rehearsal.finish()?);
        Ok(log.entries)
    }
}

impl Common {
    /// Whether changes are followed. Fails with what that has failed with: nothing that is read is of
    /// use then.
    async fn is_followed(&self) -> Result<bool> {
        let mut follower = self.follower.lock().await;
        if follower.as_ref().is_some_and(Follower::has_failed)
            && let Some(failed) = follower.take()
        {
            failed.finish().await?;
            return Err(super::error::internal("the changes ended before the last document was read"));
        }
        Ok(follower.is_some())
    }

    /// Looks whether what was just read was of the collection that was meant: its name may have become
    /// that of another one.
    async fn identify(&self, part: &Part, uuid: Option<[u8; 16]>) -> Result<()> {
        if uuid.is_some() && catalog::uuid(&self.server, &part.database, &part.collection).await? != uuid {
            locked(&self.doubtful).insert((part.database.clone(), part.collection.clone()));
        }
        Ok(())
    }

    pub(super) fn rehearsal(&self, expected: &Expected) -> Rehearsal {
        let doubtful = locked(&self.doubtful);
        let is_doubtful =
            |database: &str, collection: &str| doubtful.contains(&(database.to_owned(), collection.to_owned()));
        let copied = expected.copied.iter().map(|copied| copied.clone().unless(is_doubtful));
        Rehearsal::new(expected.feed, expected.chosen.clone(), copied)
    }

    /// Lets go of everything on the server.
    pub(super) async fn release(&self) {
        drop(self.follower.lock().await.take());
        self.server.clone().close().await;
    }
}
