//! A restore: a new directory beside the target, checked, and then renamed into its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{
    Error, ErrorKind, Piece, Restore, RestoreOutcome, RestoreRequest, Result, RunContext, Stream, StreamEnd,
};
use tokio::io::AsyncWriteExt as _;

use crate::connector::{blocking, failed, plain};

#[derive(Debug)]
pub(crate) struct JsonRestore {
    directory: PathBuf,
    staging: Staging,
    /// Where what the directory holds now goes, if it may be replaced.
    aside: Option<PathBuf>,
    expected: BTreeMap<String, StreamEnd>,
    written: Mutex<BTreeSet<String>>,
    run: RunContext,
}

/// A directory of files on their way. Dropped before it is renamed, it leaves nothing behind.
#[derive(Debug)]
struct Staging(PathBuf);

impl Drop for Staging {
    fn drop(&mut self) {
        // There is nobody left to tell. The directory's name says what it is.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl JsonRestore {
    pub(crate) async fn begin(directory: &Path, request: &RestoreRequest, run: &RunContext) -> Result<Self> {
        // Randomness comes from the run, so that a test can replay it.
        let mut random = [0; 8];
        run.entropy.fill(&mut random);
        let beside = |what: &str| {
            let mut path = directory.as_os_str().to_owned();
            path.push(format!(".{what}-{:016x}", u64::from_le_bytes(random)));
            PathBuf::from(path)
        };
        let (staging, aside) = (Staging(beside("restoring")), request.replace.then(|| beside("before")));
        let path = staging.0.clone();
        blocking(move || fs::create_dir_all(&path).map_err(|e| failed(e, &path))).await?;
        let expected = request.streams.iter().map(|stream| (stream.info.name.clone(), stream.end)).collect();
        let directory = directory.to_owned();
        Ok(Self { directory, staging, aside, expected, written: Mutex::default(), run: run.clone() })
    }

    /// The engine's own check, which needs no file in memory.
    fn check(&self, name: &str) -> Result<String> {
        let path = self.staging.0.join(name);
        let file = io::BufReader::new(File::open(&path).map_err(|e| failed(e, &path))?);
        serde_json::from_reader::<_, serde::de::IgnoredAny>(file)
            .map_err(|e| Error::new(ErrorKind::Corrupt, "not well-formed JSON").with("file", name).with_source(e))?;
        Ok(format!("{name}: well-formed"))
    }

    /// Renames the new directory into place. A rename replaces nothing but an empty directory, so
    /// files that someone has made meanwhile are safe. What was there is kept beside it.
    fn put_into_place(&self) -> Result<Option<String>> {
        let sync = |path: &Path| File::open(path).and_then(|it| it.sync_all()).map_err(|e| failed(e, path));
        let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(|e| failed(e, to));
        sync(&self.staging.0)?;
        let mut kept = None;
        if let Some(aside) = self.aside.as_ref().filter(|_| self.directory.exists()) {
            rename(&self.directory, aside)?;
            kept = Some(aside);
        }
        if let Err(error) = rename(&self.staging.0, &self.directory) {
            return Err(match kept.map(|aside| rename(aside, &self.directory)) {
                Some(Err(_)) => error.with("the old files are in", self.aside.clone().unwrap_or_default().display()),
                _ => error,
            });
        }
        // Only now does the new name survive a loss of power.
        sync(self.directory.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        Ok(kept.map(|aside| format!("what was there before is in {}", aside.display())))
    }
}

#[async_trait]
impl Restore for JsonRestore {
    async fn write(&self, mut stream: Stream) -> Result<()> {
        let name = plain(&stream.info().name)?.to_owned();
        let path = self.staging.0.join(&name);
        let mut file = tokio::fs::File::create_new(&path).await.map_err(|e| failed(e, &path))?;
        while let Some(piece) = stream.next().await? {
            self.run.check_cancelled()?;
            match piece {
                Piece::Data(bytes) => file.write_all(&bytes).await.map_err(|e| failed(e, &path))?,
                // That it is of the bytes before it has been checked.
                Piece::End(end) => {
                    if self.expected.get(&name) != Some(&end) {
                        return Err(Error::new(ErrorKind::Corrupt, "not the file of the backup").with("file", name));
                    }
                }
            }
        }
        file.sync_all().await.map_err(|e| failed(e, &path))?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<RestoreOutcome> {
        self.run.check_cancelled()?;
        if !self.written.lock().unwrap_or_else(PoisonError::into_inner).iter().eq(self.expected.keys()) {
            return Err(Error::new(ErrorKind::Io, "not every stream was written"));
        }
        blocking(move || {
            let checks = self.expected.keys().map(|name| self.check(name)).collect::<Result<_>>()?;
            let created = self.expected.keys().map(|name| self.directory.join(name).display().to_string());
            let warnings = self.put_into_place()?.into_iter().collect();
            Ok(RestoreOutcome { created: created.collect(), checks, warnings })
        })
        .await
    }

    async fn abort(self: Box<Self>) {}
}
