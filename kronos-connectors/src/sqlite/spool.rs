//! A fast local copy of a stream, for when a lock or a log must be released before the reader is
//! done: in memory while it is tiny, else in a file that has no name.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kronos_core::{Error, ErrorKind, Result};

use super::error;
use super::order::PageOut;

/// Up to this size a copy stays in memory.
pub(super) const IN_MEMORY: u64 = 8 << 20;

/// Bytes handed on at a time.
pub(super) const PIECE: usize = 512 << 10;

/// The copy.
#[derive(Debug)]
pub(super) struct Spool {
    place: Place,
    directory: PathBuf,
    length: u64,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File(BufWriter<File>),
}

impl Spool {
    /// A copy in memory.
    pub(super) fn in_memory() -> Self {
        Self { place: Place::Memory(Vec::new()), directory: PathBuf::new(), length: 0 }
    }

    /// A copy of `size` bytes in a file of mode 0600 that is unlinked from the start: whatever
    /// happens to this process, the system frees it. `StorageFull` when there is no room.
    pub(super) fn in_directory(directory: &Path, size: u64) -> Result<Self> {
        let failed = |e| error::io(e, directory);
        if free(directory)? < size {
            return Err(Error::new(ErrorKind::StorageFull, "no room for a local copy of the database")
                .with("path", directory.display())
                .with("needed", size));
        }
        let file = tempfile::tempfile_in(directory).map_err(failed)?;
        Ok(Self {
            place: Place::File(BufWriter::with_capacity(PIECE, file)),
            directory: directory.to_owned(),
            length: 0,
        })
    }

    /// Reads it back, a piece at a time, up to the first error of `take`.
    pub(super) fn drain(self, mut take: impl FnMut(Bytes) -> Result<()>) -> Result<()> {
        let mut left = self.length;
        match self.place {
            Place::Memory(bytes) => {
                let mut bytes = Bytes::from(bytes);
                while !bytes.is_empty() {
                    take(bytes.split_to(bytes.len().min(PIECE)))?;
                }
            }
            Place::File(written) => {
                let failed = |e| error::io(e, &self.directory);
                let mut file = written.into_inner().map_err(|e| failed(e.into_error()))?;
                file.seek(SeekFrom::Start(0)).map_err(failed)?;
                while left > 0 {
                    let mut piece = vec![0; usize::try_from(left).map_or(PIECE, |left| left.min(PIECE))];
                    file.read_exact(&mut piece).map_err(failed)?;
                    left -= piece.len() as u64;
                    take(piece.into())?;
                }
            }
        }
        Ok(())
    }
}

impl PageOut for Spool {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.place {
            Place::Memory(memory) => memory.extend_from_slice(bytes),
            Place::File(file) => file.write_all(bytes).map_err(|e| error::io(e, &self.directory))?,
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Bytes that may still be written in a directory.
pub(super) fn free(directory: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(directory).map_err(|e| error::io(e.into(), directory))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(mut spool: Spool) {
        let bytes: Vec<u8> = (0..PIECE + 700).map(|n| u8::try_from(n % 251).unwrap()).collect();
        bytes.chunks(512).for_each(|page| spool.append(page).unwrap());
        let mut read = Vec::new();
        spool
            .drain(|piece| {
                read.extend_from_slice(&piece);
                Ok(())
            })
            .unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn it_gives_back_what_it_got_and_has_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::in_directory(directory.path(), 1).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        round_trip(spool);
        round_trip(Spool::in_memory());
    }

    #[test]
    fn a_copy_that_cannot_fit_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Spool::in_directory(directory.path(), u64::MAX).unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
