//! Checking one pack: that it is there, whole, and says of itself what the indexes say of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;

use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::pipeline::Fetcher;
use crate::repository::damage::Damage;
use crate::repository::index::PackUse;
use crate::repository::job::Job;
use crate::repository::pack::{BlockEntry, Lies, PackClass, PackReader, Table, look_for, name_of, read_range, scan};
use crate::run::RunContext;

use super::{CheckReport, ReadData, is_damage};

/// What was found out about a pack.
#[derive(Debug, Default)]
pub(super) struct PackCheck {
    /// What of it is bad.
    pub damage: Damage,
    /// Every byte has been read.
    read: bool,
    problems: usize,
}

impl PackCheck {
    /// Every byte of it has been found good.
    pub(super) fn proven(&self) -> bool {
        self.read && self.problems == 0
    }
}

pub(super) async fn check_pack(
    job: &Job,
    used: &PackUse,
    fetcher: &Fetcher,
    read: ReadData,
    report: &mut CheckReport,
    run: &RunContext,
) -> Result<PackCheck> {
    run.check_cancelled()?;
    report.objects += 1;
    let info = used.info;
    let name = name_of(job, info.class, info.id);
    let mut found = PackCheck::default();
    let lost = match look_for(job, &info, run).await? {
        Lies::Whole => None,
        Lies::Other(size) => Some(format!("it has {size} bytes instead of {}", info.size)),
        Lies::Nothing(_) => Some("it is missing".to_owned()),
    };
    if let Some(message) = lost {
        report.problem(&name, message);
        found.damage.add_pack(info.id);
        return Ok(found);
    }
    let reads = match read {
        _ if info.class == PackClass::Meta => true,
        ReadData::No => false,
        ReadData::All => true,
        ReadData::Sample(share) => f64::from(u16::from_le_bytes(run.random())) < share * f64::from(u16::MAX),
    };
    if reads {
        let before = report.problems.len();
        match read_pack(job, used, fetcher, &mut found.damage, report, run).await {
            Ok(()) => found.read = true,
            // Without its first bytes no block can be opened.
            Err(e) if is_damage(e.kind()) => {
                report.problem(&name, &e);
                found.damage.add_pack(info.id);
            }
            Err(e) if e.kind() == ErrorKind::PermissionDenied && e.context("object").is_some() => {
                report.note(&name, e.message());
            }
            Err(e) => return Err(e),
        }
        found.problems = report.problems.len() - before;
        if found.problems > 0 {
            found.damage.add_scar(info.id);
        }
    }
    Ok(found)
}

/// Reads every byte of a pack: head, footer, each copy of the table and of each block.
async fn read_pack(
    job: &Job,
    used: &PackUse,
    fetcher: &Fetcher,
    damage: &mut Damage,
    report: &mut CheckReport,
    run: &RunContext,
) -> Result<()> {
    let info = used.info;
    let found = scan(job, info.class, info.id, info.size, run).await;
    let reader = Arc::new(PackReader::open(job, info, run).await?);
    match found {
        Ok(found) if found == info => {}
        Ok(_) => report.problem(&reader.name, "its last bytes say something else than the index"),
        Err(e) if is_damage(e.kind()) => report.problem(&reader.name, e.message()),
        Err(e) => return Err(e),
    }
    let Some(blocks) = blocks(job, &reader, fetcher, report, run).await? else {
        damage.add_pack(info.id);
        return Ok(());
    };
    let copies = info.class.copies();
    let mut covered = 0;
    let mut bad: BTreeMap<u32, u64> = BTreeMap::new();
    let each = (0u32..).zip(blocks).flat_map(|(n, entry)| (0..copies).map(move |copy| (n, entry.clone(), copy)));
    let mut opened = std::pin::pin!(
        futures::stream::iter(each)
            .map(|(number, entry, copy)| {
                let reader = reader.clone();
                async move {
                    let read = async {
                        let Some(range) = reader.range(&entry.range(), copy) else {
                            return Err(Error::corrupt("a block lies outside its pack").with("block", number));
                        };
                        let sealed = read_range(job, &reader.name, range, run).await?;
                        let length = sealed.len() as u64;
                        let (sealed, room) = (sealed.to_vec(), Vec::new());
                        let open = move || reader.open_block(number, &entry, sealed, room).map(|_| ());
                        run.compute(open).await??;
                        Ok(length)
                    };
                    (number, read.await)
                }
            })
            .buffer_unordered(run.limits.threads + 1)
    );
    while let Some((number, result)) = opened.next().await {
        match result {
            Ok(bytes) => {
                covered += bytes;
                run.emit(&Event::Progress { bytes, stored: bytes });
            }
            Err(e) if is_damage(e.kind()) => {
                report.problem(&reader.name, &e);
                *bad.entry(number).or_default() += 1;
            }
            Err(e) => return Err(e),
        }
    }
    report.bytes_read += covered;
    if bad.is_empty() && Some(covered) != info.region().map(|r| r * copies) {
        report.problem(&reader.name, "its table does not describe all of it");
    }
    bad.into_iter().filter(|(_, times)| *times == copies).for_each(|(block, _)| damage.add_block(info.id, block));
    Ok(())
}

/// What blocks there are: from the pack's own table, or from the copy of it among the metadata.
async fn blocks(
    job: &Job,
    reader: &PackReader,
    fetcher: &Fetcher,
    report: &mut CheckReport,
    run: &RunContext,
) -> Result<Option<Vec<BlockEntry>>> {
    if let Some(own) = read_tables(job, reader, report, run).await? {
        return Ok(Some(own.blocks));
    }
    if reader.info.class == PackClass::Meta {
        return Ok(None);
    }
    match fetcher.table(reader.info.id).await {
        Ok(copy) => Ok(Some(copy.blocks.clone())),
        Err(e) if is_damage(e.kind()) => Ok(None),
        Err(e) => Err(e),
    }
}

/// A good copy of the table, if there is one; every copy is read.
async fn read_tables(
    job: &Job,
    reader: &PackReader,
    report: &mut CheckReport,
    run: &RunContext,
) -> Result<Option<Table>> {
    let mut good = None;
    for copy in 0..reader.info.class.copies() {
        let at = reader.info.table_at(copy).unwrap_or(u64::MAX / 2);
        match reader.table_copy(job, at, run).await {
            Ok(table) => good = Some(table),
            Err(e) if is_damage(e.kind()) => report.problem(&reader.name, format!("its table: {}", e.message())),
            Err(e) => return Err(e),
        }
    }
    Ok(good)
}
