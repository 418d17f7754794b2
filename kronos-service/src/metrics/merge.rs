//! Figures of several processes in one textfile: counts are added, states replaced.

use std::collections::BTreeMap;

use super::figures::{Figures, JobFigures, Runs, StorageState};
use super::latency::Latency;

impl Figures {
    /// Takes over what a process has. `told` is what it had when it last did this: only what was
    /// counted since is added.
    pub(super) fn merge(&mut self, now: &Self, told: &Self) {
        for (name, job) in &now.jobs {
            let before = told.jobs.get(name).cloned().unwrap_or_default();
            if *job != before || !self.jobs.contains_key(name) {
                self.jobs.entry(name.clone()).or_default().merge(job, &before);
            }
        }
        for (name, storage) in &now.storages {
            let before = told.storages.get(name).cloned().unwrap_or_default();
            if *storage != before || !self.storages.contains_key(name) {
                self.storages.entry(name.clone()).or_default().merge(storage, &before);
            }
        }
        self.service = now.service;
        self.pools.clone_from(&now.pools);
    }
}

impl JobFigures {
    fn merge(&mut self, now: &Self, told: &Self) {
        for (operation, runs) in &now.operations {
            let before = told.operations.get(operation).cloned().unwrap_or_default();
            if *runs != before {
                self.operations.entry(*operation).or_default().merge(runs, &before);
            }
        }
        if now.backup != told.backup {
            self.backup = now.backup;
        }
        self.read += since(now.read, told.read);
        self.stored += since(now.stored, told.stored);
        self.chunks += since(now.chunks, told.chunks);
        self.new_chunks += since(now.new_chunks, told.new_chunks);
        for (storage, at) in &now.storages {
            let mine = self.storages.entry(storage.clone()).or_insert(*at);
            *mine = (*mine).max(*at);
        }
        if (now.next_due, now.paused) != (told.next_due, told.paused) {
            (self.next_due, self.paused) = (now.next_due, now.paused);
        }
        self.missed += since(now.missed, told.missed);
        if now.capture_lag != told.capture_lag {
            self.capture_lag = now.capture_lag;
        }
    }
}

impl Runs {
    fn merge(&mut self, now: &Self, told: &Self) {
        self.last_success = self.last_success.max(now.last_success);
        self.last_end = self.last_end.max(now.last_end);
        self.last_duration = now.last_duration.or(self.last_duration);
        // A process that only saw failures does not know how many there had been.
        let succeeded = now.last_success != told.last_success;
        self.failing = if succeeded { now.failing } else { self.failing + since(now.failing, told.failing) };
        add(&mut self.ended, &now.ended, &told.ended);
        add(&mut self.failures, &now.failures, &told.failures);
    }
}

impl StorageState {
    fn merge(&mut self, now: &Self, told: &Self) {
        self.up = now.up.or(self.up);
        self.last_success = self.last_success.max(now.last_success);
        add(&mut self.failures, &now.failures, &told.failures);
        self.dropped += since(now.dropped, told.dropped);
        self.caught_up += since(now.caught_up, told.caught_up);
        self.forgotten += since(now.forgotten, told.forgotten);
        self.freed += since(now.freed, told.freed);
        self.sent += since(now.sent, told.sent);
        self.received += since(now.received, told.received);
        for (request, latency) in &now.requests {
            let before = told.requests.get(request).cloned().unwrap_or_default();
            self.requests.entry(request.clone()).or_default().merge(latency, &before);
        }
    }
}

impl Latency {
    fn merge(&mut self, now: &Self, told: &Self) {
        for (mine, (now, told)) in self.counts.iter_mut().zip(now.counts.iter().zip(&told.counts)) {
            *mine += since(*now, *told);
        }
        self.sum += if now.sum >= told.sum { now.sum - told.sum } else { now.sum };
        self.failed += since(now.failed, told.failed);
    }
}

fn add<K: Ord + Clone>(mine: &mut BTreeMap<K, u64>, now: &BTreeMap<K, u64>, told: &BTreeMap<K, u64>) {
    for (key, count) in now {
        *mine.entry(key.clone()).or_default() += since(*count, told.get(key).copied().unwrap_or_default());
    }
}

/// What was counted since. A count that fell began anew: its name had left the configuration, and
/// came back.
fn since(now: u64, told: u64) -> u64 {
    now.checked_sub(told).unwrap_or(now)
}
