//! One random history: several clients of two repositories, each with a storage that fails in
//! its own way, and a world that does not stand still. Beneath the faults lies memory, of which
//! bytes go bad as well, or real storages, on which time is real.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kronos_core::testing::{FaultStorage, ManualClock, MemorySource, MemoryStorage, Prng};
use kronos_core::{
    BackupInfo, Bug, ChunkerParameters, Credentials, ErrorKind, Id, Key, Protection, Repository, RunContext, Storage,
    Timestamp, list,
};

use crate::deeds::{Deed, End};
use crate::ledger::{Contents, Ledger};

pub(crate) const JOBS: [&str; 2] = ["shop", "Other"];
pub(crate) const GRACE: Duration = Duration::from_hours(24);

/// What happened, for the sake of knowing that something did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub committed: u64,
    pub restored: u64,
    pub crashes: u64,
    pub conflicts: u64,
    pub in_doubt: u64,
    pub deleted: u64,
    pub swept: u64,
    pub copied: u64,
    pub refused: u64,
    pub failed: u64,
    pub harmed: u64,
    pub healed: u64,
    pub compacted: u64,
    /// Backups that the second place got out of the same read.
    pub both: u64,
    /// Places that such a read went on without.
    pub left_out: u64,
}

impl Stats {
    pub(crate) fn add(&mut self, o: &Self) {
        self.committed += o.committed;
        self.restored += o.restored;
        self.crashes += o.crashes;
        self.conflicts += o.conflicts;
        self.in_doubt += o.in_doubt;
        self.deleted += o.deleted;
        self.swept += o.swept;
        self.copied += o.copied;
        self.refused += o.refused;
        self.failed += o.failed;
        self.harmed += o.harmed;
        self.healed += o.healed;
        self.compacted += o.compacted;
        self.both += o.both;
        self.left_out += o.left_out;
    }
}

pub(crate) type Check = Result<(), String>;

/// What became of the deeds of one client after the other, and where.
pub(crate) type Ends = Vec<(usize, Deed, End)>;

/// What lies beneath one place.
#[allow(dead_code, reason = "a lane has one of them")]
#[derive(Debug, Clone)]
pub(crate) enum Ground {
    Memory(MemoryStorage),
    Real(Arc<dyn Storage>),
}

impl Ground {
    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        match self {
            Self::Memory(memory) => Arc::new(memory.clone()),
            Self::Real(storage) => Arc::clone(storage),
        }
    }

    /// What bytes can go bad in.
    pub(crate) fn memory(&self) -> Option<&MemoryStorage> {
        match self {
            Self::Memory(memory) => Some(memory),
            Self::Real(_) => None,
        }
    }
}

/// Lives the history of a seed; an error says what was found wrong.
pub(crate) async fn live(
    seed: u64,
    bug: Option<Bug>,
    verbose: bool,
    grounds: [Ground; 2],
    steps: u64,
) -> Result<Stats, String> {
    let mut world = World::new(seed, bug, verbose, grounds).await;
    match world.live(steps).await {
        Ok(()) => Ok(world.stats),
        Err(e) => Err(format!("{e}\n{}", world.diary.join("\n"))),
    }
}

/// One storage with its repository, seen without faults.
pub(crate) struct Place {
    pub(crate) ground: Ground,
    pub(crate) ledgers: BTreeMap<&'static str, Ledger>,
    /// Damaged log entries, and what they were.
    pub(crate) damaged: Vec<(&'static str, Key, bytes::Bytes)>,
    /// Entries of an unknown kind.
    pub(crate) unknown: Vec<(&'static str, Key)>,
    /// Jobs of which packs have gone bad, and what those were.
    pub(crate) harmed: BTreeMap<&'static str, BTreeMap<Key, bytes::Bytes>>,
    /// Jobs of which a pack has ever gone bad.
    pub(crate) scarred: BTreeSet<&'static str>,
    /// What runs into both places may have committed here.
    pub(crate) doubtful: BTreeMap<&'static str, Vec<Contents>>,
}

impl Place {
    pub(crate) fn doubt(&mut self, job: &'static str, contents: Contents) {
        self.doubtful.entry(job).or_default().push(contents.clone());
        self.ledgers.entry(job).or_default().unknown.push(contents);
    }
}

pub(crate) struct World {
    pub(crate) prng: Prng,
    pub(crate) bug: Option<Bug>,
    pub(crate) clock: ManualClock,
    pub(crate) places: Vec<Place>,
    pub(crate) sources: BTreeMap<&'static str, MemorySource>,
    /// Clients with effects still to come.
    pub(crate) clients: Vec<FaultStorage>,
    pub(crate) stats: Stats,
    /// Committed in the step that is under way.
    pub(crate) recent: BTreeSet<Id>,
    /// Several clients are at work.
    pub(crate) crowded: bool,
    pub(crate) diary: Vec<String>,
    pub(crate) verbose: bool,
}

impl World {
    async fn new(seed: u64, bug: Option<Bug>, verbose: bool, grounds: [Ground; 2]) -> Self {
        let mut prng = Prng::new(seed);
        let clock = ManualClock::new(Timestamp::parse("2026-01-01T00:00:00Z").unwrap());
        let run = RunContext::reproducible(prng.bits(), &clock);
        let place = |ground| Place {
            ground,
            ledgers: BTreeMap::new(),
            damaged: Vec::new(),
            unknown: Vec::new(),
            harmed: BTreeMap::new(),
            scarred: BTreeSet::new(),
            doubtful: BTreeMap::new(),
        };
        let [one, two] = grounds;
        let parameters = ChunkerParameters::tiny();
        let first = Repository::init(one.storage(), &Protection::None, parameters.clone(), &run).await.unwrap();
        if prng.chance(0.5) {
            Repository::init_like(two.storage(), &first, &run).await.unwrap();
        } else {
            Repository::init(two.storage(), &Protection::None, parameters, &run).await.unwrap();
        }
        let mut sources = BTreeMap::new();
        for job in JOBS {
            let source = MemorySource::new(job);
            let source = if prng.chance(0.5) { source.with_pages(64) } else { source };
            sources.insert(job, if prng.chance(0.5) { source.with_proofs() } else { source });
        }
        let places = vec![place(one), place(two)];
        let (clients, diary, recent) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self {
            prng,
            bug,
            clock,
            places,
            sources,
            clients,
            stats: Stats::default(),
            recent,
            crowded: false,
            diary,
            verbose,
        }
    }

    pub(crate) fn note(&mut self, line: String) {
        if self.verbose {
            println!("{line}");
        }
        self.diary.push(line);
    }

    pub(crate) fn run(&mut self) -> RunContext {
        let mut run = RunContext::reproducible(self.prng.bits(), &self.clock).with_bug(self.bug);
        if !self.is_real() {
            run = run.with_tiny_parts();
        }
        run.limits.grace = GRACE;
        run.limits.attempts = 4;
        run.limits.backoff = Duration::from_millis(20);
        run.limits.parallel = 1 + self.prng.index(3);
        run
    }

    async fn live(&mut self, steps: u64) -> Check {
        let steps = steps + self.prng.below(10);
        for step in 0..steps {
            self.note(format!("-- step {step}"));
            self.change_the_world().await;
            self.act().await?;
            self.judge().await?;
            if self.prng.chance(0.1) {
                let job = JOBS[self.prng.index(2)];
                self.heal(job).await?;
            }
        }
        self.end().await
    }

    /// Whether time goes by as it does outside.
    pub(crate) fn is_real(&self) -> bool {
        self.places.iter().any(|place| place.ground.memory().is_none())
    }

    pub(crate) fn is_damaged(&self, at: usize, job: &str) -> bool {
        let place = &self.places[at];
        place.damaged.iter().any(|(j, _, _)| *j == job) || place.unknown.iter().any(|(j, _)| *j == job)
    }

    pub(crate) async fn clean(&self, at: usize) -> Repository {
        let run = RunContext::reproducible(0, &self.clock);
        Repository::open(self.places[at].ground.storage(), &Credentials::None, &run).await.unwrap()
    }

    /// What a client without faults sees.
    pub(crate) async fn listed(&self, at: usize, job: &str) -> Vec<BackupInfo> {
        let run = RunContext::reproducible(0, &self.clock);
        let repository = self.clean(at).await;
        match list(&repository, Some(job), &run).await {
            Ok(listing) => listing.backups,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => panic!("a clean listing failed: {e:?}"),
        }
    }
}

pub(crate) fn job_of(object: &str) -> &'static str {
    if object.starts_with("jobs/shop/") { JOBS[0] } else { JOBS[1] }
}
