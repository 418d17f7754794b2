//! Reading packs: the key, the table, and blocks by range.

use std::ops::Range;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::repository::job::Job;
use crate::repository::retry::retry;
use crate::repository::seal::{self, ObjectKey, TAG};
use crate::repository::unwrap_pack_key;
use crate::run::RunContext;
use crate::storage::Key;

use super::{BlockEntry, FOOTER, FOOTER_MAGIC, PackClass, PackInfo, TABLE_NUMBER, Table};

/// One pack, opened: its keys are known.
#[derive(Debug)]
pub(crate) struct PackReader {
    pub info: PackInfo,
    pub name: Key,
    /// Of the table: always of the meta class, so that a host that may not read data can find
    /// out which chunks are there.
    table_key: ObjectKey,
    /// Of the blocks; absent when these credentials do not read data.
    block_key: Option<ObjectKey>,
}

impl PackReader {
    /// Opens a pack; reads its first bytes only.
    pub(crate) async fn open(job: &Job, info: PackInfo, run: &RunContext) -> Result<Self> {
        let name = name_of(job, info.class, info.id);
        let head = read_range(job, &name, 0..u64::from(info.start), run).await?;
        let (table_key, block_key) = open_keys(job, info.class, &name, &head)?;
        Ok(Self { info, name, table_key, block_key })
    }

    /// Reads and opens the table: the first copy that is good.
    pub(crate) async fn table(&self, job: &Job, run: &RunContext) -> Result<Table> {
        let mut last = self.bad("the pack's sizes do not fit together");
        for copy in 0..self.info.class.copies() {
            let Some(at) = self.info.table_at(copy) else { break };
            match self.table_copy(job, at, run).await {
                Ok(table) => return Ok(table),
                Err(e) if e.kind() == ErrorKind::Corrupt => last = e,
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }

    pub(crate) async fn table_copy(&self, job: &Job, at: u64, run: &RunContext) -> Result<Table> {
        let sealed = read_range(job, &self.name, at..at + u64::from(self.info.table), run).await?;
        let plain = self.table_key.open(TABLE_NUMBER, sealed.to_vec())?;
        Table::decode(&plain).ok_or_else(|| self.bad("the pack's table is malformed"))
    }

    /// Where bytes of a copy of the blocks lie in the object. `range` counts from the beginning of
    /// the blocks.
    pub(crate) fn range(&self, range: &Range<u64>, copy: u64) -> Option<Range<u64>> {
        let region = self.info.region()?;
        let base = u64::from(self.info.start) + copy * region;
        (range.start <= range.end && range.end <= region).then(|| base + range.start..base + range.end)
    }

    /// Opens and decompresses a block, into memory that may have room for it.
    pub(crate) fn open_block(
        &self,
        number: u32,
        entry: &BlockEntry,
        sealed: Vec<u8>,
        room: Vec<u8>,
    ) -> Result<Vec<u8>> {
        if sealed.len() < TAG || sealed.len() != entry.length as usize {
            return Err(self.bad("a block is cut short").with("block", number));
        }
        let key = self.block_key.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::PermissionDenied, "this key can write backups but not read their data")
                .with("object", &self.name)
        })?;
        let text = key.open(u64::from(number), sealed).map_err(|e| e.with("block", number))?;
        let length = usize::try_from(entry.plain()).unwrap_or(usize::MAX);
        let plain = if entry.compressed { seal::decompress(&text, length, room) } else { Some(text) };
        plain
            .filter(|plain| plain.len() == length)
            .ok_or_else(|| self.bad("a block is malformed").with("block", number))
    }

    fn bad(&self, message: &str) -> Error {
        Error::corrupt(message).with("object", &self.name)
    }
}

/// Finds out what a pack is from the object alone: for packs that no index describes.
pub(crate) async fn scan(job: &Job, class: PackClass, id: Id, size: u64, run: &RunContext) -> Result<PackInfo> {
    let name = name_of(job, class, id);
    let bad = |message: &str| Error::corrupt(message).with("object", &name);
    let head = (seal::HEADER + 4) as u64;
    if size < head + FOOTER as u64 {
        return Err(bad("the pack is cut short"));
    }
    let first = read_range(job, &name, 0..head, run).await?;
    let last = read_range(job, &name, size - FOOTER as u64..size, run).await?;
    let (table, region, copies) = parse_footer(&last).ok_or_else(|| bad("the pack's last bytes are damaged"))?;
    let wrapped = u32::from_le_bytes(first[seal::HEADER..].try_into().map_err(|_| bad("the pack is cut short"))?);
    let start = u32::try_from(head).ok().and_then(|h| h.checked_add(wrapped)).ok_or_else(|| bad("bad first bytes"))?;
    let info = PackInfo { id, class, size, table, start };
    if copies != class.copies() || info.region() != Some(region) {
        return Err(bad("the pack's sizes do not fit together"));
    }
    Ok(info)
}

fn parse_footer(bytes: &[u8]) -> Option<(u32, u64, u64)> {
    let (table, rest) = bytes.split_first_chunk::<4>()?;
    let (region, rest) = rest.split_first_chunk::<8>()?;
    let (copies, magic) = rest.split_first()?;
    (magic == FOOTER_MAGIC).then_some((u32::from_le_bytes(*table), u64::from_le_bytes(*region), u64::from(*copies)))
}

/// What lies where a pack should be, by its size alone.
#[derive(Debug)]
pub(crate) enum Lies {
    Whole,
    /// An object of another size.
    Other(u64),
    Nothing(Error),
}

/// Looks for a pack without reading it.
pub(crate) async fn look_for(job: &Job, info: &PackInfo, run: &RunContext) -> Result<Lies> {
    let name = name_of(job, info.class, info.id);
    match retry(run, "look for a pack", || job.storage().head(&name)).await {
        Ok(meta) if meta.size == info.size => Ok(Lies::Whole),
        Ok(meta) => Ok(Lies::Other(meta.size)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Lies::Nothing(e)),
        Err(e) => Err(e),
    }
}

/// The name of a pack's object.
pub(crate) fn name_of(job: &Job, class: PackClass, id: Id) -> Key {
    match class {
        PackClass::Data => job.layout().pack(id),
        PackClass::Meta => job.layout().meta(id),
    }
}

/// The key of the table and, if these credentials read data, that of the blocks.
fn open_keys(job: &Job, class: PackClass, name: &Key, head: &[u8]) -> Result<(ObjectKey, Option<ObjectKey>)> {
    let place = job.place(class.kind(), name.clone());
    let salt = seal::read_header(head, &place)?;
    let wrapped = &head[seal::HEADER..];
    let bad = || Error::corrupt("the pack's first bytes are damaged").with("object", name);
    let (length, wrapped) = wrapped.split_first_chunk::<4>().ok_or_else(bad)?;
    if u32::from_le_bytes(*length) as usize != wrapped.len() {
        return Err(bad());
    }
    let keys = job.repository().key_set();
    let meta = || ObjectKey::derive(keys.meta.bytes(), &salt, &place);
    let identities = job.repository().identities();
    let block_key = match class {
        PackClass::Meta => Some(meta()),
        PackClass::Data if wrapped.is_empty() => keys.data.map(|d| ObjectKey::derive(d.bytes(), &salt, &place)),
        PackClass::Data if identities.is_empty() => None,
        PackClass::Data => {
            let raw = unwrap_pack_key(wrapped, identities)?.ok_or_else(bad)?;
            Some(ObjectKey::from_raw(&raw, &place))
        }
    };
    Ok((meta(), block_key))
}

pub(crate) async fn read_range(job: &Job, name: &Key, range: Range<u64>, run: &RunContext) -> Result<Bytes> {
    let length = range.end - range.start;
    let bytes = retry(run, "read a pack", || job.storage().get_range(name, range.clone())).await.map_err(|e| {
        if e.kind() == ErrorKind::NotFound {
            Error::corrupt("an object is missing").with("object", name).with_source(e)
        } else {
            e
        }
    })?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(Error::corrupt("an object is cut short").with("object", name))
    }
}
