//! Runs in the log: how each ended. What happens meanwhile comes by [`LogObserver`](super::LogObserver).

use async_trait::async_trait;
use kronos_core::Result;

use super::log_report;
use crate::report::RunReport;
use crate::run::Follower;

/// Writes into the log how runs ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogFollower;

#[async_trait]
impl Follower for LogFollower {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn begun(&self, _: &RunReport) -> Result<()> {
        Ok(())
    }

    async fn ended(&self, report: &RunReport) -> Result<()> {
        log_report(report);
        Ok(())
    }
}
