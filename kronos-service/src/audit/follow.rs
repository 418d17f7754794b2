//! Runs in the audit log: an entry when one begins, and one when it ends. What was killed in between
//! has no second one.

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Result};

use super::{AuditLog, Deed, Outcome};
use crate::report::RunReport;
use crate::run::Follower;

#[async_trait]
impl Follower for AuditLog {
    fn name(&self) -> &'static str {
        "audit log"
    }

    async fn begun(&self, report: &RunReport) -> Result<()> {
        self.append_elsewhere(Deed { outcome: Outcome::Started, ..Deed::of(report) }).await
    }

    async fn ended(&self, report: &RunReport) -> Result<()> {
        self.append_elsewhere(Deed::of(report)).await
    }
}

impl AuditLog {
    /// Writes an entry on a thread where waiting for the disk keeps nobody up.
    pub async fn append_elsewhere(&self, deed: Deed) -> Result<()> {
        let log = self.clone();
        let written = tokio::task::spawn_blocking(move || log.append(&deed).map(drop)).await;
        let failed =
            |e| Err(Error::new(ErrorKind::Internal, "a thread that writes the audit log has failed").with_source(e));
        written.unwrap_or_else(failed)
    }
}
