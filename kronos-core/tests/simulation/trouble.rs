//! What happens to the world between the deeds: sources change, clocks jump, packs and entries go bad.

use std::time::Duration;

use kronos_core::testing::{FaultPlan, Prng, append_unknown_entry, log_keys};
use kronos_core::{Key, RunContext};

use crate::history::{GRACE, JOBS, World, job_of};

impl World {
    /// Sources change, clocks jump, late effects come, log entries go bad and recover.
    pub(crate) async fn change_the_world(&mut self) {
        for job in JOBS {
            if self.prng.chance(0.7) {
                self.change_source(job);
            }
        }
        match self.prng.below(10) {
            0..=4 => {
                let by = Duration::from_secs(self.prng.below(2 * GRACE.as_secs()));
                self.clock.advance(by);
            }
            5 => {
                let back = Duration::from_secs(self.prng.below(GRACE.as_secs()));
                let now = kronos_core::Clock::now(&self.clock);
                self.clock.set(now.minus(back));
                self.note(format!("the clock goes back by {back:?}"));
            }
            6 if self.prng.chance(0.1) => self.clock.advance(Duration::from_hours(12000)),
            _ => self.clock.advance(Duration::from_mins(1)),
        }
        if self.prng.chance(0.4) {
            for client in std::mem::take(&mut self.clients) {
                client.settle().await;
            }
        }
        if self.prng.chance(0.1) {
            self.harm();
        }
        let place = self.prng.index(2);
        if self.prng.chance(0.3) {
            self.repair_logs(place).await;
        } else if self.prng.chance(0.15) {
            self.damage_log(place).await;
        }
    }

    pub(crate) fn change_source(&mut self, job: &'static str) {
        let source = self.sources[job].clone();
        let name = ["a", "b", "c"][self.prng.index(3)];
        if self.prng.chance(0.1) {
            return source.remove(name);
        }
        let mut bytes = source.contents().get(name).map(|b| b.to_vec()).unwrap_or_default();
        match self.prng.below(4) {
            0 => {
                let seed = self.prng.bits();
                let mut noise = Prng::new(seed);
                bytes = (0..self.prng.below(4_000)).map(|_| noise.below(256) as u8).collect();
            }
            1 => {
                let more = self.prng.below(1_000);
                let mut noise = Prng::new(more);
                bytes.extend((0..more).map(|_| noise.below(256) as u8));
            }
            2 => bytes.truncate(self.prng.index(bytes.len() + 1)),
            _ => {
                for _ in 0..3 {
                    if !bytes.is_empty() {
                        let at = self.prng.index(bytes.len());
                        bytes[at] ^= 1;
                    }
                }
            }
        }
        source.set(name, bytes);
    }

    /// A pack of the first place goes bad, or away.
    pub(crate) fn harm(&mut self) {
        let job = JOBS[self.prng.index(2)];
        let place = &mut self.places[0];
        let Some(memory) = place.ground.memory() else { return };
        let mine =
            |k: &Key| job_of(k.as_str()) == job && (k.as_str().contains("/packs/") || k.as_str().contains("/meta/"));
        let keys: Vec<Key> = memory.keys().into_iter().filter(mine).collect();
        if keys.is_empty() {
            return;
        }
        let key = &keys[self.prng.index(keys.len())];
        let Some(before) = memory.read(key) else { return };
        let bits = 8 * before.len();
        let how = self.prng.below(3);
        match how {
            0 => drop(memory.remove(key).then_some(())),
            1 => drop(memory.truncate(key, bits / 16).then_some(())),
            _ => {
                for _ in 0..=self.prng.below(20) {
                    memory.flip(key, self.prng.index(bits.max(1)));
                }
            }
        }
        place.scarred.insert(job);
        place.harmed.entry(job).or_default().entry(key.clone()).or_insert(before);
        self.stats.harmed += 1;
        self.note(format!("place 0: harm of kind {how} to {key}"));
    }

    pub(crate) async fn damage_log(&mut self, at: usize) {
        let job = JOBS[self.prng.index(2)];
        let Some(memory) = self.places[at].ground.memory() else { return };
        let keys = log_keys(job, &memory.keys()).unwrap();
        if keys.is_empty() {
            return;
        }
        if self.prng.chance(0.2) {
            let run = RunContext::reproducible(self.prng.bits(), &self.clock);
            let repository = self.clean(at).await;
            if let Ok(key) = append_unknown_entry(&repository, job, &run).await {
                self.note(format!("an unknown entry {key}"));
                self.places[at].unknown.push((job, key));
            }
            return;
        }
        let key = keys[self.prng.index(keys.len())].clone();
        let place = &mut self.places[at];
        if place.damaged.iter().any(|(_, k, _)| *k == key) || place.unknown.iter().any(|(_, k)| *k == key) {
            return;
        }
        let Some(memory) = place.ground.memory() else { return };
        let Some(before) = memory.read(&key) else { return };
        // An entry is there twice; both copies go.
        memory.flip(&key, 4 * before.len() - 9);
        memory.flip(&key, 8 * before.len() - 9);
        place.damaged.push((job, key.clone(), before));
        self.note(format!("place {at}: {key} goes bad"));
    }

    /// The bad entries can be read again, and a newer version understands the unknown ones –
    /// which is to say that they are forgotten about, if nothing came after them.
    pub(crate) async fn repair_logs(&mut self, at: usize) {
        // An entry that is taken away must not make room for a late one.
        for client in std::mem::take(&mut self.clients) {
            client.settle().await;
        }
        let place = &mut self.places[at];
        let Some(memory) = place.ground.memory() else { return };
        for (_, key, before) in place.damaged.drain(..) {
            memory.overwrite(&key, before);
        }
        let keys = memory.keys();
        place.unknown.retain(|(job, key)| {
            let last = log_keys(job, &keys).unwrap().last() == Some(key);
            if last {
                memory.remove(key);
            }
            !last
        });
    }

    pub(crate) fn plan(&mut self) -> FaultPlan {
        let rate = [0.0, 0.01, 0.04, 0.25][self.prng.index(4)];
        let lists = [0.0, 0.2, 0.6][self.prng.index(3)];
        let chance = |prng: &mut Prng, p: f64| if prng.chance(p) { rate } else { 0.0 };
        FaultPlan {
            error_before: rate,
            error_after: chance(&mut self.prng, 0.7),
            late_effect: chance(&mut self.prng, 0.7),
            torn_write: chance(&mut self.prng, 0.3),
            stale_list: lists,
            incomplete_list: lists,
            reordered_list: lists,
            latency: [0, 5, if self.is_real() { 20 } else { 200 }][self.prng.index(3)],
            crash_at: self.prng.chance(0.25).then(|| 1 + self.prng.below(60)),
            stall_at: None,
        }
    }
}
