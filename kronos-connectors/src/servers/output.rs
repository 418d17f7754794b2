//! A file being written.

use std::path::{Path, PathBuf};

use kronos_core::Result;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::system::io;

/// A file being written.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    pub(crate) async fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).await.map_err(|e| io(e, &path))?;
        Ok(Self { path, file })
    }

    /// One that is there, to go on with.
    #[cfg_attr(not(feature = "mongodb"), allow(dead_code, reason = "others write anew"))]
    pub(crate) async fn extend(path: PathBuf) -> Result<Self> {
        let file = File::options().append(true).open(&path).await.map_err(|e| io(e, &path))?;
        Ok(Self { path, file })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).await.map_err(|e| io(e, &self.path))
    }

    /// Takes what a file has, and removes it.
    pub(crate) async fn append(&mut self, part: &Path) -> Result<()> {
        let mut from = File::open(part).await.map_err(|e| io(e, part))?;
        tokio::io::copy(&mut from, &mut self.file).await.map_err(|e| io(e, &self.path))?;
        tokio::fs::remove_file(part).await.map_err(|e| io(e, part))
    }

    /// Makes sure that it is on the disk.
    pub(crate) async fn end(mut self) -> Result<PathBuf> {
        self.file.flush().await.map_err(|e| io(e, &self.path))?;
        self.file.sync_all().await.map_err(|e| io(e, &self.path))?;
        Ok(self.path)
    }
}
