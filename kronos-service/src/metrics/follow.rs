//! Metrics that go along with runs: each that ends is counted, and brought into the textfile.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Result};

use super::{Metrics, Names, Textfile};
use crate::report::RunReport;
use crate::run::Follower;

/// Counts runs that have ended, and keeps a textfile up to date. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MetricsFollower {
    metrics: Metrics,
    textfile: Option<Arc<Told>>,
}

#[derive(Debug)]
struct Told {
    /// The same for all that follow for these metrics: what is in the file already is not added again
    /// after a new configuration.
    file: Arc<Mutex<Textfile>>,
    names: Names,
}

impl MetricsFollower {
    /// Counts in `metrics`; with a textfile, `names` are those that stay in it.
    pub fn new(metrics: Metrics, names: Names, textfile: Option<&Path>) -> Self {
        let textfile = textfile.map(|path| Arc::new(Told { file: metrics.textfile(path), names }));
        Self { metrics, textfile }
    }
}

#[async_trait]
impl Follower for MetricsFollower {
    fn name(&self) -> &'static str {
        "metrics"
    }

    async fn begun(&self, _: &RunReport) -> Result<()> {
        Ok(())
    }

    async fn ended(&self, report: &RunReport) -> Result<()> {
        self.metrics.record(report);
        let Some(told) = self.textfile.clone() else { return Ok(()) };
        let (metrics, now) = (self.metrics.clone(), report.finished);
        let update = move || {
            let mut file = told.file.lock().unwrap_or_else(PoisonError::into_inner);
            // Of runs that end together, the one that comes later here brings all that is known by then.
            file.update(&metrics.snapshot(), Some(&told.names), now)
        };
        let failed = |e| {
            Err(Error::new(ErrorKind::Internal, "a thread that writes the textfile of metrics has failed")
                .with_source(e))
        };
        tokio::task::spawn_blocking(update).await.unwrap_or_else(failed)
    }
}
