//! A small cache: what is wanted by several at a time is loaded once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::error::Result;

/// Keeps the most recently used values.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    capacity: usize,
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    clock: u64,
    cells: BTreeMap<K, (u64, Arc<OnceCell<V>>)>,
    ages: BTreeMap<u64, K>,
}

impl<K: Ord + Copy, V: Clone> Cache<K, V> {
    /// Holds `capacity` values, and those being loaded.
    pub(crate) fn new(capacity: usize) -> Self {
        let inner = Inner { clock: 0, cells: BTreeMap::new(), ages: BTreeMap::new() };
        Self { capacity: capacity.max(1), inner: Mutex::new(inner) }
    }

    /// The value, loaded if need be. A failed load is not remembered.
    pub(crate) async fn get(&self, key: K, load: impl Future<Output = Result<V>>) -> Result<V> {
        self.cell(key).get_or_try_init(|| load).await.cloned()
    }

    fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let cell = if let Some((age, cell)) = inner.cells.get_mut(&key) {
            let (before, cell) = (std::mem::replace(age, now), cell.clone());
            inner.ages.remove(&before);
            cell
        } else {
            let cell = Arc::new(OnceCell::new());
            inner.cells.insert(key, (now, cell.clone()));
            cell
        };
        inner.ages.insert(now, key);
        if inner.cells.len() > self.capacity
            && let Some((_, oldest)) = inner.ages.pop_first()
        {
            inner.cells.remove(&oldest);
        }
        cell
    }
}
