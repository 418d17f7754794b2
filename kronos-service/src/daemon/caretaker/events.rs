//! What a daemon tells, handed on to the caretaker: nobody waits here.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::journal;
use crate::daemon::{DaemonEvent, DaemonObserver};
use crate::failure::Failure;
use crate::store::{RunRecord, Skip};

/// What a [`Caretaker`](super::Caretaker) is told by the observer that was made with it.
#[derive(Debug)]
pub struct Events {
    pub(super) happenings: mpsc::UnboundedReceiver<Happening>,
    pub(super) pulse: watch::Receiver<Pulse>,
}

/// What people are told of. There are few: one for each job at a time.
#[derive(Debug)]
pub(super) enum Happening {
    Missed(Skip),
    /// The times that it answers may have been missed.
    Queued(RunRecord),
    Interrupted(RunRecord),
    /// Nothing runs as long as it cannot be noted.
    Stalled(Failure),
    StoreBack,
}

/// That something has happened, whatever it was.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pulse {
    /// The daemon knows its jobs.
    pub(super) is_loaded: bool,
    /// Runs that have ended.
    pub(super) ended: u64,
    /// The daemon begins no more runs.
    pub(super) stopping: bool,
    /// What runs cannot be noted.
    pub(super) is_store_broken: bool,
}

/// The observer for a daemon, and what its caretaker hears by it. The observer writes the log, too.
pub fn caretaker() -> (Arc<dyn DaemonObserver>, Events) {
    let (sender, happenings) = mpsc::unbounded_channel();
    let (beat, pulse) = watch::channel(Pulse::default());
    (Arc::new(Ear { happenings: sender, pulse: beat }), Events { happenings, pulse })
}

#[derive(Debug)]
struct Ear {
    happenings: mpsc::UnboundedSender<Happening>,
    pulse: watch::Sender<Pulse>,
}

impl DaemonObserver for Ear {
    fn on_event(&self, event: &DaemonEvent<'_>) {
        journal::log(event);
        let happening = match event {
            DaemonEvent::Missed(skip) => Some(Happening::Missed((*skip).clone())),
            DaemonEvent::Queued(run) => Some(Happening::Queued((*run).clone())),
            DaemonEvent::Interrupted { run, .. } => Some(Happening::Interrupted((*run).clone())),
            DaemonEvent::Stalled(error) => Some(Happening::Stalled(Failure::of(error))),
            DaemonEvent::StoreBack => Some(Happening::StoreBack),
            _ => None,
        };
        if let Some(happening) = happening {
            // A caretaker that has ended has no more use for it.
            let _ = self.happenings.send(happening);
        }
        self.pulse.send_modify(|pulse| match event {
            DaemonEvent::Loaded { .. } => pulse.is_loaded = true,
            DaemonEvent::Ended { .. } | DaemonEvent::Lost { .. } => pulse.ended += 1,
            DaemonEvent::Stopping { .. } => pulse.stopping = true,
            DaemonEvent::Stalled(_) => pulse.is_store_broken = true,
            DaemonEvent::StoreBack => pulse.is_store_broken = false,
            _ => {}
        });
    }
}
