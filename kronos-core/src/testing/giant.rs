//! The index of a backup that was never made: everything that a huge database leaves in a
//! repository, but for its data.

use crate::error::{Error, Result};
use crate::id::{Digest, Id};
use crate::list::open;
use crate::pipeline::{MetaWriter, keyed_id};
use crate::repository::entry::{Action, Origin, RootRef};
use crate::repository::index::{PackUse, Root, StoredStream, TreeBuilder};
use crate::repository::pack::{BlockEntry, FOOTER, PackClass, PackInfo, Slot, Table};
use crate::repository::{Decision, Repository};
use crate::run::RunContext;
use crate::storage::{Key, Storage};
use crate::stream::{Cutting, Phase, StreamEnd, StreamInfo};

/// The size of a chunk, which is a block as well: that of a stream of about 1 TB.
const CHUNK: u32 = 256 << 10;
const CHUNKS_OF_A_PACK: u32 = 128;

/// Adds a backup of `chunks` chunks of 256 KiB to a job that has one already, in the place of which
/// it steps. `pack` is called for each pack of data that it needs, with its size; nothing of this
/// is ever read but by a restore or a check of the data.
pub async fn add_giant_backup(
    repository: &Repository,
    job: &str,
    chunks: u32,
    run: &RunContext,
    mut pack: impl FnMut(&Key, u64),
) -> Result<()> {
    let (job, state) = open(repository, job, run).await?;
    let latest = state.backups.values().next_back();
    let mut manifest = latest.ok_or_else(|| Error::internal("the job has no backup"))?.manifest.clone();
    let (run_id, key) = (Id(run.random()), repository.key_set().id_key("chunk"));
    let mut meta = MetaWriter::new(&job, run_id, run);
    let mut tree = TreeBuilder::default();
    let mut packs = Vec::new();
    for first in (0..chunks).step_by(CHUNKS_OF_A_PACK as usize) {
        let id = Id(run.random());
        let mut table = Table { run: run_id, blocks: Vec::new() };
        for n in first..chunks.min(first + CHUNKS_OF_A_PACK) {
            let chunk = keyed_id(&key, &n.to_le_bytes());
            let (offset, length) = (u64::from(n - first) * u64::from(CHUNK + 16), CHUNK + 16);
            let slots = vec![Slot { id: chunk, length: CHUNK }];
            tree.push(chunk, CHUNK, (id, n - first, 0), &mut meta)?;
            table.blocks.push(BlockEntry { offset, length, compressed: false, slots });
        }
        let bytes = table.encode();
        let (start, length) = (41, u32::try_from(bytes.len()).unwrap_or(u32::MAX) + 16);
        let region = table.blocks.len() as u64 * u64::from(CHUNK + 16);
        let size = u64::from(start) + region + u64::from(length) + FOOTER as u64;
        let info = PackInfo { id, class: PackClass::Data, size, table: length, start };
        pack(&job.layout().pack(id), size);
        packs.push(PackUse { info, live: region, table_copy: Some(meta.store_bytes(&bytes)?) });
        put_ready(&mut meta, job.storage().as_ref(), &mut packs).await?;
    }
    let (levels, top) = tree.finish(&mut meta)?;
    meta.close();
    put_ready(&mut meta, job.storage().as_ref(), &mut packs).await?;

    let length = u64::from(chunks) * u64::from(CHUNK);
    let mut info = StreamInfo::new("giant");
    (info.phase, info.cutting) = (Phase::Data, Cutting::Pages(4096));
    let end = StreamEnd { length, digest: Digest::of(b"nobody knows"), rows: None };
    let streams = vec![StoredStream { info, end, chunk: CHUNK, levels, top }];
    (manifest.backup, manifest.run, manifest.bytes, manifest.streams) = (Id(run.random()), run_id, length, 1);
    manifest.origin = Origin { repository: repository.id(), backup: manifest.backup };
    let root_id = Id(run.random());
    let root = Root { run: run_id, backup: manifest.backup, streams, packs }.seal(&job, root_id, run)?;
    manifest.root = RootRef { id: root_id, digest: Digest::of(&root) };
    job.storage().put(&job.layout().root(root_id), root.into()).await?;
    let action = Action::Backup(Box::new(manifest));
    job.commit(state, run, |_: &_| Ok(Decision::Commit(action.clone()))).await?;
    Ok(())
}

async fn put_ready(meta: &mut MetaWriter, storage: &dyn Storage, packs: &mut Vec<PackUse>) -> Result<()> {
    for ready in meta.take_ready() {
        storage.put(&ready.name, ready.object).await?;
        packs.push(PackUse { info: ready.info, live: ready.info.size / 2, table_copy: None });
    }
    Ok(())
}
