//! Uploading one data pack: blocks are appended as they are ready and sent part by part.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::error::{Error, Result};
use crate::id::Id;
use crate::repository::job::Job;
use crate::repository::pack::{Lies, PackClass, PackInfo, PackSealer, SealedBlock, Table, look_for};
use crate::repository::retry::retry;
use crate::repository::seal::ObjectKey;
use crate::run::RunContext;
use crate::storage::{Key, Upload};

/// Parts are this large, but for small packs (tests): the least that S3 takes, for two of them and
/// the next one are in memory at a time.
const PART: usize = 5 << 20;

/// A pack on its way to the storage.
#[derive(Debug)]
pub(crate) struct PackUpload {
    pub id: Id,
    pub name: Key,
    pub key: Arc<ObjectKey>,
    part: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Taken when the pack is finished.
    sealer: Option<PackSealer>,
    buffer: Vec<u8>,
    upload: Option<Box<dyn Upload>>,
}

impl PackUpload {
    /// Begins a pack; nothing is sent yet.
    pub(crate) fn begin(job: &Job, run_id: Id, run: &RunContext) -> Result<Self> {
        let (sealer, head) = PackSealer::begin(job, PackClass::Data, run_id, run)?;
        // A storage that takes no parts gets each pack as a whole.
        let small = job.repository().chunker().pack as usize / 2;
        let part = if job.repository().takes_parts() { PART.min(small) } else { usize::MAX };
        let (id, name, key) = (sealer.id, sealer.name.clone(), sealer.key.clone());
        Ok(Self { id, name, key, part, state: Mutex::new(State { sealer: Some(sealer), buffer: head, upload: None }) })
    }

    /// Appends a block; sends the parts that are full. Gives the bytes of blocks so far.
    pub(crate) async fn append(&self, job: &Job, block: &SealedBlock, run: &RunContext) -> Result<u64> {
        let mut state = self.state.lock().await;
        let sealer = state.sealer.as_mut().ok_or_else(|| Error::internal("a block came after the end of its pack"))?;
        sealer.append(block);
        let written = sealer.written();
        state.buffer.extend_from_slice(&block.bytes);
        while state.buffer.len() > self.part {
            self.send_part(job, &mut state, run).await?;
        }
        Ok(written)
    }

    async fn send_part(&self, job: &Job, state: &mut State, run: &RunContext) -> Result<()> {
        if state.upload.is_none() {
            let begun = retry(run, "begin an upload", || job.storage().begin_upload(&self.name)).await?;
            state.upload = Some(begun);
        }
        let (part, rest) = state.buffer.split_at(self.part.min(state.buffer.len()));
        // Room for a whole part, so that it need not grow there by doubling.
        let mut next = Vec::with_capacity(if rest.is_empty() { 0 } else { self.part + self.part / 16 });
        next.extend_from_slice(rest);
        let length = part.len();
        state.buffer.truncate(length);
        let part = Bytes::from(std::mem::replace(&mut state.buffer, next));
        run.check_cancelled()?;
        let Some(upload) = &mut state.upload else { return Err(Error::internal("an upload has vanished")) };
        let upload = Mutex::new(upload);
        retry(run, "upload a part", || async { upload.lock().await.write(part.clone()).await }).await
    }

    /// Sends the rest, with the table; the pack exists afterwards.
    pub(crate) async fn finish(&self, job: &Job, run: &RunContext) -> Result<(PackInfo, Table)> {
        let mut state = self.state.lock().await;
        let sealer = state.sealer.take().ok_or_else(|| Error::internal("a pack was finished twice"))?;
        let (tail, info, table) = sealer.finish();
        state.buffer.extend_from_slice(&tail);
        if state.upload.is_none() && state.buffer.len() <= self.part {
            let object = Bytes::from(std::mem::take(&mut state.buffer));
            retry(run, "upload a pack", || job.storage().put(&self.name, object.clone())).await?;
            return Ok((info, table));
        }
        while !state.buffer.is_empty() {
            self.send_part(job, &mut state, run).await?;
        }
        if let Some(upload) = state.upload.take() {
            let upload = Mutex::new(upload);
            let finished = retry(run, "end an upload", || async { upload.lock().await.finish().await }).await;
            if let Err(error) = finished {
                // The answer may be all that was lost.
                if !matches!(look_for(job, &info, run).await, Ok(Lies::Whole)) {
                    return Err(error);
                }
            }
        }
        Ok((info, table))
    }
}
