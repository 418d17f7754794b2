//! Checking a repository without a restore: every object is there, authentic, and fits the rest.

mod findings;
mod index;
mod pack;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::Serialize;

use crate::error::{ErrorKind, Result};
use crate::event::Event;
use crate::id::Id;
use crate::pipeline::Fetcher;
use crate::prune::unnamed;
use crate::repository::entry::RootRef;
use crate::repository::index::{PackUse, Root};
use crate::repository::job::Job;
use crate::repository::pack::name_of;
use crate::repository::retry::retry;
use crate::repository::state::State;
use crate::repository::{Flaw, Repository};
use crate::repository::{checkpoint_numbers, layout};
use crate::run::RunContext;
use crate::storage::StorageExt;

use findings::{Findings, note_findings};
use index::IndexCheck;
use pack::check_pack;

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
            [layout::HEADER] | [layout::KEYS, _] | [layout::PROBE, ..] => true,
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
    check_unnamed(job, &state, report, run).await?;
    // One root at a time: all of them together may be large.
    let mut packs: BTreeMap<Id, PackUse> = BTreeMap::new();
    for record in state.backups.values() {
        report.backups += 1;
        let at = record.manifest.root;
        if let Some(root) = check_root(job, &at, report, run).await? {
            packs.extend(root.packs.iter().map(|p| (p.info.id, *p)));
        }
    }
    let mut damage = state.damage.clone();
    let mut findings = Findings::default();
    let fetcher = Fetcher::new(job, packs.values().copied(), run.limits.memory, run);
    for used in packs.values() {
        let pack = check_pack(job, used, &fetcher, read, report, run).await?;
        if pack.proven() && damage.touches(used.info.id) {
            damage.remove(used.info.id);
            findings.sound.push(used.info.id);
        }
        findings.damage.add(&pack.damage);
    }
    for pack in damage.packs().filter(|p| packs.contains_key(p) && !findings.damage.touches(*p)) {
        report.problem(
            name_of(job, packs[&pack].info.class, pack),
            "an earlier check found it damaged, and this one did not read it",
        );
    }
    damage.add(&findings.damage);
    let mut index = IndexCheck::new(fetcher, damage, run);
    for record in state.backups.values() {
        run.check_cancelled()?;
        let (backup, at) = (record.manifest.backup, record.manifest.root);
        let whole = match Root::load(job, &at, run).await {
            Ok(root) => index.is_whole(&root, report).await?,
            Err(e) if is_damage(e.kind()) => false,
            Err(e) => return Err(e),
        };
        if !whole {
            report.damaged_backups.push(backup);
        }
        findings.backups.push((backup, at.id, whole));
    }
    note_findings(job, state, &findings, report, run).await
}

async fn check_root(job: &Job, at: &RootRef, report: &mut CheckReport, run: &RunContext) -> Result<Option<Root>> {
    match Root::load(job, at, run).await {
        Ok(root) => {
            report.objects += 1;
            if !Root::is_intact(job, at, run).await? {
                report.problem(job.layout().root(at.id), "one of its two copies is damaged");
            }
            Ok(Some(root))
        }
        Err(e) if is_damage(e.kind()) => {
            report.problem(job.layout().root(at.id), &e);
            Ok(None)
        }
        Err(e) => Err(e),
    }
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
