//! A dump: sessions that see one moment, streams that are read by them.

use std::sync::Arc;

use async_trait::async_trait;
use kronos_core::{Checkpoint, Dump, DumpRequest, Event, Outline, Result, RunContext, Stream, StreamId};

use crate::servers::streams::Streams;

use super::begin::{Begun, begin};
use super::error::cancelled;
use super::reading::{Common, Reading};
use super::settings::MysqlSettings;

/// A server being read.
#[derive(Debug)]
pub(super) struct MysqlDump {
    outline: Outline,
    common: Arc<Common>,
    streams: Streams<Reading>,
    position: Option<String>,
}

impl MysqlDump {
    pub(super) async fn begin(settings: &MysqlSettings, request: &DumpRequest, run: &RunContext) -> Result<Self> {
        run.check_cancelled()?;
        let found = run.cancel.run_until_cancelled(begin(settings, request, run)).await;
        let Begun { outline, common, readings, position, notices } = found.ok_or_else(cancelled)??;
        for message in notices {
            run.emit(&Event::Notice { message });
        }
        Ok(Self { outline, common, streams: Streams::new(readings), position })
    }
}

#[async_trait]
impl Dump for MysqlDump {
    fn outline(&self) -> &Outline {
        &self.outline
    }

    async fn open(&self, stream: StreamId) -> Result<Stream> {
        self.streams.open(&self.outline, stream, &self.common.run)
    }

    async fn finish(self: Box<Self>) -> Result<Checkpoint> {
        let ended = self.streams.ended(&self.outline).await;
        let position = self.position.clone().or_else(|| self.common.position.get().cloned());
        self.common.release().await;
        ended.map(|checkpoint| Checkpoint { position, ..checkpoint })
    }

    async fn abort(self: Box<Self>) {
        self.streams.abort().await;
        self.common.release().await;
    }
}
