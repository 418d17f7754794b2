//! Metrics as a file, for the textfile collector of the node exporter: for those who run Kronos by
//! cron, where no process stays to be asked.
//!
//! ```
//! use kronos_core::Timestamp;
//! use kronos_service::metrics::{Metrics, Names, Textfile};
//!
//! # let place = tempfile::tempdir().unwrap();
//! # let path = place.path().join("kronos.prom");
//! let metrics = Metrics::new(Timestamp::from_micros(0));
//! let names = Names { jobs: ["shop".into()].into(), ..Names::default() };
//! metrics.configure(&names);
//! // … runs, each recorded …
//! Textfile::new(&path).update(&metrics.snapshot(), Some(&names), Timestamp::from_micros(0))?;
//! assert!(std::fs::read_to_string(path).unwrap().contains("kronos_textfile_written_timestamp_seconds"));
//! # Ok::<(), kronos_core::Error>(())
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kronos_core::{Error, ErrorKind, Result, Timestamp};

use super::figures::Figures;
use super::{Names, exposition};
use crate::failure::of_file;
use crate::locks;

/// The file of one process, which may share it with others.
#[derive(Debug)]
pub struct Textfile {
    path: PathBuf,
    /// What of this process is in the file.
    told: Figures,
}

impl Textfile {
    /// A file that ends in `.prom`. Beside it lies another one, `.state`, from which the next process
    /// goes on counting.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), told: Figures::default() }
    }

    /// Brings what a process has into the file: counts are added to those of others, states replace
    /// theirs. With `names`, those of jobs and storages that the configuration has no more go away.
    ///
    /// Several processes may do so at a time; the file is replaced in one step. Call it where
    /// blocking is allowed.
    pub fn update(&mut self, figures: &Figures, names: Option<&Names>, now: Timestamp) -> Result<()> {
        let state = self.beside("state");
        let lock = self.beside("lock");
        let held = OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
        let held = held.and_then(|file| locks::lock(&file).map(|()| file));
        let held = held.map_err(|e| of_file(e, "the textfile of metrics could not be locked", &lock))?;
        let mut all: Figures = match fs::read(&state) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                let error = Error::new(ErrorKind::Corrupt, "what lies beside the textfile of metrics cannot be read");
                error.with("path", state.display()).with("hint", "remove it: counts begin anew").with_source(e)
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Figures::default(),
            Err(e) => return Err(of_file(e, "what lies beside the textfile of metrics cannot be read", &state)),
        };
        all.merge(figures, &self.told);
        if let Some(names) = names {
            all.configure(names);
        }
        let text = serde_json::to_vec(&all).map_err(|e| {
            Error::new(ErrorKind::Internal, "the state of metrics could not be written as JSON").with_source(e)
        })?;
        replace(&state, &text)?;
        replace(&self.path, exposition::text(all, Some(now))?.as_bytes())?;
        self.told.clone_from(figures);
        drop(held);
        Ok(())
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".");
        name.push(end);
        PathBuf::from(name)
    }
}

/// A new file takes the place of the old one. The name of the new one does not end in `.prom`, so
/// that the exporter never reads half of it; and the exporter runs as another user, who may read it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        // Without it, a power cut can leave an empty file under the name.
        file.sync_data()?;
        fs::rename(&new, path)
    };
    write().map_err(|e| of_file(e, "the textfile of metrics could not be written", path))
}
