//! The state of a job: its log, folded. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{Digest, Id};
use crate::strategy::{History, PastBackup};
use crate::time::Timestamp;

use super::damage::Damage;
use super::entry::{Action, Decoded, Entry, Manifest, Move};

/// The key of an entry's digest.
fn position(entry: Option<u64>) -> u64 {
    entry.map_or(0, |seq| seq + 1)
}

/// How many digests are kept, to tell what an entry was written after.
const DIGESTS: usize = 256;

/// A backup that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub seq: u64,
    pub manifest: Manifest,
    pub held: bool,
    /// The last verification's result.
    pub verified: Option<bool>,
    /// It needs a block that is known to be bad.
    pub damaged: bool,
}

impl Record {
    /// Nothing known speaks against it.
    pub(crate) fn is_good(&self) -> bool {
        self.verified != Some(false) && !self.damaged
    }
}

/// Why a number of the log could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub seq: u64,
    pub reason: String,
}

/// A log, folded up to `next`.
///
/// A checkpoint with fields that are not known here comes from a version that understood more: it
/// is not read, so that what it understood is not lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The number that comes next.
    pub next: u64,
    /// The newest entry that was understood, which the next entry names as its predecessor.
    pub after: Option<u64>,
    /// Digests of the newest entries that were understood, and of the job's id.
    /// By their number plus one; 0 is the job.
    pub digests: BTreeMap<u64, Digest>,
    /// The last entry's time.
    pub time: Timestamp,
    /// By the number of their entry: oldest first.
    pub backups: BTreeMap<u64, Record>,
    /// Roots of forgotten backups that have not been swept yet.
    pub retired_roots: BTreeSet<Id>,
    /// Every origin that was ever here, also of forgotten backups.
    pub origins: BTreeSet<Id>,
    /// Doomed packs, and since when.
    pub doomed: BTreeMap<Id, Timestamp>,
    /// Runs that were given up: they cannot commit.
    pub closed: BTreeSet<Id>,
    /// Packs that are gone for good.
    pub swept: BTreeSet<Id>,
    /// Blocks known to be bad: writers treat them as not there.
    pub damage: Damage,
    /// Numbers that could not be understood: while there are any, nothing is deleted.
    pub faults: Vec<Fault>,
    /// Numbers of which one copy is damaged, for `check`.
    #[serde(skip)]
    pub scars: Vec<u64>,
}

impl State {
    pub(crate) fn empty(job: Id) -> Self {
        Self {
            next: 0,
            after: None,
            digests: BTreeMap::from([(0, Digest::of(&job.0))]),
            time: Timestamp::default(),
            backups: BTreeMap::new(),
            retired_roots: BTreeSet::new(),
            origins: BTreeSet::new(),
            doomed: BTreeMap::new(),
            closed: BTreeSet::new(),
            swept: BTreeSet::new(),
            damage: Damage::default(),
            faults: Vec::new(),
            scars: Vec::new(),
        }
    }

    /// Takes in what was found at the next number.
    pub(crate) fn fold(&mut self, found: &Decoded, digest: Digest) {
        let seq = self.next;
        match found {
            Decoded::Entry(entry) => {
                if !self.follows(entry) {
                    self.fault(seq, "the entry names another predecessor");
                }
                self.apply(entry);
                self.after = Some(seq);
                self.digests.insert(seq + 1, digest);
                if self.digests.len() > DIGESTS {
                    self.digests.pop_first();
                }
            }
            Decoded::Void(reason) => self.fault(seq, &format!("the entry is void: {reason}")),
            Decoded::Unknown(kind) => self.fault(seq, &format!("the entry is of an unknown kind: {kind:?}")),
        }
        self.next = seq + 1;
    }

    /// Whether an entry fits what came before it. Its author may have understood less than we do,
    /// when an entry was unreadable to it, or more, when one is unreadable to us.
    fn follows(&self, entry: &Entry) -> bool {
        match self.digests.get(&position(entry.after)) {
            Some(digest) => *digest == entry.prev,
            None => self.faults.iter().any(|f| Some(f.seq) == entry.after),
        }
    }

    /// What the next entry names as its predecessor.
    pub(crate) fn predecessor(&self) -> Digest {
        self.digests.get(&position(self.after)).copied().unwrap_or(Digest([0; 32]))
    }

    /// Takes in that the next number is not there although later ones are.
    pub(crate) fn fold_missing(&mut self) {
        self.fault(self.next, "the entry is missing");
        self.next += 1;
    }

    /// Takes in that the next number is there and cannot be read.
    pub(crate) fn fold_unreadable(&mut self, reason: &str) {
        self.fault(self.next, &format!("the entry cannot be read: {reason}"));
        self.next += 1;
    }

    fn fault(&mut self, seq: u64, reason: &str) {
        self.faults.push(Fault { seq, reason: reason.to_owned() });
    }

    fn apply(&mut self, entry: &Entry) {
        self.time = self.time.max(entry.time);
        match &entry.action {
            Action::Backup(manifest) => {
                self.origins.insert(manifest.origin.backup);
                for pack in &manifest.revives {
                    self.doomed.remove(pack);
                }
                let manifest = (**manifest).clone();
                let record = Record { seq: entry.seq, manifest, held: false, verified: None, damaged: false };
                self.backups.insert(entry.seq, record);
            }
            Action::Forget { backups } => self.forget(backups),
            Action::Hold { backup } => self.change(*backup, |r| r.held = true),
            Action::Release { backup } => self.change(*backup, |r| r.held = false),
            Action::Verified { backup, good } => self.change(*backup, |r| r.verified = Some(*good)),
            Action::Doom { packs, runs, at } => {
                self.closed.extend(runs);
                for pack in packs {
                    self.doomed.entry(*pack).or_insert(*at);
                }
            }
            Action::Sweep { packs } => {
                for pack in packs {
                    self.doomed.remove(pack);
                    self.retired_roots.remove(pack);
                    self.damage.remove(*pack);
                    self.swept.insert(*pack);
                }
            }
            Action::Damaged { packs, backups, sound, whole } => {
                self.damage.add(packs);
                for pack in sound {
                    self.damage.remove(*pack);
                }
                for (damaged, list) in [(false, whole), (true, backups)] {
                    for backup in list {
                        self.change(*backup, |r| r.damaged = damaged);
                    }
                }
            }
            Action::Moved { moves, revives, .. } => {
                for pack in revives {
                    self.doomed.remove(pack);
                }
                for to in moves {
                    self.apply_move(to);
                }
            }
        }
    }

    fn apply_move(&mut self, to: &Move) {
        let mut left = None;
        self.change(to.backup, |r| {
            if r.manifest.root.id == to.was {
                left = Some(to.was);
                r.manifest.root = to.root;
                if to.healed {
                    r.damaged = false;
                    // What a verification found may have been this; the next one tells.
                    r.verified = r.verified.filter(|good| *good);
                }
            }
        });
        self.retired_roots.extend(left);
    }

    /// Takes backups away.
    pub(crate) fn forget(&mut self, backups: &[Id]) {
        let retired = &mut self.retired_roots;
        self.backups.retain(|_, r| {
            let goes = backups.contains(&r.manifest.backup);
            if goes {
                retired.insert(r.manifest.root.id);
            }
            !goes
        });
    }

    fn change(&mut self, backup: Id, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.backups.values_mut().find(|r| r.manifest.backup == backup) {
            change(record);
        }
    }

    pub(crate) fn find(&self, backup: Id) -> Option<&Record> {
        self.backups.values().find(|r| r.manifest.backup == backup)
    }

    /// The backup that came from there, or is the one itself.
    pub(crate) fn find_origin(&self, origin: Id) -> Option<&Record> {
        self.backups.values().find(|r| r.manifest.origin.backup == origin)
    }

    /// What strategies see.
    pub(crate) fn history(&self) -> History {
        let past = |r: &Record| PastBackup {
            id: r.manifest.backup,
            kind: r.manifest.kind,
            started: r.manifest.started,
            failed_verification: !r.is_good(),
        };
        let mut backups: Vec<PastBackup> = self.backups.values().map(past).collect();
        backups.sort_by_key(|b| (b.started, b.id));
        History { backups }
    }
}
