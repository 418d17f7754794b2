//! Where entries wait: in memory while they are few, else in a file that has no name, which the
//! system frees whatever happens to this process.

use bytes::Bytes;
use kronos_core::{Error, ErrorKind, Result};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// Up to this size they stay in memory.
const IN_MEMORY: usize = 8 << 20;
/// Bytes handed on at a time.
const PIECE: usize = 512 << 10;

/// Entries, one after another.
#[derive(Debug, Default)]
pub(super) struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
    entries: u64,
}

impl Spool {
    pub(super) async fn append(&mut self, entry: &[u8]) -> Result<()> {
        self.memory.extend_from_slice(entry);
        self.length += entry.len() as u64;
        self.entries += 1;
        let bound = if self.file.is_some() { PIECE } else { IN_MEMORY };
        if self.memory.len() >= bound { self.write_out().await } else { Ok(()) }
    }

    #[cfg(test)]
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    async fn write_out(&mut self) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::from_std(tempfile::tempfile().map_err(failed)?)),
        };
        file.write_all(&self.memory).await.map_err(failed)?;
        self.memory.clear();
        Ok(())
    }

    pub(super) async fn read(mut self) -> Result<Reader> {
        if self.file.is_some() {
            self.write_out().await?;
        }
        if let Some(file) = &mut self.file {
            // What is written in the background has failed by now, or is there.
            file.flush().await.map_err(failed)?;
            file.rewind().await.map_err(failed)?;
        }
        Ok(Reader { memory: self.memory.into(), file: self.file, left: self.length })
    }
}

/// Gives them back.
#[derive(Debug)]
pub(super) struct Reader {
    memory: Bytes,
    file: Option<File>,
    left: u64,
}

impl Reader {
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        let size = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        if size == 0 {
            return Ok(None);
        }
        self.left -= size as u64;
        match &mut self.file {
            None => Ok(Some(self.memory.split_to(size))),
            Some(file) => {
                let mut piece = vec![0; size];
                file.read_exact(&mut piece).await.map_err(failed)?;
                Ok(Some(piece.into()))
            }
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::from(error.kind()), "the changes cannot be kept in a temporary file")
        .with("directory", std::env::temp_dir().display())
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_gives_back_what_it_got_from_memory_and_from_a_file() {
        for count in [0, 1, 7, 900] {
            let (mut spool, mut all) = (Spool::default(), Vec::new());
            for n in 0..count {
                let entry: Vec<u8> = (0..20_000 + n).map(|byte| u8::try_from((byte * 7 + n) % 251).unwrap()).collect();
                spool.append(&entry).await.unwrap();
                all.extend(entry);
            }
            assert_eq!((spool.length(), spool.entries()), (all.len() as u64, u64::try_from(count).unwrap()));
            assert_eq!(spool.file.is_some(), all.len() >= IN_MEMORY);
            assert!(spool.memory.len() < IN_MEMORY);
            let (mut reader, mut read) = (spool.read().await.unwrap(), Vec::new());
            while let Some(piece) = reader.next().await.unwrap() {
                read.extend_from_slice(&piece);
            }
            assert!(read == all, "{count}");
        }
    }
}
