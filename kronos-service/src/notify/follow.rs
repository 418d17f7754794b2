//! A notifier that goes along with the runs of a job.

use std::sync::Arc;

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Result};

use super::news::News;
use super::notifier::{Delivery, Notifier};
use crate::failure::in_full;
use crate::report::RunReport;
use crate::run::Follower;

/// Tells the channels of one job of its runs, and sends what is due.
#[derive(Debug, Clone)]
pub struct NotifyFollower {
    /// Who tells.
    pub notifier: Arc<Notifier>,
    /// The names of the job's channels.
    pub to: Vec<String>,
}

#[async_trait]
impl Follower for NotifyFollower {
    fn name(&self) -> &'static str {
        "notifications"
    }

    async fn begun(&self, report: &RunReport) -> Result<()> {
        let told = self.notifier.begin(report, &self.to).await;
        outcome(&told, &self.notifier.deliver().await)
    }

    async fn ended(&self, report: &RunReport) -> Result<()> {
        let told = self.notifier.tell(News::Ended(report.clone()), &self.to).await;
        outcome(&told, &self.notifier.deliver().await)
    }
}

/// All that went wrong, as one error; what was delivered all the same is not undone by it.
fn outcome(told: &Result<()>, delivery: &Delivery) -> Result<()> {
    let mut lines: Vec<String> = told.as_ref().err().map(in_full).into_iter().collect();
    for lost in &delivery.undelivered {
        let again = lost.again.map_or("it is given up".to_owned(), |again| format!("it is tried again at {again}"));
        lines.push(format!("{} by {}: {}; {again}", lost.channel, lost.way, in_full(&lost.error)));
    }
    lines.extend(delivery.remarks.iter().cloned());
    // The same trouble with the file is told once.
    if told.is_ok() {
        lines.extend(delivery.unkept.as_ref().map(in_full));
    }
    if lines.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::ConnectionFailed, lines.join("; "))) }
}
