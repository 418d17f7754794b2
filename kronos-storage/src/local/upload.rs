//! An object written part by part into a staging file.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{Error, ErrorKind, Result, Upload};

use super::Local;
use super::staged::Staged;

#[derive(Debug)]
pub(super) struct LocalUpload {
    /// Shared with a write that nobody waits for any more; the file goes with the last of both.
    staged: Arc<Staged>,
    target: PathBuf,
    written: u64,
    /// A part failed or was given up half way: the object could never be whole.
    broken: bool,
}

impl LocalUpload {
    pub(super) fn new(staged: Staged, target: PathBuf) -> Self {
        Self { staged: Arc::new(staged), target, written: 0, broken: false }
    }

    fn whole(&self) -> Result<()> {
        if self.broken {
            let error = Error::new(ErrorKind::Io, "an earlier part of the upload failed");
            return Err(error.with("path", self.target.display()));
        }
        Ok(())
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        self.whole()?;
        self.broken = true;
        let (staged, offset, length) = (Arc::clone(&self.staged), self.written, part.len() as u64);
        Local::blocking(move || staged.write(&part, offset)).await?;
        self.written += length;
        self.broken = false;
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.whole()?;
        let (staged, target) = (Arc::clone(&self.staged), self.target.clone());
        Local::blocking(move || staged.replace(&target)).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Local::blocking(move || {
            drop(self);
            Ok(())
        })
        .await
    }
}
