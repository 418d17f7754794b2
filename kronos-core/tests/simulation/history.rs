//! One random history: several clients of two repositories, each with a storage that fails in
//! its own way, and a world that does not stand still.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kronos_core::testing::{
    FaultPlan, FaultStorage, ManualClock, MemorySource, MemoryStorage, Prng, append_unknown_entry, log_keys,
    needed_and_idle,
};
use kronos_core::{
    BackupInfo, BackupOptions, Bug, ChunkerParameters, Credentials, Differential, Error, ErrorKind, Full, Id,
    Incremental, Key, Protection, PruneOptions, ReadData, Repository, RestoreOptions, Retention, RunContext, Storage,
    Timestamp, backup, check, copy, forget, hold, list, prune, release, restore,
};

use crate::ledger::{Contents, Fate, Ledger};

const JOBS: [&str; 2] = ["shop", "Other"];
const GRACE: Duration = Duration::from_hours(24);

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
    }
}

type Check = Result<(), String>;

/// What became of the deeds of one client after the other, and where.
type Ends = Vec<(usize, Deed, End)>;

/// Runs the history of a seed; an error says what was found wrong.
pub(crate) fn run_history(seed: u64, bug: Option<Bug>, verbose: bool) -> Result<Stats, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|e| e.to_string())?.block_on(async {
        let mut world = World::new(seed, bug, verbose).await;
        let result = world.live().await;
        match result {
            Ok(()) => Ok(world.stats),
            Err(e) => Err(format!("{e}\n{}", world.diary.join("\n"))),
        }
    })
}

/// One storage with its repository, seen without faults.
struct Place {
    storage: MemoryStorage,
    ledgers: BTreeMap<&'static str, Ledger>,
    /// Damaged log entries, and what they were.
    damaged: Vec<(&'static str, Key, bytes::Bytes)>,
    /// Entries of an unknown kind.
    unknown: Vec<(&'static str, Key)>,
    /// Jobs of which packs have gone bad, and what those were.
    harmed: BTreeMap<&'static str, BTreeMap<Key, bytes::Bytes>>,
    /// Jobs of which a pack has ever gone bad.
    scarred: BTreeSet<&'static str>,
}

struct World {
    prng: Prng,
    bug: Option<Bug>,
    clock: ManualClock,
    places: Vec<Place>,
    sources: BTreeMap<&'static str, MemorySource>,
    /// Clients with effects still to come.
    clients: Vec<FaultStorage>,
    stats: Stats,
    /// Committed in the step that is under way.
    recent: BTreeSet<Id>,
    /// Several clients are at work.
    crowded: bool,
    diary: Vec<String>,
    verbose: bool,
}

/// What one client does.
#[derive(Debug, Clone)]
enum Deed {
    Backup { job: &'static str, strategy: u64, slow: bool },
    Forget { job: &'static str, backup: BackupInfo },
    Hold { job: &'static str, backup: BackupInfo, on: bool },
    Prune { job: &'static str, retention: Option<Retention>, compact: bool },
    Copy { job: &'static str },
    Restore { job: &'static str, backup: BackupInfo },
    List { job: &'static str },
}

/// How it ended.
enum End {
    Backup(Contents, Result<Option<Id>, Error>),
    Done(Result<(), Error>),
    Prune(Box<Result<kronos_core::PruneReport, Error>>),
    Copy(Result<kronos_core::CopyReport, Error>),
    Restore(Result<(), Error>, Contents),
    List(Result<Vec<Id>, Error>),
    Crashed,
}

impl World {
    async fn new(seed: u64, bug: Option<Bug>, verbose: bool) -> Self {
        let mut prng = Prng::new(seed);
        let clock = ManualClock::new(Timestamp::parse("2026-01-01T00:00:00Z").unwrap());
        let run = RunContext::reproducible(prng.bits(), &clock);
        let place = |storage| Place {
            storage,
            ledgers: BTreeMap::new(),
            damaged: Vec::new(),
            unknown: Vec::new(),
            harmed: BTreeMap::new(),
            scarred: BTreeSet::new(),
        };
        let (one, two) = (MemoryStorage::new(), MemoryStorage::new());
        let parameters = ChunkerParameters::tiny();
        let first = Repository::init(Arc::new(one.clone()), &Protection::None, parameters.clone(), &run).await.unwrap();
        if prng.chance(0.5) {
            Repository::init_like(Arc::new(two.clone()), &first, &run).await.unwrap();
        } else {
            Repository::init(Arc::new(two.clone()), &Protection::None, parameters, &run).await.unwrap();
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

    fn note(&mut self, line: String) {
        if self.verbose {
            println!("{line}");
        }
        self.diary.push(line);
    }

    fn run(&mut self) -> RunContext {
        let mut run = RunContext::reproducible(self.prng.bits(), &self.clock).with_bug(self.bug);
        run.limits.grace = GRACE;
        run.limits.attempts = 4;
        run.limits.backoff = Duration::from_millis(20);
        run.limits.parallel = 1 + self.prng.index(3);
        run
    }

    async fn live(&mut self) -> Check {
        let steps = 6 + self.prng.below(10);
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

    /// Sources change, clocks jump, late effects come, log entries go bad and recover.
    async fn change_the_world(&mut self) {
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

    fn change_source(&mut self, job: &'static str) {
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
    fn harm(&mut self) {
        let job = JOBS[self.prng.index(2)];
        let place = &mut self.places[0];
        let mine =
            |k: &Key| job_of(k.as_str()) == job && (k.as_str().contains("/packs/") || k.as_str().contains("/meta/"));
        let keys: Vec<Key> = place.storage.keys().into_iter().filter(mine).collect();
        if keys.is_empty() {
            return;
        }
        let key = &keys[self.prng.index(keys.len())];
        let Some(before) = place.storage.read(key) else { return };
        let bits = 8 * before.len();
        let how = self.prng.below(3);
        match how {
            0 => drop(place.storage.remove(key).then_some(())),
            1 => drop(place.storage.truncate(key, bits / 16).then_some(())),
            _ => {
                for _ in 0..1 + self.prng.below(20) {
                    place.storage.flip(key, self.prng.index(bits.max(1)));
                }
            }
        }
        place.scarred.insert(job);
        place.harmed.entry(job).or_default().entry(key.clone()).or_insert(before);
        self.stats.harmed += 1;
        self.note(format!("place 0: harm of kind {how} to {key}"));
    }

    /// A check finds what is bad, the same contents come once more, and all is well.
    async fn heal(&mut self, job: &'static str) -> Check {
        if !self.places[0].harmed.contains_key(job) || self.is_damaged(0, job) {
            return Ok(());
        }
        // What comes late could be a backup that nobody here knows of.
        for client in std::mem::take(&mut self.clients) {
            client.settle().await;
        }
        let repository = self.clean(0).await;
        let run = RunContext::reproducible(self.prng.bits(), &self.clock).with_bug(self.bug);
        // Nobody has checked what no backup needs, and the next backup may take it for good.
        if let Ok((_, idle)) = needed_and_idle(&repository, job, &run).await {
            for (key, before) in self.places[0].harmed.get(job).into_iter().flatten() {
                if idle.contains(key) {
                    self.places[0].storage.overwrite(key, before.clone());
                }
            }
        }
        let found = check(&repository, ReadData::All, &run).await.map_err(|e| format!("check of {job}: {e:?}"))?;
        self.note(format!("damaged: {:?}, {:?}", found.damaged_backups, found.problems));
        let source = self.sources[job].clone();
        let before = source.contents();
        let ledger = self.places[0].ledgers.entry(job).or_default();
        let known = ledger.accounts.values().filter(|a| a.fate != Fate::Gone).map(|a| a.contents.clone());
        let all: Vec<Contents> = known.chain(ledger.unknown.iter().cloned()).collect();
        for contents in all {
            replace(&source, &contents);
            let made = backup(&repository, &source, &BackupOptions::new(), &run).await;
            let made = made.map_err(|e| format!("a backup that was to heal {job} failed: {e:?}"))?;
            self.stats.healed += made.healed.len() as u64;
            self.note(format!("for the good of {job}: {made:?}"));
            let made = made.backup.ok_or("a backup that was to heal was skipped")?;
            self.places[0].ledgers.entry(job).or_default().committed(made.id, contents);
        }
        replace(&source, &before);
        self.note(format!("{job} has been healed"));
        self.places[0].harmed.remove(job);
        self.judge_job(0, job).await.map_err(|e| format!("after healing: {e}"))
    }

    async fn damage_log(&mut self, at: usize) {
        let job = JOBS[self.prng.index(2)];
        let keys = log_keys(job, &self.places[at].storage.keys()).unwrap();
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
        let Some(before) = place.storage.read(&key) else { return };
        // An entry is there twice; both copies go.
        place.storage.flip(&key, 4 * before.len() - 9);
        place.storage.flip(&key, 8 * before.len() - 9);
        place.damaged.push((job, key.clone(), before));
        self.note(format!("place {at}: {key} goes bad"));
    }

    /// The bad entries can be read again, and a newer version understands the unknown ones –
    /// which is to say that they are forgotten about, if nothing came after them.
    async fn repair_logs(&mut self, at: usize) {
        // An entry that is taken away must not make room for a late one.
        for client in std::mem::take(&mut self.clients) {
            client.settle().await;
        }
        let place = &mut self.places[at];
        for (_, key, before) in place.damaged.drain(..) {
            place.storage.overwrite(&key, before);
        }
        let keys = place.storage.keys();
        place.unknown.retain(|(job, key)| {
            let last = log_keys(job, &keys).unwrap().last() == Some(key);
            if last {
                place.storage.remove(key);
            }
            !last
        });
    }

    fn is_damaged(&self, at: usize, job: &str) -> bool {
        let place = &self.places[at];
        place.damaged.iter().any(|(j, _, _)| *j == job) || place.unknown.iter().any(|(j, _)| *j == job)
    }

    async fn clean(&self, at: usize) -> Repository {
        let run = RunContext::reproducible(0, &self.clock);
        let storage = Arc::new(self.places[at].storage.clone());
        Repository::open(storage, &Credentials::None, &run).await.unwrap()
    }

    /// What a client without faults sees.
    async fn listed(&self, at: usize, job: &str) -> Vec<BackupInfo> {
        let run = RunContext::reproducible(0, &self.clock);
        let repository = self.clean(at).await;
        match list(&repository, Some(job), &run).await {
            Ok(listing) => listing.backups,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => panic!("a clean listing failed: {e:?}"),
        }
    }

    fn plan(&mut self) -> FaultPlan {
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
            latency: [0, 5, 200][self.prng.index(3)],
            crash_at: self.prng.chance(0.25).then(|| 1 + self.prng.below(60)),
            stall_at: None,
        }
    }

    /// One to three clients at the same time; now and then a slow backup with prunes beside it.
    async fn act(&mut self) -> Check {
        let mut deeds: Vec<(usize, Vec<Deed>)> = Vec::new();
        let job = JOBS[self.prng.index(2)];
        let stall = self.prng.chance(0.15) && self.listed(0, job).await.len() > 2;
        if stall {
            // A compaction so slow that prunes beside it take it for dead.
            deeds.push((0, vec![Deed::Prune { job, retention: None, compact: true }]));
            deeds.push((0, vec![Deed::Prune { job, retention: None, compact: false }; 4]));
        } else if self.prng.chance(0.25) {
            let job = JOBS[self.prng.index(2)];
            let prunes = (0..2 + self.prng.below(3))
                .map(|_| Deed::Prune { job, retention: None, compact: self.prng.chance(0.3) })
                .collect();
            deeds.push(match self.prng.below(3) {
                0 => (0, vec![Deed::Prune { job, retention: None, compact: true }]),
                _ => (0, vec![Deed::Backup { job, strategy: self.prng.below(3), slow: true }]),
            });
            deeds.push((0, prunes));
        }
        while !stall && deeds.len() < 3 && (deeds.is_empty() || self.prng.chance(0.5)) {
            let at = usize::from(self.prng.chance(0.2));
            if let Some(deed) = self.choose(at).await {
                deeds.push((at, vec![deed]));
            }
        }
        self.crowded = deeds.len() > 1;
        for deed in deeds.iter().flat_map(|(at, row)| row.iter().map(move |d| (*at, d))).collect::<Vec<_>>() {
            if let (at, Deed::Hold { job, backup, .. }) = deed {
                let ledger = self.places[at].ledgers.entry(job).or_default();
                if let Some(account) = ledger.accounts.get_mut(&backup.id) {
                    account.hold_in_doubt = true;
                }
            }
        }
        let mut running: Vec<Pin<Box<dyn Future<Output = Ends>>>> = Vec::new();
        for (at, row) in deeds {
            let mut clients = Vec::new();
            let pause = if stall { Duration::from_secs(5) } else { Duration::from_millis(400) };
            let jump = if stall { GRACE } else { GRACE / 2 } + Duration::from_hours(1);
            let stall_at = (row.len() == 1).then(|| 20 + self.prng.below(60));
            let stalls = FaultPlan { stall_at, ..FaultPlan::default() };
            for deed in row {
                let plan = if stall { stalls.clone() } else { self.plan() };
                let (seed, run, other) = (self.prng.bits(), self.run(), self.places[1 - at].storage.clone());
                let client = FaultStorage::new(Arc::new(self.places[at].storage.clone()), seed, plan.clone());
                self.clients.push(client.clone());
                self.note(format!("place {at}: {} with {plan:?}", shown(&deed)));
                clients.push((deed, client, run, other));
            }
            let (sources, clock) = (self.sources.clone(), self.clock.clone());
            running.push(Box::pin(async move {
                let mut ends = Vec::new();
                let row = clients.len() > 1;
                for (deed, client, run, other) in clients {
                    if row {
                        clock.advance(jump);
                        tokio::time::sleep(pause).await;
                    }
                    let end = perform(&deed, &client, other, &sources, run).await;
                    ends.push((at, deed, end));
                }
                ends
            }));
        }
        self.recent.clear();
        let mut ends: Vec<_> = futures::future::join_all(running).await.into_iter().flatten().collect();
        // What was done first, then what was seen meanwhile.
        ends.sort_by_key(|(_, deed, _)| match deed {
            Deed::Backup { .. } | Deed::Copy { .. } => 0,
            Deed::List { .. } => 2,
            _ => 1,
        });
        for (at, deed, end) in ends {
            self.record(at, &deed, end)?;
        }
        Ok(())
    }

    async fn choose(&mut self, at: usize) -> Option<Deed> {
        let job = JOBS[self.prng.index(2)];
        let listed = self.listed(at, job).await;
        let some = (!listed.is_empty()).then(|| listed[self.prng.index(listed.len())].clone());
        let choice = self.prng.below(100);
        Some(match choice {
            0..=44 if at == 0 => Deed::Backup { job, strategy: self.prng.below(3), slow: false },
            0..=44 => Deed::Copy { job },
            45..=52 => Deed::Forget { job, backup: some? },
            53..=60 => Deed::Hold { job, backup: some?, on: self.prng.chance(0.6) },
            61..=74 => Deed::Prune { job, retention: None, compact: self.prng.chance(0.4) },
            75..=84 => {
                let retention = Retention {
                    last: 1 + u32::try_from(self.prng.below(3)).unwrap(),
                    daily: u32::try_from(self.prng.below(3)).unwrap(),
                    ..Retention::default()
                };
                Deed::Prune { job, retention: Some(retention), compact: self.prng.chance(0.2) }
            }
            85..=92 => Deed::Restore { job, backup: some? },
            _ => Deed::List { job },
        })
    }

    /// Enters into the account what a client was told.
    fn record(&mut self, at: usize, deed: &Deed, end: End) -> Check {
        let damaged = self.is_damaged(at, deed.job());
        let stats = &mut self.stats;
        let place = &mut self.places[at];
        let in_doubt = |e: &Error| e.context("in doubt").is_some();
        if let End::Crashed = end {
            stats.crashes += 1;
        }
        let mut line = String::new();
        match (deed, end) {
            (Deed::Backup { job, .. }, End::Backup(contents, result)) => {
                let ledger = place.ledgers.entry(job).or_default();
                match result {
                    Ok(Some(id)) => {
                        stats.committed += 1;
                        ledger.committed(id, contents);
                        self.recent.insert(id);
                        line = format!("backup {} committed", id.short());
                    }
                    Ok(None) => return Err("a backup was skipped".to_owned()),
                    Err(e) => {
                        line = format!("backup failed: {e}");
                        match e.kind() {
                            _ if in_doubt(&e) => {
                                stats.in_doubt += 1;
                                ledger.unknown.push(contents);
                            }
                            ErrorKind::Conflict => stats.conflicts += 1,
                            ErrorKind::Internal => return Err(format!("a backup failed with a bug: {e:?}")),
                            _ => stats.failed += 1,
                        }
                    }
                }
            }
            (Deed::Backup { job, .. }, _) => {
                let contents = self.sources[job].contents();
                place.ledgers.entry(job).or_default().unknown.push(contents);
            }
            (Deed::Forget { job, backup }, End::Done(Ok(()))) => {
                place.ledgers.entry(job).or_default().gone(backup.id);
            }
            (Deed::Forget { job, backup }, _) => place.ledgers.entry(job).or_default().maybe_gone(&[backup.id]),
            (Deed::Hold { job, backup, on }, end) => {
                if let Some(account) = place.ledgers.entry(job).or_default().accounts.get_mut(&backup.id) {
                    match end {
                        End::Done(Ok(())) if !self.crowded => (account.held, account.hold_in_doubt) = (*on, false),
                        // Of two at the same time nobody knows here which came last.
                        _ => account.hold_in_doubt = true,
                    }
                }
            }
            (Deed::Prune { job, retention, .. }, end) => {
                let ledger = place.ledgers.entry(job).or_default();
                // Held ones are kept for certain; of the others any may have been forgotten.
                let free: Vec<Id> =
                    ledger.accounts.iter().filter(|(_, a)| !a.held || a.hold_in_doubt).map(|(id, _)| *id).collect();
                if retention.is_some() {
                    ledger.maybe_gone(&free);
                }
                match end {
                    End::Prune(result) => match *result {
                        Ok(report) => {
                            stats.swept += report.swept;
                            stats.deleted += report.deleted;
                            stats.compacted += report.compaction.as_ref().map_or(0, |c| c.backups);
                            line = format!("prune: {report:?}");
                            if damaged {
                                return Err("a prune went on with a damaged log".to_owned());
                            }
                        }
                        Err(e) => {
                            line = format!("prune failed: {e}");
                            stats.refused += u64::from(e.kind() == ErrorKind::Corrupt);
                        }
                    },
                    _ => line.push_str("prune crashed"),
                }
            }
            (Deed::Copy { .. }, End::Copy(result)) => match result {
                Ok(report) => stats.copied += report.copied.len() as u64,
                Err(e) => line = format!("copy failed: {e}"),
            },
            (Deed::Restore { job, backup }, End::Restore(result, contents)) => {
                // A client with faults may fail, but what it restores is right.
                let known = place.ledgers.get(job).and_then(|l| l.accounts.get(&backup.id));
                if let (Ok(()), Some(account)) = (&result, known)
                    && account.contents != contents
                {
                    return Err(format!("backup {} was restored wrong", backup.id));
                }
            }
            (Deed::List { job }, End::List(Ok(listed))) => {
                let ledger = place.ledgers.entry(job).or_default();
                // Only what others did at the same time may explain a missing one.
                for (id, account) in &ledger.accounts {
                    if account.fate == Fate::There && !damaged && !listed.contains(id) && !self.recent.contains(id) {
                        return Err(format!("a client with bad listings did not see backup {id}"));
                    }
                }
            }
            _ => {}
        }
        if !line.is_empty() {
            self.note(line);
        }
        Ok(())
    }
}

impl World {
    /// Looks at everything with a client that has no faults.
    async fn judge(&mut self) -> Check {
        for at in 0..2 {
            for job in JOBS {
                self.judge_job(at, job).await?;
            }
        }
        Ok(())
    }

    async fn judge_job(&mut self, at: usize, job: &'static str) -> Check {
        let run = RunContext::reproducible(0, &self.clock);
        let repository = self.clean(at).await;
        let listing = match list(&repository, Some(job), &run).await {
            Ok(listing) => listing,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(format!("place {at}: {job} cannot be listed: {e:?}")),
        };
        let damaged = self.is_damaged(at, job);
        let harmed = self.places[at].harmed.contains_key(job);
        if !damaged && !listing.warnings.is_empty() {
            return Err(format!("place {at}: the log has gone bad by itself: {:?}", listing.warnings));
        }
        let mut restored = BTreeMap::new();
        for info in &listing.backups {
            let target = MemorySource::new("target");
            match restore(&repository, info, &target, &RestoreOptions::new(), &run).await {
                Ok(_) => {
                    self.stats.restored += 1;
                    restored.insert(info.id, target.contents());
                }
                // A forgotten backup may come back while its Forget entry cannot be read.
                Err(_) if damaged => {}
                Err(e) if harmed && e.kind() == ErrorKind::Corrupt => {}
                Err(e) => return Err(format!("place {at}: backup {} of {job} does not restore: {e:?}", info.id)),
            }
        }
        let originals: Vec<Contents> = self.places[0]
            .ledgers
            .get(job)
            .map(|l| l.accounts.values().map(|a| &a.contents).chain(&l.unknown).cloned().collect())
            .unwrap_or_default();
        let ledger = self.places[at].ledgers.entry(job).or_default();
        if at == 1 {
            // Whatever was in the first place may have been copied.
            ledger.unknown = originals;
        }
        for (id, contents) in &restored {
            if ledger.accounts.get(id).is_some_and(|a| a.contents != *contents) {
                return Err(format!("place {at}: backup {id} of {job} restores to something else"));
            }
        }
        if damaged || (harmed && restored.len() < listing.backups.len()) {
            return Ok(());
        }
        let ids: Vec<Id> = listing.backups.iter().map(|b| b.id).collect();
        ledger.compare(&ids, |id| restored.get(&id).cloned()).map_err(|e| format!("place {at}: {job}: {e}"))?;
        for info in &listing.backups {
            if let Some(account) = ledger.accounts.get_mut(&info.id) {
                if account.hold_in_doubt {
                    // An entry may still come late.
                    (account.held, account.hold_in_doubt) = (info.held, !self.clients.is_empty());
                } else if account.held != info.held {
                    return Err(format!("place {at}: backup {} of {job} should be held: {}", info.id, account.held));
                }
            }
        }
        Ok(())
    }

    /// Everything heals; then all that is not needed goes, and all that is needed stays.
    async fn end(&mut self) -> Check {
        self.note("-- the end".to_owned());
        self.repair_logs(0).await;
        self.repair_logs(1).await;
        self.judge().await?;
        for job in JOBS {
            self.heal(job).await?;
        }
        let sound: Vec<(usize, &'static str)> =
            (0..2).flat_map(|at| JOBS.map(|job| (at, job))).filter(|(at, job)| !self.is_damaged(*at, job)).collect();
        for (at, job) in &sound {
            let repository = self.clean(*at).await;
            self.last_backup(*at, job, &repository).await?;
        }
        for (at, job) in &sound {
            // Bad blocks that nobody needs are left behind by a compaction.
            let compact = self.places[0].scarred.contains(job) || self.prng.chance(0.3);
            self.judge_end(*at, job, compact).await?;
        }
        self.judge().await
    }

    /// One that nothing disturbs: it makes good what interrupted ones left half done.
    async fn last_backup(&mut self, at: usize, job: &'static str, repository: &Repository) -> Check {
        let run = RunContext::reproducible(self.prng.bits(), &self.clock);
        if at == 0 {
            let source = self.sources[job].clone();
            let made = backup(repository, &source, &BackupOptions::new(), &run).await;
            let made = made.map_err(|e| format!("the last backup of {job} failed: {e:?}"))?;
            let made = made.backup.ok_or("the last backup was skipped")?;
            self.places[at].ledgers.entry(job).or_default().committed(made.id, source.contents());
        } else if !self.is_damaged(0, job) {
            let from = self.clean(0).await;
            let copied = copy(&from, repository, job, &[], &run).await;
            copied.map_err(|e| format!("the last copy of {job} failed: {e:?}"))?;
        }
        Ok(())
    }

    async fn judge_end(&mut self, at: usize, job: &'static str, compact: bool) -> Check {
        let repository = self.clean(at).await;
        for n in 0..4 {
            let last = n == 3;
            self.clock.advance(GRACE * 3);
            let mut run = RunContext::reproducible(self.prng.bits(), &self.clock);
            run.limits.grace = GRACE;
            let mut options = PruneOptions::new(None).with_compact(compact && n == 0);
            options.trust_clock = true;
            let pruned = prune(&repository, job, &options, &run).await;
            self.note(format!("place {at}: {pruned:?}"));
            match pruned {
                // The half of an index that an interrupted run left is told of until it is swept.
                Ok(report) if !last || report.warnings.is_empty() => {}
                Ok(report) => return Err(format!("place {at}: the last prune of {job} warns: {:?}", report.warnings)),
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(format!("place {at}: the last prune of {job} failed: {e:?}")),
            }
        }
        let run = RunContext::reproducible(1, &self.clock);
        let (_, idle) = needed_and_idle(&repository, job, &run).await.map_err(|e| format!("{e:?}"))?;
        if !idle.is_empty() {
            return Err(format!("place {at}: {job}: nothing needs these, and they are still there: {idle:?}"));
        }
        let report = check(&repository, ReadData::All, &run).await.map_err(|e| format!("{e:?}"))?;
        let here: Vec<_> = report.problems.iter().filter(|p| job_of(&p.object) == job).collect();
        if here.is_empty() { Ok(()) } else { Err(format!("place {at}: check finds: {here:?}")) }
    }
}

/// Makes a source what it was.
fn replace(source: &MemorySource, contents: &Contents) {
    for name in source.contents().keys().filter(|n| !contents.contains_key(*n)) {
        source.remove(name);
    }
    for (name, bytes) in contents {
        source.set(name, bytes.clone());
    }
}

fn job_of(object: &str) -> &'static str {
    if object.starts_with("jobs/shop/") { JOBS[0] } else { JOBS[1] }
}

/// Runs one deed by a client that may crash at any of its operations.
async fn perform(
    deed: &Deed,
    client: &FaultStorage,
    other: MemoryStorage,
    sources: &BTreeMap<&'static str, MemorySource>,
    run: RunContext,
) -> End {
    let contents = sources[deed.job()].contents();
    tokio::select! {
        biased;
        () = client.crashed() => End::Crashed,
        end = execute(deed, client, other, sources, &run) => match end {
            Ok(end) => end,
            // Not even the repository could be opened.
            Err(e) => match deed {
                Deed::Backup { .. } => End::Backup(contents, Err(e)),
                _ => End::Done(Err(e)),
            },
        },
    }
}

async fn execute(
    deed: &Deed,
    client: &FaultStorage,
    other: MemoryStorage,
    sources: &BTreeMap<&'static str, MemorySource>,
    run: &RunContext,
) -> Result<End, Error> {
    let storage: Arc<dyn Storage> = Arc::new(client.clone());
    let repository = Repository::open(storage, &Credentials::None, run).await?;
    Ok(match deed {
        Deed::Backup { job, strategy, slow } => {
            let mut source = sources[job].clone();
            if *slow {
                source = source.with_pause(Duration::from_millis(300));
            }
            let options = match strategy {
                0 => BackupOptions::new().with_strategy(Full),
                1 => BackupOptions::new().with_strategy(Differential::default()),
                _ => BackupOptions::new().with_strategy(Incremental::default()),
            };
            let made = backup(&repository, &source, &options, run).await;
            End::Backup(source.contents(), made.map(|r| r.backup.map(|b| b.id)))
        }
        Deed::Forget { backup, .. } => End::Done(forget(&repository, backup, run).await),
        Deed::Hold { backup, on: true, .. } => End::Done(hold(&repository, backup, run).await),
        Deed::Hold { backup, .. } => End::Done(release(&repository, backup, run).await),
        Deed::Prune { job, retention, compact } => {
            let options = PruneOptions::new(retention.clone()).with_compact(*compact);
            End::Prune(Box::new(prune(&repository, job, &options, run).await))
        }
        Deed::Copy { job } => {
            let from = Repository::open(Arc::new(other), &Credentials::None, run).await?;
            End::Copy(copy(&from, &repository, job, &[], run).await)
        }
        Deed::Restore { backup, .. } => {
            let target = MemorySource::new("target");
            let result = restore(&repository, backup, &target, &RestoreOptions::new(), run).await;
            End::Restore(result.map(|_| ()), target.contents())
        }
        Deed::List { job } => {
            let listing = list(&repository, Some(job), run).await;
            End::List(listing.map(|l| l.backups.iter().map(|b| b.id).collect()))
        }
    })
}

impl Deed {
    fn job(&self) -> &'static str {
        match self {
            Self::Backup { job, .. }
            | Self::Forget { job, .. }
            | Self::Hold { job, .. }
            | Self::Prune { job, .. }
            | Self::Copy { job }
            | Self::Restore { job, .. }
            | Self::List { job } => job,
        }
    }
}

fn shown(deed: &Deed) -> String {
    match deed {
        Deed::Backup { job, strategy, slow } => format!("backup {job} {strategy} slow: {slow}"),
        Deed::Forget { job, backup } => format!("forget {job} {}", backup.id.short()),
        Deed::Hold { job, backup, on } => format!("hold {job} {} {on}", backup.id.short()),
        Deed::Prune { job, retention, compact } => format!("prune {job} {retention:?} compact: {compact}"),
        Deed::Copy { job } => format!("copy {job}"),
        Deed::Restore { job, backup } => format!("restore {job} {}", backup.id.short()),
        Deed::List { job } => format!("list {job}"),
    }
}
