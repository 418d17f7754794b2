//! One repository that an intake stores into: what it holds already, and its own account of the
//! run, its own index and metadata.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;

use crate::bugs::Bug;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::repository::damage::Damage;
use crate::repository::index::{PackUse, Root, StoredStream};
use crate::repository::job::Job;
use crate::repository::pack::PackInfo;
use crate::repository::retry::retry;
use crate::run::RunContext;
use crate::stream::StreamInfo;

use super::common::Common;
use super::fetch::Fetcher;
use super::intake::{Offer, Stored};
use super::ledger::{Ledger, PackState, read_table};
use super::meta::ReadyPack;

/// Its job, and all that the run keeps account of there.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(super) job: Job,
    pub(super) parent: Option<(Root, Arc<Fetcher>)>,
    /// What of the parent cannot be used.
    damage: Damage,
    ledger: Mutex<Ledger>,
}

/// What learning needs to know.
pub(super) struct Learning<'a> {
    pub(super) member: usize,
    pub(super) damage: &'a Damage,
    pub(super) common: &'a Mutex<Common>,
}

impl Learning<'_> {
    pub(super) fn common(&self) -> MutexGuard<'_, Common> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination {
    /// Learns what is there already, into the table that all members share. `memory` is for what is
    /// read to this end.
    pub(super) async fn learn(
        (member, job): (usize, &Job),
        run_id: Id,
        offer: Offer,
        memory: u64,
        common: &Mutex<Common>,
        run: &RunContext,
    ) -> Result<Self> {
        let mut ledger = Ledger::new(job, run_id, run);
        let learning = Learning { member, damage: &offer.damage, common };
        let parent = match offer.parent {
            None => None,
            Some(root) => {
                // Most of the memory is for the chunks that will be known, and then for the pipeline.
                let fetcher = |share| Fetcher::new(job, root.packs.iter().copied(), memory / share, run);
                ledger.learn_parent(&root, &fetcher(4), &offer.avoid, &learning).await?;
                let fetcher = fetcher(16);
                Some((root, fetcher))
            }
        };
        for info in offer.adoptable {
            let bad = offer.avoid.contains(&info.id) || offer.damage.is_whole(info.id);
            if !bad && !ledger.by_id.contains_key(&info.id) {
                ledger.adopt(job, info, &learning, run).await;
            }
        }
        Ok(Self { job: job.clone(), parent, damage: offer.damage, ledger: Mutex::new(ledger) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a chunk of a pack that is used for the first time.
    pub(super) fn use_chunk(&self, pack: Id, length: u32) -> Result<()> {
        let mut ledger = self.lock();
        let number = ledger.by_id.get(&pack).copied().ok_or_else(|| Error::internal("the pack of a chunk is gone"))?;
        ledger.packs[number as usize].live += u64::from(length);
        Ok(())
    }

    /// Takes in that a pack of this run has been begun.
    pub(super) fn begin_pack(&self, pack: Id) -> Result<()> {
        let mut ledger = self.lock();
        let number = u32::try_from(ledger.packs.len()).map_err(|_| Error::internal("too many packs"))?;
        ledger.by_id.insert(pack, number);
        ledger.packs.push(PackState { id: pack, info: None, table_copy: None, live: 0, average: 0 });
        Ok(())
    }

    /// Takes in that a pack of this run is there, whole.
    pub(super) fn finish_pack(&self, info: PackInfo, table: &[u8]) -> Result<()> {
        let mut ledger = self.lock();
        let number = ledger.by_id.get(&info.id).copied().ok_or_else(|| Error::internal("a pack was never begun"))?;
        let copy = ledger.meta.store_bytes(table)?;
        ledger.bytes_stored += info.size;
        let state = &mut ledger.packs[number as usize];
        state.info = Some(info);
        state.table_copy = Some(copy);
        Ok(())
    }

    /// The streams of the parent that can be taken over unread: all that their index leads to is
    /// there, as far as is known.
    pub(super) async fn usable_streams(&self) -> Result<BTreeSet<String>> {
        let Some((root, fetcher)) = &self.parent else { return Ok(BTreeSet::new()) };
        let broken = self.lock().broken.clone();
        let touched = root.packs.iter().any(|p| self.damage.touches(p.info.id));
        let mut usable = BTreeSet::new();
        for stream in root.streams.iter().filter(|s| !broken.contains(&s.info.name)) {
            if !touched || self.is_whole(stream, fetcher).await? {
                usable.insert(stream.info.name.clone());
            }
        }
        Ok(usable)
    }

    async fn is_whole(&self, stream: &StoredStream, fetcher: &Arc<Fetcher>) -> Result<bool> {
        let nodes = fetcher.references(stream.levels, &stream.top).await?;
        if nodes.iter().any(|n| self.damage.is_bad(n.pack, n.block)) {
            return Ok(false);
        }
        let mut leaves = std::pin::pin!(fetcher.leaves(&stream.top));
        while let Some(leaf) = leaves.next().await {
            match leaf {
                Ok(leaf) if leaf.spans.iter().any(|s| self.damage.is_bad(s.pack, s.block)) => return Ok(false),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Corrupt => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Takes over a stream of the parent that the connector has proved unchanged.
    pub(super) async fn take_over(&self, info: &StreamInfo) -> Result<StoredStream> {
        let wanted =
            || Error::internal("a stream is called unchanged that the parent has not").with("stream", &info.name);
        let (root, fetcher) = self.parent.as_ref().ok_or_else(wanted)?;
        let stored = root.stream(&info.name).ok_or_else(wanted)?.clone();
        let nodes = fetcher.references(stored.levels, &stored.top).await?;
        let mut leaves = std::pin::pin!(fetcher.leaves(&stored.top));
        while let Some(leaf) = leaves.next().await {
            let leaf = leaf?;
            let mut ledger = self.lock();
            for span in leaf.spans {
                let unknown = || Error::corrupt("the table of a pack cannot be read").with("pack", span.pack);
                let pack = *ledger.by_id.get(&span.pack).ok_or_else(unknown)?;
                let state = &mut ledger.packs[pack as usize];
                state.live += state.average * u64::from(span.count);
            }
        }
        let mut ledger = self.lock();
        for node in &nodes {
            ledger.meta.use_in_place(node);
        }
        Ok(StoredStream { info: info.clone(), ..stored })
    }

    /// Sends the metadata packs that are full.
    pub(super) async fn upload_meta(&self, run: &RunContext) -> Result<()> {
        let ready = self.lock().meta.take_ready();
        for ReadyPack { name, object, info } in ready {
            retry(run, "upload metadata", || self.job.storage().put(&name, object.clone())).await?;
            let mut ledger = self.lock();
            ledger.bytes_stored += info.size;
            ledger.meta_infos.insert(info.id, info);
        }
        Ok(())
    }

    /// Once all data packs are there: sends the rest of the metadata, and says what there is.
    pub(super) async fn finish(&self, run: &RunContext) -> Result<Stored> {
        self.store_missing_tables(run).await?;
        self.lock().meta.close();
        self.upload_meta(run).await?;
        self.result(run)
    }

    /// Copies the tables of adopted packs, and of those whose copy lies in a pack that is left
    /// behind, into the metadata.
    async fn store_missing_tables(&self, run: &RunContext) -> Result<()> {
        let missing: Vec<(usize, PackInfo)> = {
            let ledger = self.lock();
            let lacks = |(n, p): (usize, &PackState)| {
                let info = p.info.filter(|_| p.live > 0 && p.table_copy.is_none())?;
                Some((n, info))
            };
            ledger.packs.iter().enumerate().filter_map(lacks).collect()
        };
        for (number, info) in missing {
            let table = read_table(&self.job, info, run).await?;
            let mut ledger = self.lock();
            let copy = ledger.meta.store_bytes(&table.encode())?;
            ledger.packs[number].table_copy = Some(copy);
        }
        let mut ledger = self.lock();
        let ledger = &mut *ledger;
        for state in ledger.packs.iter().filter(|p| p.live > 0) {
            if let Some(copy) = &state.table_copy {
                ledger.meta.use_in_place(copy);
            }
        }
        Ok(())
    }

    fn result(&self, run: &RunContext) -> Result<Stored> {
        let ledger = self.lock();
        let mut packs = Vec::new();
        for state in ledger.packs.iter().filter(|p| p.live > 0) {
            let info = match state.info {
                Some(info) => info,
                None if run.bugs.has(Bug::CommitBeforeLastUpload) => continue,
                None => return Err(Error::internal("a pack was not finished").with("pack", state.id)),
            };
            packs.push(PackUse { info, live: state.live.min(info.size * 256), table_copy: state.table_copy });
        }
        for (id, live) in ledger.meta.live() {
            let info = ledger.meta_infos.get(id).ok_or_else(|| Error::internal("a metadata pack was not finished"))?;
            packs.push(PackUse { info: *info, live: *live, table_copy: None });
        }
        let reuses = packs.iter().any(|p| ledger.learned.contains(&p.info.id));
        Ok(Stored { packs, added: ledger.bytes_stored, reuses })
    }
}
