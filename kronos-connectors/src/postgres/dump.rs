//! A dump: snapshots that are held, streams that are read out of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kronos_core::{Checkpoint, Dump, DumpRequest, Event, Outline, Result, RunContext, Stream, StreamId};

use crate::servers::streams::Streams;

use super::begin::{Begun, begin};
use super::error::cancelled;
use super::reading::{Common, Held, Reading};
use super::settings::PostgresSettings;

/// A snapshot that is held for longer is worth a warning: the server could not clean up behind it.
const LONG: Duration = Duration::from_hours(6);

/// A server being read.
#[derive(Debug)]
pub(super) struct PostgresDump {
    outline: Outline,
    common: Arc<Common>,
    streams: Streams<Reading>,
    position: Option<String>,
    begun: Instant,
}

impl PostgresDump {
    pub(super) async fn begin(settings: &PostgresSettings, request: &DumpRequest, run: &RunContext) -> Result<Self> {
        run.check_cancelled()?;
        let begun = Instant::now();
        let found = run.cancel.run_until_cancelled(begin(settings, request, run)).await;
        let Begun { outline, common, readings, position, notices } = found.ok_or_else(cancelled)??;
        for message in notices {
            run.emit(&Event::Notice { message });
        }
        Ok(Self { outline, common, streams: Streams::new(readings), position, begun })
    }

    /// Looks whether all snapshots are still held; gives how many transactions began meanwhile.
    async fn held(&self) -> Result<i64> {
        let mut meanwhile = 0;
        for holder in &self.common.holders {
            let checked = holder.check(self.common.settings.read_timeout).await;
            checked.map_err(|e| e.with("database", &holder.database))?;
            meanwhile = meanwhile.max(holder.transactions().await?);
        }
        Ok(meanwhile)
    }

    /// Lets go of everything on the server.
    async fn release(&self) {
        self.common.workers.close().await;
        futures::future::join_all(self.common.holders.iter().map(Held::release)).await;
    }
}

#[async_trait]
impl Dump for PostgresDump {
    fn outline(&self) -> &Outline {
        &self.outline
    }

    async fn open(&self, stream: StreamId) -> Result<Stream> {
        self.streams.open(&self.outline, stream, &self.common.run)
    }

    async fn finish(self: Box<Self>) -> Result<Checkpoint> {
        let ended = async { Ok((self.streams.ended(&self.outline).await?, self.held().await?)) }.await;
        self.release().await;
        let (mut checkpoint, meanwhile) = ended?;
        checkpoint.position.clone_from(&self.position);
        let held = self.begun.elapsed();
        if !self.common.holders.is_empty() {
            let message = effects(held, meanwhile);
            if held > LONG {
                checkpoint.warnings.push(message);
            } else {
                self.common.run.emit(&Event::Notice { message });
            }
        }
        Ok(checkpoint)
    }

    async fn abort(self: Box<Self>) {
        self.streams.abort().await;
        self.release().await;
    }
}

/// What the snapshot meant to the server.
fn effects(held: Duration, transactions: i64) -> String {
    let held = match held.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    };
    format!(
        "the snapshot was held for {held}, in which {transactions} transactions began: what they left behind \
         VACUUM could not clean up until now"
    )
}
