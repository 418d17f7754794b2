//! Checking a repository without a restore: every object is there, authentic, and fits the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use futures::StreamExt;
use serde::Serialize;

use crate::error::{ErrorKind, Result};
use crate::event::Event;
use crate::id::Id;
use crate::pipeline::Fetcher;
use crate::prune::unnamed;
use crate::repository::entry::Action;
use crate::repository::index::{PackUse, Root};
use crate::repository::job::Job;
use crate::repository::pack::{PackClass, PackReader, Table, read_range, scan};
use crate::repository::retry::retry;
use crate::repository::state::{Record, State};
use crate::repository::{Decision, Flaw, Repository};
use crate::repository::{checkpoint_numbers, layout};
use crate::run::RunContext;
use crate::storage::StorageExt;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// Log, indexes and tables; of data packs only that they are there and have their size.
    #[default]
    No,
    /// Also this share of the data packs, from 0 to 1, chosen at random.
    Sample(f64),
    /// Also every byte of every data pack.
    All,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The object.
    pub object: String,
    /// What is wrong, in one line.
    pub message: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Jobs checked.
    pub jobs: u64,
    /// Backups checked.
    pub backups: u64,
    /// Objects checked.
    pub objects: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// What is damaged or missing.
    pub problems: Vec<Problem>,
    /// What is odd but harms nothing: leftovers of interrupted runs, and the like.
    pub notes: Vec<Problem>,
    /// Backups that cannot be restored whole.
    pub damaged_backups: Vec<Id>,
}

impl CheckReport {
    fn problem(&mut self, object: impl Display, message: impl Display) {
        let problem = Problem { object: object.to_string(), message: message.to_string() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn flaws(&mut self, flaws: Vec<Flaw>) {
        for flaw in flaws {
            if flaw.harmless {
                self.note(flaw.key, flaw.message);
            } else {
                self.problem(flaw.key, flaw.message);
            }
        }
    }

    fn note(&mut self, object: impl Display, message: impl Display) {
        self.notes.push(Problem { object: object.to_string(), message: message.to_string() });
    }
}

/// Checks a whole repository.
pub async fn check(repository: &Repository, read: ReadData, run: &RunContext) -> Result<CheckReport> {
    run.emit(&Event::Started { operation: "check", subject: repository.describe() });
    let mut report = CheckReport::default();
    report.flaws(repository.damaged_keys(run).await?);
    let known = known_names(repository, run).await?;
    for name in &known.jobs {
        match Job::open(repository, name, run).await {
            Ok(job) => check_job(&job, read, &mut report, run).await?,
            Err(e) if is_damage(e.kind()) => report.problem(format!("job {name}"), e),
            Err(e) => return Err(e),
        }
    }
    for (key, message) in known.strangers {
        report.note(key, message);
    }
    run.emit(&Event::Finished { operation: "check", at: run.now() });
    Ok(report)
}

struct Names {
    jobs: BTreeSet<String>,
    strangers: Vec<(String, String)>,
}

/// Every directory below `jobs/`, also those whose job object is gone, and what Kronos does not make.
async fn known_names(repository: &Repository, run: &RunContext) -> Result<Names> {
    let mut names = Names { jobs: BTreeSet::new(), strangers: Vec::new() };
    for meta in retry(run, "list everything", || repository.storage().list_all(None)).await? {
        let key = meta.key.as_str();
        let parts: Vec<&str> = key.split('/').collect();
        let known = match parts[..] {
            [layout::HEADER] | [layout::KEYS, _] => true,
            [layout::JOBS, job, "job" | "job.copy"]
            | [layout::JOBS, job, "log" | "checkpoint" | "meta" | "roots" | "runs", _]
            | [layout::JOBS, job, "packs", _, _] => match layout::decode_job(job) {
                Some(name) => {
                    names.jobs.insert(name);
                    true
                }
                None => false,
            },
            _ => false,
        };
        if !known {
            names.strangers.push((key.to_owned(), "an object that Kronos does not make".to_owned()));
        }
    }
    Ok(names)
}

fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::NotFound)
}

async fn check_job(job: &Job, read: ReadData, report: &mut CheckReport, run: &RunContext) -> Result<()> {
    report.jobs += 1;
    report.flaws(job.damaged_records(run).await?);
    let state = job.load_from_start(run).await?;
    report.objects += state.next;
    for fault in &state.faults {
        report.problem(job.layout().entry(fault.seq), &fault.reason);
    }
    for seq in &state.scars {
        report.problem(job.layout().entry(*seq), "one of its two copies is damaged");
    }
    check_checkpoints(job, &state, report, run).await?;
    let mut packs: BTreeMap<Id, PackUse> = BTreeMap::new();
    let mut roots: BTreeMap<Id, Root> = BTreeMap::new();
    for record in state.backups.values() {
        report.backups += 1;
        let at = record.manifest.root;
        match Root::load(job, &at, run).await {
            Ok(root) => {
                report.objects += 1;
                packs.extend(root.packs.iter().map(|p| (p.info.id, *p)));
                if !Root::is_intact(job, &at, run).await? {
                    report.problem(job.layout().root(at.id), "one of its two copies is damaged");
                }
                roots.insert(record.manifest.backup, root);
            }
            Err(e) if is_damage(e.kind()) => {
                report.problem(job.layout().root(at.id), &e);
                report.damaged_backups.push(record.manifest.backup);
            }
            Err(e) => return Err(e),
        }
    }
    check_unnamed(job, &state, report, run).await?;
    let mut bad_packs = BTreeSet::new();
    for used in packs.values() {
        if !check_pack(job, used, read, report, run).await? {
            bad_packs.insert(used.info.id);
        }
    }
    for (backup, root) in &roots {
        let whole = check_index(job, root, report, run).await?;
        let data_bad = root.of_class(PackClass::Data).any(|p| bad_packs.contains(&p.info.id));
        if !whole || data_bad {
            report.damaged_backups.push(*backup);
        }
    }
    note_damage(job, state, report, run).await
}

/// Writes down which backups are not whole, so that no retention rule counts on them and no backup
/// builds on them. Whoever may only read checks all the same.
async fn note_damage(job: &Job, state: State, report: &mut CheckReport, run: &RunContext) -> Result<()> {
    let bad = |r: &&Record| report.damaged_backups.contains(&r.manifest.backup) && r.verified != Some(false);
    let ids: Vec<Id> = state.backups.values().filter(bad).map(|r| r.manifest.backup).collect();
    let mut state = state;
    for backup in ids {
        let decide = async |state: &State| match state.find(backup) {
            Some(record) if record.verified != Some(false) => {
                Ok(Decision::Commit(Action::Verified { backup, good: false }))
            }
            _ => Ok(Decision::Nothing),
        };
        match job.commit(state.clone(), run, decide).await {
            Ok((newer, _)) => state = newer,
            Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
            Err(e) => {
                report.note(job.layout().log(), format!("the damage could not be written down: {e}"));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A checkpoint only saves time, but one that cannot be read is damage all the same.
/// One that is missing costs time only.
async fn check_checkpoints(job: &Job, state: &State, report: &mut CheckReport, run: &RunContext) -> Result<()> {
    let prefix = job.layout().checkpoints();
    let listed = retry(run, "list checkpoints", || job.storage().list_all(Some(&prefix))).await?;
    for seq in checkpoint_numbers(state.next) {
        let key = job.layout().checkpoint(seq);
        if state.faults.is_empty() && !listed.iter().any(|m| m.key == key) {
            report.note(key, "a checkpoint of the log is missing; commands take longer without it");
        }
    }
    for meta in listed {
        let place = job.place(crate::repository::seal::ObjectKind::Checkpoint, meta.key.clone());
        let object = retry(run, "read a checkpoint", || job.storage().get(&meta.key)).await?;
        report.objects += 1;
        if let Err(e) = crate::repository::seal::open_record(job.meta_key(), &place, &object) {
            report.problem(&meta.key, e.message());
        }
    }
    Ok(())
}

/// Indexes that no log entry names: of interrupted runs, or of an entry that was lost.
async fn check_unnamed(job: &Job, state: &State, report: &mut CheckReport, run: &RunContext) -> Result<()> {
    let prefix = job.layout().roots();
    let listed = retry(run, "list roots", || job.storage().list_all(Some(&prefix))).await?;
    let roots: BTreeSet<Id> = listed.iter().filter_map(|m| layout::id_of(&m.key)).collect();
    for id in unnamed(state, &roots) {
        let key = job.layout().root(id);
        match Root::load_any(job, id, run).await {
            Ok(root) => {
                let announced = job.layout().run(root.run);
                let explained = state.closed.contains(&root.run)
                    || retry(run, "look for a run", || job.storage().get_if_there(&announced)).await?.is_some();
                if explained {
                    report.note(key, "the index of an interrupted or running backup");
                } else if still_unnamed(job, state, id, run).await? {
                    report.problem(key, "an index that no log entry names: the newest entry of the log has been lost");
                }
            }
            Err(e) if is_damage(e.kind()) => report.note(key, "an index that no log entry names, and damaged"),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whether no entry names a root now either: a backup may have been committed since the log was read.
async fn still_unnamed(job: &Job, state: &State, root: Id, run: &RunContext) -> Result<bool> {
    let newer = job.follow(state.clone(), run).await?;
    Ok(!unnamed(&newer, &BTreeSet::from([root])).is_empty())
}

/// Whether a pack is there, whole, and says of itself what the indexes say of it.
async fn check_pack(
    job: &Job,
    used: &PackUse,
    read: ReadData,
    report: &mut CheckReport,
    run: &RunContext,
) -> Result<bool> {
    run.check_cancelled()?;
    report.objects += 1;
    let info = used.info;
    let name = match info.class {
        PackClass::Data => job.layout().pack(info.id),
        PackClass::Meta => job.layout().meta(info.id),
    };
    let before = report.problems.len();
    match retry(run, "look for a pack", || job.storage().head(&name)).await {
        Ok(meta) if meta.size == info.size => {}
        Ok(meta) => report.problem(&name, format!("it has {} bytes instead of {}", meta.size, info.size)),
        Err(e) if e.kind() == ErrorKind::NotFound => report.problem(&name, "it is missing"),
        Err(e) => return Err(e),
    }
    if report.problems.len() > before {
        return Ok(false);
    }
    let reads = match read {
        _ if info.class == PackClass::Meta => true,
        ReadData::No => false,
        ReadData::All => true,
        ReadData::Sample(share) => f64::from(u16::from_le_bytes(run.random())) < share * f64::from(u16::MAX),
    };
    if reads {
        match read_pack(job, used, report, run).await {
            Ok(()) => {}
            Err(e) if is_damage(e.kind()) => report.problem(&name, &e),
            Err(e) if e.kind() == ErrorKind::PermissionDenied && e.context("object").is_some() => {
                report.note(&name, e.message());
            }
            Err(e) => return Err(e),
        }
    }
    Ok(report.problems.len() == before)
}

/// Reads every byte of a pack: head, footer, each copy of the table and of each block.
async fn read_pack(job: &Job, used: &PackUse, report: &mut CheckReport, run: &RunContext) -> Result<()> {
    let info = used.info;
    let found = scan(job, info.class, info.id, info.size, run).await;
    let reader = std::sync::Arc::new(PackReader::open(job, info, run).await?);
    match found {
        Ok(found) if found == info => {}
        Ok(_) => report.problem(&reader.name, "its last bytes say something else than the index"),
        Err(e) if is_damage(e.kind()) => report.problem(&reader.name, e.message()),
        Err(e) => return Err(e),
    }
    let mut tables: Vec<Table> = Vec::new();
    for copy in 0..info.class.copies() {
        let at = info.table_at(copy).unwrap_or(u64::MAX / 2);
        match reader.table_copy(job, at, run).await {
            Ok(table) => tables.push(table),
            Err(e) if is_damage(e.kind()) => report.problem(&reader.name, format!("its table: {}", e.message())),
            Err(e) => return Err(e),
        }
    }
    let Some(table) = tables.pop() else { return Ok(()) };
    let mut covered = 0;
    let blocks = table.blocks.into_iter().enumerate();
    let jobs = blocks.flat_map(|(n, entry)| (0..info.class.copies()).map(move |copy| (n, entry.clone(), copy)));
    let mut opened = std::pin::pin!(
        futures::stream::iter(jobs)
            .map(|(number, entry, copy)| {
                let reader = reader.clone();
                async move {
                    let Some(range) = reader.range(&entry, copy) else {
                        return Err(crate::Error::corrupt("a block lies outside its pack").with("block", number));
                    };
                    let sealed = read_range(job, &reader.name, range, run).await?;
                    let length = sealed.len() as u64;
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    let open = move || reader.open_block(number, &entry, &sealed).map(|_| ());
                    run.compute(open).await??;
                    Ok(length)
                }
            })
            .buffer_unordered(run.limits.threads + 1)
    );
    while let Some(result) = opened.next().await {
        match result {
            Ok(bytes) => {
                covered += bytes;
                run.emit(&Event::Progress { bytes, stored: bytes });
            }
            Err(e) if is_damage(e.kind()) => report.problem(&reader.name, &e),
            Err(e) => return Err(e),
        }
    }
    report.bytes_read += covered;
    if report.problems.is_empty() && Some(covered) != info.region().map(|r| r * info.class.copies()) {
        report.problem(&reader.name, "its table does not describe all of it");
    }
    Ok(())
}

/// Whether every node and every chunk that a root leads to is there, as far as tables tell.
async fn check_index(job: &Job, root: &Root, report: &mut CheckReport, run: &RunContext) -> Result<bool> {
    let fetcher = Fetcher::of_root(job, root, run);
    let mut whole = true;
    for stream in &root.streams {
        let result = async {
            let (mut chunks, mut bytes) = (0u64, 0u64);
            let mut leaves = std::pin::pin!(fetcher.leaves(&stream.top));
            while let Some(leaf) = leaves.next().await {
                for chunk in fetcher.chunks(&leaf?).await? {
                    chunks += 1;
                    bytes += u64::from(chunk.length);
                }
            }
            let expected = stream.top.iter().map(|n| n.chunks).sum::<u64>();
            if (chunks, bytes) == (expected, stream.end.length) {
                Ok(())
            } else {
                Err(crate::Error::corrupt("the chunks of a stream do not add up to its length"))
            }
        };
        match result.await {
            Ok(()) => {}
            Err(e) if is_damage(e.kind()) => {
                whole = false;
                let object = e.context("object").map_or_else(|| format!("backup {}", root.backup), str::to_owned);
                report.problem(object, e.with("stream", &stream.info.name));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(whole)
}
