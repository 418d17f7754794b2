//! What the fault-injecting storage remembers: its dice, its counters, its log, and what is still
//! to take effect. Ordered collections only, so that a seed means one history.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::FaultPlan;
use crate::storage::{Key, ObjectMeta};
use crate::testing::Prng;

/// How many operations the log keeps.
const LOG: usize = 200;
/// How many earlier listings are kept for stale ones.
const PAST: usize = 8;
/// The most operations that an effect may come late.
const LATE: u64 = 20;

/// What is to become of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Well,
    ErrorBefore,
    ErrorAfter,
    Late { due: u64 },
    Torn,
    Crash { effect: bool, torn: bool },
}

/// Which faults make sense for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    PutIfAbsent,
    Delete,
    Other,
}

/// One operation under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) number: u64,
    pub(super) fate: Fate,
}

/// An effect whose call has failed already.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Put(Key, Bytes),
    PutIfAbsent(Key, Bytes),
    Delete(Vec<Key>),
}

#[derive(Debug)]
struct Line {
    number: u64,
    name: &'static str,
    object: String,
    outcome: String,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) plan: FaultPlan,
    pub(super) prng: Prng,
    pub(super) operations: u64,
    pub(super) injected: BTreeMap<&'static str, u64>,
    pub(super) unreadable: BTreeSet<Key>,
    pub(super) past_listings: VecDeque<Vec<ObjectMeta>>,
    late: Vec<(u64, Effect)>,
    log: VecDeque<Line>,
}

impl State {
    pub(super) fn new(seed: u64, plan: FaultPlan) -> Self {
        Self {
            plan,
            prng: Prng::new(seed),
            operations: 0,
            injected: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            past_listings: VecDeque::new(),
            late: Vec::new(),
            log: VecDeque::new(),
        }
    }

    /// Numbers an operation and decides what becomes of it.
    pub(super) fn begin(&mut self, name: &'static str, kind: Kind, object: Option<&Key>) -> Operation {
        self.operations += 1;
        let number = self.operations;
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        let object = object.map(ToString::to_string).unwrap_or_default();
        self.log.push_back(Line { number, name, object, outcome: "never answered".to_owned() });
        let fate = self.decide(kind, number);
        match fate {
            Fate::Well => {}
            Fate::ErrorBefore => self.count("error before"),
            Fate::ErrorAfter => self.count("error after"),
            Fate::Late { .. } => self.count("late effect"),
            Fate::Torn => self.count("torn write"),
            Fate::Crash { .. } => self.count("crash"),
        }
        Operation { number, fate }
    }

    fn decide(&mut self, kind: Kind, number: u64) -> Fate {
        if self.plan.crash_at.is_some_and(|at| number >= at) {
            return Fate::Crash { effect: self.prng.chance(0.5), torn: self.prng.chance(self.plan.torn_write) };
        }
        if self.prng.chance(self.plan.error_before) {
            return Fate::ErrorBefore;
        }
        if self.prng.chance(self.plan.error_after) {
            return Fate::ErrorAfter;
        }
        if self.prng.chance(self.plan.late_effect) && kind != Kind::Other {
            return Fate::Late { due: number + 1 + self.prng.below(LATE) };
        }
        if self.prng.chance(self.plan.torn_write) && kind == Kind::Put {
            return Fate::Torn;
        }
        Fate::Well
    }

    pub(super) fn count(&mut self, fault: &'static str) {
        *self.injected.entry(fault).or_default() += 1;
    }

    pub(super) fn end(&mut self, number: u64, outcome: impl Into<String>) {
        if let Some(line) = self.log.iter_mut().rfind(|line| line.number == number) {
            line.outcome = outcome.into();
        }
    }

    pub(super) fn postpone(&mut self, due: u64, effect: Effect) {
        self.late.push((due, effect));
    }

    /// Takes out what is due, or everything. Effects that are due together come in a random order.
    pub(super) fn take_late(&mut self, all: bool) -> Vec<Effect> {
        let now = self.operations;
        let mut due: Vec<Effect> =
            self.late.extract_if(.., |(due, _)| all || *due <= now).map(|(_, effect)| effect).collect();
        self.prng.shuffle(&mut due);
        due
    }

    pub(super) fn late_effects(&self) -> usize {
        self.late.len()
    }

    pub(super) fn remember_listing(&mut self, all: Vec<ObjectMeta>) {
        if self.past_listings.len() == PAST {
            self.past_listings.pop_front();
        }
        self.past_listings.push_back(all);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.log.iter().map(|l| format!("#{} {} {} -> {}", l.number, l.name, l.object, l.outcome)).collect()
    }
}
