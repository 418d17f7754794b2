//! Packs: immutable objects of sealed blocks with the table of their chunks at the end.
//!
//! ```text
//! magic, kind, salt | length of the wrapped key, wrapped key | blocks | table | footer
//! ```
//! A metadata pack has its blocks and its table twice.

mod read;
mod table;
mod write;

use serde::{Deserialize, Serialize};

use crate::id::Id;

pub(crate) use read::{Lies, PackReader, look_for, name_of, read_range, scan};
pub(crate) use table::{BlockEntry, Slot, Table};
pub(crate) use write::{Compressors, OpenBlock, PackSealer, SealedBlock, seal_block};

use super::seal::ObjectKind;

/// Length of the table, of the blocks, copies, magic.
pub(crate) const FOOTER: usize = 4 + 8 + 1 + 4;
const FOOTER_MAGIC: &[u8; 4] = b"KRNE";
/// The number under which a pack's table is sealed; blocks count from 0.
const TABLE_NUMBER: u64 = u64::MAX;

/// The two classes of packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PackClass {
    Data,
    Meta,
}

impl PackClass {
    pub(crate) fn kind(self) -> ObjectKind {
        match self {
            Self::Data => ObjectKind::DataPack,
            Self::Meta => ObjectKind::MetaPack,
        }
    }

    pub(crate) fn copies(self) -> u64 {
        match self {
            Self::Data => 1,
            Self::Meta => 2,
        }
    }
}

/// A pack and what is needed to read it without its footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackInfo {
    pub id: Id,
    pub class: PackClass,
    /// Bytes of the object.
    pub size: u64,
    /// Bytes of its sealed table.
    pub table: u32,
    /// Bytes before the first block.
    pub start: u32,
}

impl PackInfo {
    /// Bytes of all blocks, counted once.
    pub(crate) fn region(&self) -> Option<u64> {
        let copies = self.class.copies();
        let rest = self.size.checked_sub(FOOTER as u64)?.checked_sub(u64::from(self.start))?;
        let blocks = rest.checked_sub(copies * u64::from(self.table))?;
        blocks.is_multiple_of(copies).then_some(blocks / copies)
    }

    /// Where a copy of the table begins.
    pub(crate) fn table_at(&self, copy: u64) -> Option<u64> {
        Some(u64::from(self.start) + self.region()? * self.class.copies() + copy * u64::from(self.table))
    }
}
