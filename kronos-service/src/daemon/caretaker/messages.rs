//! Messages on their way: they go out when they are due.

use std::sync::Arc;
use std::time::Duration;

use kronos_core::Timestamp;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Care;
use super::events::Pulse;
use super::journal::{TARGET, unkept};
use crate::daemon::Parts;
use crate::failure::in_full;
use crate::notify::Delivery;

/// Between two deliveries there is at least this: what comes at the same time goes out together.
const PAUSE: Duration = Duration::from_secs(1);
/// Other programs leave messages behind, too, and tell nobody.
const LOOK: Duration = Duration::from_mins(10);

/// Delivers what is due.
#[derive(Debug)]
pub(super) struct Messages {
    parts: Parts,
    care: watch::Receiver<Arc<Care>>,
    pulse: watch::Receiver<Pulse>,
    /// There is something new.
    told: Arc<Notify>,
    /// The runs that had ended at the last delivery.
    ended: u64,
}

impl Messages {
    pub(super) fn new(
        parts: Parts,
        care: watch::Receiver<Arc<Care>>,
        pulse: watch::Receiver<Pulse>,
        told: Arc<Notify>,
    ) -> Self {
        Self { parts, care, pulse, told, ended: 0 }
    }

    /// Works until it is stopped; a delivery that goes on comes to its end.
    pub(super) async fn run(&mut self, stop: &CancellationToken) {
        let timer = self.parts.timer.clone();
        while !stop.is_cancelled() {
            let wish = self.deliver(false).await;
            let now = self.parts.clock.now();
            let next = wish.map_or(now.plus(LOOK), |next| next.min(now.plus(LOOK)));
            let work = async {
                timer.sleep(PAUSE).await;
                self.wait(now, next).await;
            };
            let _ = stop.run_until_cancelled(work).await;
        }
    }

    /// Sends what waits for others to come along, too.
    pub(super) async fn finish(&mut self) {
        self.deliver(true).await;
    }

    /// Waits until there may be something to deliver; `since` is now.
    async fn wait(&mut self, since: Timestamp, next: Timestamp) {
        let timer = self.parts.timer.clone();
        loop {
            tokio::select! {
                biased;
                () = self.told.notified() => return,
                Ok(()) = self.care.changed() => return,
                // Runs deliver what they have to tell, and what could not be is due at another time now.
                Ok(()) = self.pulse.changed() => {
                    if self.pulse.borrow_and_update().ended != self.ended {
                        return;
                    }
                }
                () = timer.sleep_until(next) => {
                    let now = self.parts.clock.now();
                    // A clock that was set back must not hold anything up.
                    if now >= next || now < since {
                        return;
                    }
                }
            }
        }
    }

    /// Sends what is due, and says when more will be.
    async fn deliver(&mut self, last: bool) -> Option<Timestamp> {
        self.ended = self.pulse.borrow_and_update().ended;
        let notifier = self.care.borrow_and_update().notifier.clone()?;
        let delivery = if last { notifier.finish().await } else { notifier.deliver().await };
        log(&delivery);
        delivery.next
    }
}

fn log(delivery: &Delivery) {
    for lost in &delivery.undelivered {
        let (channel, way, kind, error) = (&lost.channel, &lost.way, lost.error.kind().name(), in_full(&lost.error));
        let again = lost.again.map(tracing::field::display);
        let what = if again.is_some() { "is tried again" } else { "is given up" };
        warn!(
            target: TARGET, event = "notify.undelivered", channel, way, kind, error, again,
            "a message could not be delivered and {what}"
        );
    }
    for remark in &delivery.remarks {
        warn!(target: TARGET, event = "notify.remark", "{remark}");
    }
    if let Some(error) = &delivery.unkept {
        unkept(error);
    }
}
