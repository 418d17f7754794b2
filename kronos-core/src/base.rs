//! What a run builds on: an earlier backup, as far as it is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::bugs::Bug;
use crate::connector::{Previous, PreviousStream};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::id::Id;
use crate::repository::damage::Damage;
use crate::repository::entry::Action;
use crate::repository::index::{Root, StoredStream};
use crate::repository::job::Job;
use crate::repository::pack::{Lies, look_for};
use crate::repository::retry::retry;
use crate::repository::state::{Record, State};
use crate::repository::{Decision, layout};
use crate::run::RunContext;
use crate::storage::StorageExt;

/// An earlier backup and what of it cannot be used.
#[derive(Debug)]
pub(crate) struct Base {
    pub record: Record,
    pub root: Root,
    pub damage: Damage,
}

impl Base {
    /// What a connector is told of it: the streams that could be taken over unread.
    pub(crate) fn previous(&self, usable: impl Fn(&StoredStream) -> bool) -> Previous {
        let stream = |s: &StoredStream| (s.info.name.clone(), PreviousStream { info: s.info.clone(), end: s.end });
        Previous {
            started: self.record.manifest.started,
            read_in_full: self.record.manifest.read_in_full,
            streams: self.root.streams.iter().filter(|s| usable(s)).map(stream).collect(),
        }
    }
}

/// The backup whose chunks are referenced: the parent, or the newest one. With a log that has holes
/// nothing old is trusted: the missing entry may have swept it. Packs that turn out to be missing
/// are written down as damaged.
pub(crate) async fn base(
    job: &Job,
    state: State,
    parent: Option<Id>,
    run: &RunContext,
    warnings: &mut Vec<String>,
) -> Result<(Option<Base>, State)> {
    if !state.faults.is_empty() {
        return Ok((None, state));
    }
    let record = match parent {
        Some(parent) => state.find(parent),
        // One that did not restore, for whatever reason, is no ground to build on.
        None => state.backups.values().rfind(|r| r.verified != Some(false)),
    };
    let Some(record) = record.cloned() else { return Ok((None, state)) };
    let mut warn = |message: String| {
        run.emit(&Event::Warning { message: message.clone() });
        warnings.push(message);
    };
    let root = match Root::load(job, &record.manifest.root, run).await {
        Ok(root) => root,
        Err(e) if e.kind() == ErrorKind::Corrupt => {
            warn(format!("the previous backup's index cannot be read; everything is stored anew: {e}"));
            return Ok((None, state));
        }
        Err(e) => return Err(e),
    };
    if run.bugs.has(Bug::BuildOnDamaged) {
        return Ok((Some(Base { record, root, damage: Damage::default() }), state));
    }
    let missing = missing_packs(job, &root, &state.damage, run).await?;
    if !missing.is_empty() {
        let count = missing.packs().count();
        warn(format!("{count} packs of the previous backup are missing; what they held is stored anew"));
    }
    let state = write_down(job, state, &missing, run).await?;
    let mut damage = state.damage.clone();
    damage.add(&missing);
    Ok((Some(Base { record, root, damage }), state))
}

async fn write_down(job: &Job, state: State, missing: &Damage, run: &RunContext) -> Result<State> {
    let decide = |state: &State| {
        let packs = missing.beyond(&state.damage);
        if packs.is_empty() {
            return Ok(Decision::Nothing);
        }
        let (backups, sound, whole) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Decision::Commit(Action::Damaged { packs, backups, sound, whole }))
    };
    Ok(job.commit(state, run, decide).await?.0)
}

/// Packs that are not there with their size. A listing says which to look at more closely; what it
/// shows is taken as it is, so that a large base costs few requests.
async fn missing_packs(job: &Job, root: &Root, known: &Damage, run: &RunContext) -> Result<Damage> {
    let mut listed: BTreeMap<Id, u64> = BTreeMap::new();
    let wanted: BTreeSet<Id> = root.packs.iter().map(|p| p.info.id).collect();
    for prefix in [job.layout().packs(), job.layout().metas()] {
        for meta in retry(run, "list packs", || job.storage().list_all(Some(&prefix))).await? {
            listed.extend(layout::id_of(&meta.key).filter(|id| wanted.contains(id)).map(|id| (id, meta.size)));
        }
    }
    let mut missing = Damage::default();
    for used in root.packs.iter().filter(|p| listed.get(&p.info.id) != Some(&p.info.size)) {
        let info = used.info;
        if known.is_whole(info.id) {
            continue;
        }
        if !matches!(look_for(job, &info, run).await?, Lies::Whole) {
            missing.add_pack(info.id);
        }
    }
    Ok(missing)
}

/// A stream that was to be taken over unread cannot be: it must be read after all.
pub(crate) fn must_read(error: Error, stream: &str) -> Error {
    if error.kind() == ErrorKind::Corrupt { error.with(UNREAD, stream) } else { error }
}

/// Whether an error says so.
pub(crate) fn is_unread(error: &Error) -> bool {
    error.context(UNREAD).is_some()
}

const UNREAD: &str = "stream taken over unread";
