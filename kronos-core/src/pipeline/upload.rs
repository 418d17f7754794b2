//! Uploading one data pack: blocks are appended as they are ready, and sent part by part to each
//! repository that the pack is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use crate::error::{Error, Result};
use crate::id::Id;
use crate::party::Set;
use crate::repository::job::Job;
use crate::repository::pack::{Lies, PackClass, PackInfo, PackSealer, SealedBlock, look_for};
use crate::repository::retry::retry;
use crate::repository::seal::ObjectKey;
use crate::repository::uploading::Uploading;
use crate::run::RunContext;
use crate::storage::Key;

use super::intake::Intake;

/// A pack on its way to the storages.
#[derive(Debug)]
pub(super) struct PackUpload {
    pub(super) id: Id,
    pub(super) key: Arc<ObjectKey>,
    /// The members that it is for.
    pub(super) set: Set,
    name: Key,
    part: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Taken when the pack is finished.
    sealer: Option<PackSealer>,
    buffer: Vec<u8>,
    /// One for each member, once there is something to send.
    lanes: BTreeMap<usize, mpsc::Sender<Sent>>,
}

/// What goes to one member. The bytes are the same for all, and shared.
#[derive(Debug, Clone)]
enum Sent {
    Part(Bytes),
    /// All parts have been sent.
    End(Arc<Ended>),
    /// All of a small pack.
    Whole(Bytes, Arc<Ended>),
}

#[derive(Debug)]
struct Ended {
    info: PackInfo,
    table: Vec<u8>,
}

impl PackUpload {
    /// Begins a pack for some members, who take it in parts or not; nothing is sent yet. `job` is that of
    /// any of them.
    pub(super) fn begin(job: &Job, (set, parts): (Set, bool), run_id: Id, run: &RunContext) -> Result<Self> {
        let (sealer, head) = PackSealer::begin(job, PackClass::Data, run_id, run)?;
        let part = if parts { run.part } else { usize::MAX };
        let (id, name, key) = (sealer.id, sealer.name.clone(), sealer.key.clone());
        let state = State { sealer: Some(sealer), buffer: head, lanes: BTreeMap::new() };
        Ok(Self { id, key, set, name, part, state: Mutex::new(state) })
    }

    /// Appends a block; sends the parts that are full. Gives the bytes of blocks so far.
    pub(super) async fn append(self: &Arc<Self>, intake: &Arc<Intake>, block: &SealedBlock) -> Result<u64> {
        let mut state = self.state.lock().await;
        let sealer = state.sealer.as_mut().ok_or_else(|| Error::internal("a block came after the end of its pack"))?;
        sealer.append(block);
        let written = sealer.written();
        state.buffer.extend_from_slice(&block.bytes);
        while state.buffer.len() > self.part {
            self.send_part(intake, &mut state).await?;
        }
        Ok(written)
    }

    async fn send_part(self: &Arc<Self>, intake: &Arc<Intake>, state: &mut State) -> Result<()> {
        let (part, rest) = state.buffer.split_at(self.part.min(state.buffer.len()));
        // Room for a whole part, so that it need not grow there by doubling.
        let mut next = Vec::with_capacity(if rest.is_empty() { 0 } else { self.part + self.part / 16 });
        next.extend_from_slice(rest);
        let length = part.len();
        state.buffer.truncate(length);
        let part = Bytes::from(std::mem::replace(&mut state.buffer, next));
        self.send(intake, state, &Sent::Part(part)).await
    }

    /// Sends the rest, with the table; the pack exists once its lanes have ended.
    pub(super) async fn finish(self: &Arc<Self>, intake: &Arc<Intake>) -> Result<()> {
        let mut state = self.state.lock().await;
        let sealer = state.sealer.take().ok_or_else(|| Error::internal("a pack was finished twice"))?;
        let (tail, info, table) = sealer.finish();
        let ended = Arc::new(Ended { info, table: table.encode() });
        state.buffer.extend_from_slice(&tail);
        if state.lanes.is_empty() && state.buffer.len() <= self.part {
            let object = Bytes::from(std::mem::take(&mut state.buffer));
            return self.send(intake, &mut state, &Sent::Whole(object, ended)).await;
        }
        while !state.buffer.is_empty() {
            self.send_part(intake, &mut state).await?;
        }
        self.send(intake, &mut state, &Sent::End(ended)).await
    }

    /// Hands something to each lane. Waits until all have room for it.
    async fn send(self: &Arc<Self>, intake: &Arc<Intake>, state: &mut State, sent: &Sent) -> Result<()> {
        intake.run.check_cancelled()?;
        if state.lanes.is_empty() {
            for member in self.set.and(intake.party.live()).iter() {
                // One part is being written and one waits; the next is being filled.
                let (lane, queue) = mpsc::channel(1);
                state.lanes.insert(member, lane);
                intake.send(member, self.clone().follow(intake.clone(), member, queue));
            }
        }
        let steps = state.lanes.iter().map(|(member, lane)| {
            let step = async move {
                // A lane that has gone has told why.
                let _ = lane.send(sent.clone()).await;
                Ok(())
            };
            (*member, step)
        });
        intake.party.together(steps).await?;
        Ok(())
    }

    /// A lane: sends to one member until the pack is whole there, or the member is lost.
    async fn follow(self: Arc<Self>, intake: Arc<Intake>, member: usize, queue: mpsc::Receiver<Sent>) {
        let sent = intake.party.while_live(member, self.send_all(&intake, member, queue)).await;
        if let Some(Err(error)) = sent {
            intake.give_up(member, error);
        }
    }

    async fn send_all(&self, intake: &Intake, member: usize, mut queue: mpsc::Receiver<Sent>) -> Result<()> {
        let to = intake.to.get(&member).ok_or_else(|| Error::internal("a lane to nobody"))?;
        let (job, run) = (&to.job, &intake.run);
        let mut upload = None;
        while let Some(sent) = queue.recv().await {
            run.check_cancelled()?;
            match sent {
                Sent::Whole(object, ended) => {
                    retry(run, "upload a pack", || job.storage().put(&self.name, object.clone())).await?;
                    return to.finish_pack(ended.info, &ended.table);
                }
                Sent::Part(part) => {
                    if upload.is_none() {
                        upload = Some(Uploading::begin(&**job.storage(), &self.name, run).await?);
                    }
                    let Some(upload) = &upload else { return Err(Error::internal("an upload has vanished")) };
                    upload.write(&part).await?;
                }
                Sent::End(ended) => {
                    if let Some(upload) = upload.take()
                        && let Err(error) = upload.finish().await
                    {
                        // The answer may be all that was lost.
                        if !matches!(look_for(job, &ended.info, run).await, Ok(Lies::Whole)) {
                            return Err(error);
                        }
                    }
                    return to.finish_pack(ended.info, &ended.table);
                }
            }
        }
        // The run was given up.
        Ok(())
    }
}
