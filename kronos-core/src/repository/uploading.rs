//! An upload of which every step is tried again as long as what went wrong is passing.

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::error::Result;
use crate::run::RunContext;
use crate::storage::{Key, Storage, Upload};

use super::retry::retry;

/// An object on its way, part by part.
#[derive(Debug)]
pub(crate) struct Uploading<'a> {
    /// Each attempt of a step borrows it anew.
    upload: Mutex<Box<dyn Upload>>,
    run: &'a RunContext,
}

impl<'a> Uploading<'a> {
    pub(crate) async fn begin(storage: &dyn Storage, key: &Key, run: &'a RunContext) -> Result<Self> {
        let upload = retry(run, "begin an upload", || storage.begin_upload(key)).await?;
        Ok(Self { upload: Mutex::new(upload), run })
    }

    pub(crate) async fn write(&self, part: &Bytes) -> Result<()> {
        let write = || async { self.upload.lock().await.write(part.clone()).await };
        retry(self.run, "upload a part", write).await
    }

    pub(crate) async fn finish(&self) -> Result<()> {
        retry(self.run, "end an upload", || async { self.upload.lock().await.finish().await }).await
    }

    /// Gives it up. Once: what stays behind is for the storage to clean up.
    pub(crate) async fn abort(self) -> Result<()> {
        self.upload.into_inner().abort().await
    }
}
