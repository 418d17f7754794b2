//! One stream being read: what it holds decides how.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{Result, RunContext, StreamSender};

use crate::servers::streams::{self, Read, Reads};

use super::guard::Guard;
use super::plan::Rows;
use super::settings::MysqlSettings;
use super::tool_dump::Program;
use super::workers::Workers;

/// What the streams of one dump have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub settings: MysqlSettings,
    pub run: RunContext,
    pub workers: Workers,
    /// Keeps tables from being changed.
    pub guard: Guard,
    pub definitions: Definitions,
    /// The place in the binary log that a program has told.
    pub position: std::sync::OnceLock<String>,
}

/// The definitions of tables, by database and name, as the backup has them.
pub(super) type Definitions = BTreeMap<(String, String), Vec<u8>>;

/// What is read into a stream.
#[derive(Debug)]
pub(super) enum Task {
    /// What has been read already, for it is of the moment when the snapshots were opened.
    Ready(Bytes),
    Rows(Rows),
    Program(Program),
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
            Task::Rows(rows) => self.rows(rows, sender).await.map(Read::of_rows),
            Task::Program(program) => self.program(program, sender).await.map(|()| Read::default()),
            Task::Ready(bytes) => streams::send(bytes, sender).await.map(|()| Read::default()),
        }
    }
}

impl Common {
    /// Lets go of everything on the server.
    pub(super) async fn release(&self) {
        self.workers.close().await;
        self.guard.release().await;
    }
}
