//! A small cache: what is wanted by several at a time is loaded once.
//!
//! Of our own, for what it throws out must be the same in each replay of a simulated history.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::error::Result;

/// Keeps the most recently used values, as many as have room.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    /// Bytes, or whatever `weight` counts.
    capacity: usize,
    weight: fn(&V) -> usize,
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    clock: u64,
    total: usize,
    cells: BTreeMap<K, Held<V>>,
    ages: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Held<V> {
    age: u64,
    /// 0 while it is being loaded.
    weight: usize,
    cell: Arc<OnceCell<V>>,
}

impl<K: Ord + Copy, V: Clone> Cache<K, V> {
    /// Holds values of `capacity` together, and those being loaded; always the one used last.
    pub(crate) fn new(capacity: usize, weight: fn(&V) -> usize) -> Self {
        let inner = Inner { clock: 0, total: 0, cells: BTreeMap::new(), ages: BTreeMap::new() };
        Self { capacity, weight, inner: Mutex::new(inner) }
    }

    /// The value, loaded if need be. A failed load is not remembered.
    pub(crate) async fn get(&self, key: K, load: impl Future<Output = Result<V>>) -> Result<V> {
        let cell = self.cell(key);
        if let Some(value) = cell.get() {
            return Ok(value.clone());
        }
        let value = cell.get_or_try_init(|| load).await.cloned();
        self.weigh(key, value.as_ref().ok());
        value
    }

    /// The value, if it is there; it counts as used.
    pub(crate) fn peek(&self, key: &K) -> Option<V> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let held = inner.cells.get_mut(key)?;
        let value = held.cell.get()?.clone();
        inner.clock += 1;
        inner.ages.remove(&std::mem::replace(&mut held.age, inner.clock));
        inner.ages.insert(inner.clock, *key);
        Some(value)
    }

    /// Puts in a value that came another way.
    pub(crate) fn put(&self, key: K, value: V) {
        let cell = self.cell(key);
        // Where it has been loaded meanwhile, the two are the same.
        let _ = cell.set(value.clone());
        self.weigh(key, Some(&value));
    }

    /// Drops a value; one that is being loaded stays.
    pub(crate) fn remove(&self, key: &K) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        if let Some(held) = inner.cells.get(key).filter(|held| held.weight > 0) {
            inner.ages.remove(&held.age);
            inner.total -= held.weight;
            inner.cells.remove(key);
        }
    }

    fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let cell = if let Some(held) = inner.cells.get_mut(&key) {
            let (before, cell) = (std::mem::replace(&mut held.age, now), held.cell.clone());
            inner.ages.remove(&before);
            cell
        } else {
            let cell = Arc::new(OnceCell::new());
            inner.cells.insert(key, Held { age: now, weight: 0, cell: cell.clone() });
            cell
        };
        inner.ages.insert(now, key);
        cell
    }

    /// Counts a value that has been loaded, and makes room for it. What did not load is not kept.
    fn weigh(&self, key: K, value: Option<&V>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let Some(held) = inner.cells.get_mut(&key) else { return };
        match value {
            Some(value) if held.weight == 0 => {
                held.weight = (self.weight)(value).max(1);
                inner.total += held.weight;
            }
            Some(_) => {}
            // Someone else may be loading it again by now; then it is loaded once more.
            None => {
                inner.ages.remove(&held.age);
                inner.total -= held.weight;
                inner.cells.remove(&key);
            }
        }
        while inner.total > self.capacity && inner.cells.len() > 1 {
            let Some((_, oldest)) = inner.ages.pop_first() else { break };
            if let Some(gone) = inner.cells.remove(&oldest) {
                inner.total -= gone.weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[tokio::test]
    async fn the_oldest_goes_when_room_is_short() {
        let cache: Cache<u8, Vec<u8>> = Cache::new(100, Vec::len);
        let load = |n: usize| async move { Ok::<_, Error>(vec![0; n]) };
        let missing = || async { Err::<Vec<u8>, _>(Error::internal("it was thrown out")) };
        cache.get(1, load(40)).await.unwrap();
        cache.get(2, load(40)).await.unwrap();
        cache.get(1, missing()).await.unwrap();
        cache.get(3, load(40)).await.unwrap();
        cache.get(1, missing()).await.unwrap();
        assert!(cache.get(2, missing()).await.is_err());
        assert_eq!(cache.get(2, load(7)).await.unwrap().len(), 7, "a failed load is not remembered");
        assert_eq!(cache.get(4, load(1000)).await.unwrap().len(), 1000);
        cache.get(4, missing()).await.unwrap();
        assert!(cache.peek(&5).is_none());
        cache.put(5, vec![0; 60]);
        cache.put(6, vec![0; 40]);
        assert_eq!(cache.peek(&5).unwrap().len(), 60);
        cache.put(7, vec![0; 10]);
        assert!(cache.peek(&5).is_some() && cache.peek(&6).is_none());
        cache.remove(&5);
        assert!(cache.peek(&5).is_none());
    }
}
