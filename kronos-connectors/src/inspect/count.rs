//! How many there are of something, as long as each of them lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A number that goes up with each [`One`] that is taken and down when it is dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicU32>);

impl Count {
    pub(crate) fn one(&self) -> One {
        self.0.fetch_add(1, Ordering::Relaxed);
        One(self.0.clone())
    }

    pub(crate) fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One more, as long as it lives.
#[derive(Debug)]
pub(crate) struct One(Arc<AtomicU32>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
