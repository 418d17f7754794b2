//! An object written part by part into a staging file.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kronos_core::{Error, ErrorKind, Key, Result, Retry, Upload};

use crate::server::Server;
use crate::staged::Staged;

#[derive(Debug)]
pub(crate) struct SftpUpload {
    staged: Staged,
    target: String,
    /// A part failed for good: the object could never be whole.
    is_broken: bool,
}

impl SftpUpload {
    pub(crate) async fn begin(server: Arc<Server>, key: &Key) -> Result<Self> {
        let target = server.path(key);
        // It is opened for each part: a connection may break between two of them.
        let (staged, _) = Staged::new(server).await?;
        Ok(Self { staged, target, is_broken: false })
    }

    fn whole(&self) -> Result<()> {
        if self.is_broken {
            let error = Error::new(ErrorKind::Io, "an earlier part of the upload failed");
            return Err(error.with("path", &self.target));
        }
        Ok(())
    }
}

#[async_trait]
impl Upload for SftpUpload {
    async fn write(&mut self, part: Bytes) -> Result<()> {
        self.whole()?;
        let written = self.staged.append(&part).await;
        self.is_broken = written.as_ref().is_err_and(|e| e.retry() != Retry::Later);
        written
    }

    async fn finish(&mut self) -> Result<()> {
        self.whole()?;
        self.staged.replace(&self.target).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.staged.give_up().await
    }
}
