//! A dump: streams that are read several at a time, and what was written meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use kronos_core::{Checkpoint, Dump, DumpRequest, Event, Outline, Result, RunContext, Stream, StreamId};

use crate::servers::streams::Streams;

use super::begin::{Begun, begin};
use super::error::cancelled;
use super::locked::locked;
use super::reading::{Common, Reading};
use super::settings::MongodbSettings;

/// A server being read.
#[derive(Debug)]
pub(super) struct MongodbDump {
    outline: Outline,
    common: Arc<Common>,
    streams: Streams<Reading>,
}

impl MongodbDump {
    pub(super) async fn begin(settings: &MongodbSettings, request: &DumpRequest, run: &RunContext) -> Result<Self> {
        run.check_cancelled()?;
        let found = run.cancel.run_until_cancelled(begin(settings, request, run)).await;
        let Begun { outline, common, readings, notices } = found.ok_or_else(cancelled)??;
        for message in notices {
            run.emit(&Event::Notice { message });
        }
        Ok(Self { outline, common, streams: Streams::new(readings) })
    }
}

#[async_trait]
impl Dump for MongodbDump {
    fn outline(&self) -> &Outline {
        &self.outline
    }

    async fn open(&self, stream: StreamId) -> Result<Stream> {
        self.streams.open(&self.outline, stream, &self.common.run)
    }

    async fn finish(self: Box<Self>) -> Result<Checkpoint> {
        let ended = self.streams.ended(&self.outline).await;
        self.common.release().await;
        let mut checkpoint = ended?;
        checkpoint.position = self.common.position.get().cloned();
        checkpoint.warnings.append(&mut locked(&self.common.warnings));
        Ok(checkpoint)
    }

    async fn abort(self: Box<Self>) {
        self.streams.abort().await;
        self.common.release().await;
    }
}
