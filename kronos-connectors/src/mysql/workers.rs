//! The sessions that read. Each has a snapshot of the same moment, and no other can have one later:
//! what is lost is not replaced.

use std::sync::{Arc, Mutex, PoisonError};

use kronos_core::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::Session;

/// Sessions that have nothing to do at the moment.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    idle: Mutex<Vec<Session>>,
    /// As many permits as there are sessions with nothing to do.
    free: Arc<Semaphore>,
    /// How many there are in all.
    left: Mutex<usize>,
}

/// A session that someone has. Dropped, it is lost.
#[derive(Debug)]
pub(super) struct Lease {
    session: Option<Session>,
    permit: Option<OwnedSemaphorePermit>,
    workers: Workers,
}

impl Workers {
    pub(super) fn new(sessions: Vec<Session>) -> Self {
        let (free, left) = (Arc::new(Semaphore::new(sessions.len())), Mutex::new(sessions.len()));
        Self { inner: Arc::new(Inner { idle: Mutex::new(sessions), free, left }) }
    }

    /// A session; waits until one has nothing to do.
    pub(super) async fn take(&self) -> Result<Lease> {
        let gone = || Error::new(ErrorKind::ConnectionFailed, "every connection that had the snapshot is lost");
        let permit = self.inner.free.clone().acquire_owned().await.map_err(|_| gone())?;
        let session = self.idle().pop().ok_or_else(gone)?;
        Ok(Lease { session: Some(session), permit: Some(permit), workers: self.clone() })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) {
        let mut left = self.inner.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left -= 1;
        if *left == 0 {
            self.inner.free.close();
        }
    }

    /// Ends those that have nothing to do.
    pub(super) async fn close(&self) {
        self.inner.free.close();
        let idle = std::mem::take(&mut *self.idle());
        futures::future::join_all(idle.into_iter().map(Session::close)).await;
    }
}

impl Lease {
    pub(super) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("it is there until it is given back, which takes the lease")
    }

    /// Gives the session back; its transaction is as it was.
    pub(super) fn give_back(mut self) {
        if let Some(session) = self.session.take() {
            self.workers.idle().push(session);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.session.is_some() {
            // It is not in the way of those who wait: there is one less.
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
            self.workers.lost();
        }
    }
}
