//! One look at the store for all that follows from it: figures, and storages that are behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kronos_core::{Result, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Care;
use super::catch_ups::CatchUps;
use super::events::Pulse;
use super::figures::{self, Standing};
use super::journal::store_failed;
use crate::daemon::Parts;
use crate::daemon::pauses::after_store_failures;

/// After something has happened, others are given the time to come along.
const GATHER: Duration = Duration::from_millis(500);
/// Other programs change the store, too, and tell nobody.
const ROUND: Duration = Duration::from_mins(1);

/// Looks at the store after each event, and every minute.
#[derive(Debug)]
pub(super) struct Rounds {
    parts: Parts,
    care: watch::Receiver<Arc<Care>>,
    pulse: watch::Receiver<Pulse>,
    catch_ups: CatchUps,
    shown: BTreeMap<String, Standing>,
    /// What was before this process is known.
    recalled: bool,
}

impl Rounds {
    pub(super) fn new(parts: Parts, care: watch::Receiver<Arc<Care>>, pulse: watch::Receiver<Pulse>) -> Self {
        Self { catch_ups: CatchUps::new(parts.clone()), parts, care, pulse, shown: BTreeMap::new(), recalled: false }
    }

    pub(super) async fn run(mut self, stop: &CancellationToken) {
        let timer = self.parts.timer.clone();
        let mut failures = 0;
        while !stop.is_cancelled() {
            let now = self.parts.clock.now();
            let wake = match self.round(now).await {
                Ok(next) => {
                    failures = 0;
                    next.map_or(now.plus(ROUND), |next| next.min(now.plus(ROUND)))
                }
                Err(error) => {
                    store_failed(&error);
                    let pause = after_store_failures(failures);
                    failures += 1;
                    now.plus(pause)
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = something(&mut self.pulse, &mut self.care) => {
                    let gathered = stop.run_until_cancelled(timer.sleep(GATHER)).await;
                    // What came along meanwhile is seen in the next round.
                    if gathered.is_none() {
                        break;
                    }
                }
                () = timer.sleep_until(wake) => {}
            }
        }
        self.catch_ups.stop().await;
    }

    /// Does all that is to be done now; says when there may be more.
    async fn round(&mut self, now: Timestamp) -> Result<Option<Timestamp>> {
        let care = Arc::clone(&self.care.borrow_and_update());
        let stopping = self.pulse.borrow_and_update().stopping;
        let states = self.parts.store.tasks().await?;
        figures::recall(&care.metrics, &*self.parts.store, &states, !self.recalled).await?;
        self.recalled = true;
        figures::show(&care, &states, &mut self.shown, now);
        self.catch_ups.look(&care, &states, now, stopping).await
    }
}

/// Waits until something has happened, or there is a new configuration. When nobody is left who could
/// tell, for ever.
async fn something(pulse: &mut watch::Receiver<Pulse>, care: &mut watch::Receiver<Arc<Care>>) {
    tokio::select! {
        Ok(()) = pulse.changed() => {}
        Ok(()) = care.changed() => {}
        else => std::future::pending().await,
    }
}
