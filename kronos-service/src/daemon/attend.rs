//! One run that has been claimed, to its end: heartbeat, timeout, cancellation.

use std::sync::Arc;
use std::time::Duration;

use kronos_core::Id;

use super::runner::{RunRequest, Runner, StopReason};
use super::timer::Timer;
use super::{DaemonEvent, Parts};
use crate::report::RunReport;

/// How long a claim holds without a heartbeat.
pub(super) const LEASE: Duration = Duration::from_mins(1);
/// Three heartbeats may fail before the claim does.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// Runs it. A run whose claim was lost is cancelled as well.
pub(super) async fn attend(
    parts: &Parts,
    owner: Id,
    job: &str,
    request: RunRequest,
    timeout: Option<Duration>,
) -> RunReport {
    let (runner, timer): (Arc<dyn Runner>, Arc<dyn Timer>) = (parts.runner.clone(), parts.timer.clone());
    let id = request.id;
    let mut run = runner.run(job, request.clone());
    let mut out_of_time = Box::pin(async {
        match timeout {
            Some(timeout) => timer.sleep(timeout).await,
            None => std::future::pending().await,
        }
    });
    loop {
        tokio::select! {
            biased;
            report = &mut run => return request.conclude(report),
            () = &mut out_of_time, if request.stopped().is_none() => request.stop(StopReason::Timeout),
            () = timer.sleep(HEARTBEAT) => {
                let until = parts.clock.now().plus(LEASE);
                match parts.store.renew(id, owner, until).await {
                    Ok(true) => {}
                    Ok(false) => request.stop(StopReason::Lost),
                    // The next heartbeat comes soon; whether the claim still holds is seen at the end.
                    Err(error) => parts.observer.on_event(&DaemonEvent::StoreFailed(&error)),
                }
            }
        }
    }
}
