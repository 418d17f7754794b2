//! One stream being read: what it holds decides how.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use kronos_core::{Error, Result, RunContext, StreamSender};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::servers::streams::{Read, Reads};

use super::catalog::{self, Relation};
use super::connect::Session;
use super::error::internal;
use super::large_objects::{self, Numbers};
use super::names::{conninfo, pattern};
use super::plan::{Range, Sequence};
use super::settings::PostgresSettings;
use super::tools::Tool;
use super::workers::Workers;

/// What a program writes is handed on in pieces of this size.
const PIECE: usize = 256 << 10;

/// What the streams of one dump have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub settings: PostgresSettings,
    pub run: RunContext,
    pub workers: Workers,
    pub holders: Vec<Held>,
}

/// A snapshot that is held, while its streams are read.
#[derive(Debug)]
pub(super) struct Held {
    pub database: String,
    pub snapshot: String,
    pub encoding: String,
    /// Has nothing to do but to hold; `None` once it was given up.
    pub session: Mutex<Option<Session>>,
}

/// What is read into a stream.
#[derive(Debug, Clone)]
pub(super) enum Task {
    Globals {
        tool: Tool,
        passwords: bool,
    },
    Schema {
        tool: Tool,
    },
    /// The schema without a snapshot, for what it says of the database itself.
    Definition {
        tool: Tool,
        database: String,
    },
    Rows {
        relation: Relation,
        range: Option<Range>,
    },
    Sequences {
        sequences: Vec<Relation>,
    },
    LargeObjects {
        numbers: Numbers,
    },
    Dump {
        tool: Tool,
        database: String,
        without: Vec<Relation>,
    },
}

/// One stream being read.
#[derive(Debug)]
pub(super) struct Reading {
    pub dump: Arc<Common>,
    /// Which of the holders; of none for what is of the server.
    pub holder: Option<usize>,
    pub task: Task,
}

#[async_trait]
impl Reads for Reading {
    async fn read(&self, sender: &mut StreamSender) -> Result<Read> {
        match &self.task {
            Task::Rows { relation, range } => self.rows(relation, *range, sender).await.map(Read::of_rows),
            Task::Sequences { sequences } => self.sequences(sequences, sender).await.map(|()| Read::default()),
            Task::LargeObjects { numbers } => {
                let holder = self.holder()?;
                let mut worker = self.dump.workers.take(&holder.database, &holder.snapshot).await?;
                let count = large_objects::send(&mut worker, *numbers, sender).await?;
                self.dump.workers.give_back(&holder.snapshot, worker);
                Ok(Read::of_rows(count))
            }
            Task::Schema { tool } => self.schema(tool, sender).await,
            Task::Definition { tool, database } => {
                let mut command = self.archive(tool, database);
                command.arg("--section=pre-data");
                self.program(tool, &mut command, sender).await
            }
            Task::Globals { tool, passwords } => self.globals(tool, *passwords, sender).await,
            Task::Dump { tool, database, without } => self.whole(tool, database, without, sender).await,
        }
    }
}

impl Reading {
    pub(super) fn holder(&self) -> Result<&Held> {
        self.holder.and_then(|at| self.dump.holders.get(at)).ok_or_else(|| internal("a stream without a snapshot"))
    }

    /// An error when the snapshot is gone.
    pub(super) async fn still_held(&self) -> Result<()> {
        self.holder()?.check(self.dump.settings.read_timeout).await
    }

    async fn sequences(&self, sequences: &[Relation], sender: &mut StreamSender) -> Result<()> {
        let holder = self.holder()?;
        let mut worker = self.dump.workers.take(&holder.database, &holder.snapshot).await?;
        let values = catalog::sequence_values(&mut worker, sequences).await?;
        self.dump.workers.give_back(&holder.snapshot, worker);
        let mut lines = Vec::new();
        for (sequence, (last, called)) in sequences.iter().zip(values) {
            let line = Sequence { schema: sequence.schema.clone(), name: sequence.name.clone(), last, called };
            serde_json::to_writer(&mut lines, &line).map_err(|e| internal("JSON").with_source(e))?;
            lines.push(b'\n');
        }
        sender.send(Bytes::from(lines)).await
    }

    /// Everything but rows. Not `--schema-only`: that would leave out owners and rights of large
    /// objects, and which views have to be refreshed.
    async fn schema(&self, tool: &Tool, sender: &mut StreamSender) -> Result<Read> {
        let holder = self.holder()?;
        let mut command = self.archive(tool, &holder.database);
        command.args(["--section=pre-data", "--section=post-data"]).arg(format!("--snapshot={}", holder.snapshot));
        self.program(tool, &mut command, sender).await
    }

    async fn whole(
        &self,
        tool: &Tool,
        database: &str,
        without: &[Relation],
        sender: &mut StreamSender,
    ) -> Result<Read> {
        let mut command = self.archive(tool, database);
        for relation in without {
            command.arg(format!("--exclude-table-data={}", pattern(&relation.schema, &relation.name)));
        }
        self.program(tool, &mut command, sender).await
    }

    /// `pg_dump`, without compression: Kronos compresses, after it has looked for what is new.
    fn archive(&self, tool: &Tool, database: &str) -> Command {
        let mut command = tool.command(&self.dump.settings);
        command.args(["--format=custom", "--compress=0", "--no-password"]);
        command.arg(format!("--lock-wait-timeout={}", self.dump.settings.lock_timeout.as_millis()));
        command.arg(format!("--dbname={}", conninfo(database)));
        command
    }

    async fn globals(&self, tool: &Tool, passwords: bool, sender: &mut StreamSender) -> Result<Read> {
        let mut command = tool.command(&self.dump.settings);
        command.args(["--globals-only", "--no-password"]);
        command.arg(format!("--dbname={}", conninfo(&self.dump.settings.maintenance_database)));
        if !passwords {
            command.arg("--no-role-passwords");
        }
        // A key that is another each time would make the stream another each time.
        if tool.knows("--restrict-key").await {
            command.arg("--restrict-key=kronos");
        }
        self.program(tool, &mut command, sender).await
    }

    /// Sends what a program writes. Only if it ended well, the stream does.
    async fn program(&self, tool: &Tool, command: &mut Command, sender: &mut StreamSender) -> Result<Read> {
        let mut running = tool.start(command)?;
        let mut output = running.child.stdout.take().ok_or_else(|| internal("a program without an output"))?;
        let mut piece = BytesMut::with_capacity(PIECE);
        let broken = |e| Error::new(kronos_core::ErrorKind::Io, "a program's output could not be read").with_source(e);
        while output.read_buf(&mut piece).await.map_err(broken)? > 0 {
            if piece.len() == piece.capacity() {
                sender.send(std::mem::replace(&mut piece, BytesMut::with_capacity(PIECE)).freeze()).await?;
            }
        }
        let warnings = running.ended().await?;
        if !piece.is_empty() {
            sender.send(piece.freeze()).await?;
        }
        Ok(Read { rows: None, warnings })
    }
}

impl Held {
    /// An error when the snapshot is gone, or nothing is heard of it for so long.
    pub(super) async fn check(&self, wait: Duration) -> Result<()> {
        let mut session = self.session.lock().await;
        let session = session.as_mut().ok_or_else(|| internal("the snapshot has been given up"))?;
        let asked = session.row(
            "see whether the snapshot is still held",
            "SELECT current_setting('transaction_isolation') = 'repeatable read'",
        );
        let answer = tokio::time::timeout(wait, asked).await;
        let (same,): (bool,) = answer.map_err(|_| super::read_rows::silent(wait))??;
        if same { Ok(()) } else { Err(internal("the transaction that held the snapshot has ended")) }
    }

    /// How many transactions have begun on the server since the snapshot was taken.
    pub(super) async fn transactions(&self) -> Result<i64> {
        let mut session = self.session.lock().await;
        let session = session.as_mut().ok_or_else(|| internal("the snapshot has been given up"))?;
        // In a transaction the present is what it is when it is first asked for; nobody has before.
        let sql = "SELECT coalesce(max(pg_catalog.age(backend_xmin)), 0)::int8 FROM pg_catalog.pg_stat_activity \
            WHERE pid = pg_catalog.pg_backend_pid()";
        session.row("ask how many transactions there were", sql).await.map(|(count,)| count)
    }

    /// Ends the transaction.
    pub(super) async fn release(&self) {
        if let Some(session) = self.session.lock().await.take() {
            session.close().await;
        }
    }
}
