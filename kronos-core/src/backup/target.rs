//! One of the repositories of a run, before its backup is made: its job, and what it builds on.

use crate::announce::announce;
use crate::base::{Base, base};
use crate::connector::Fingerprint;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::id::Id;
use crate::party::{Party, Set};
use crate::repository::job::Job;
use crate::repository::state::State;
use crate::repository::{Repository, layout};
use crate::run::RunContext;
use crate::storage::Key;
use crate::strategy::BackupKind;
use crate::time::Timestamp;

/// A repository that is ready for the run.
pub(super) struct Target {
    pub job: Job,
    pub state: State,
    pub base: Option<Base>,
    /// The backup that this one is compared with, under its id here.
    pub parent: Option<Id>,
    pub warnings: Vec<String>,
}

/// Leaves out those that cannot be written in one go with the first.
pub(super) fn refuse_strangers(party: &Party, members: &[Repository]) -> Result<()> {
    let config = |message: &str, hint| Error::new(ErrorKind::Config, message).with("hint", hint);
    let Some((first, others)) = members.split_first() else { return Ok(()) };
    for (n, other) in (1..).zip(others) {
        let same = |m: &&Repository| m.id() == other.id() && m.describe() == other.describe();
        if members[..n].iter().any(|m| same(&m)) {
            party.lose(n, config("the storage was given twice", "name each storage once"))?;
        } else if !other.is_like(first) {
            let message = "the repository has other keys or chunker parameters than the first";
            party.lose(
                n,
                config(message, "`copy` takes the backup there; make it anew like the first to write both at once"),
            )?;
        }
    }
    Ok(())
}

/// Refuses too many, and none.
pub(super) fn check_number(members: &[Repository]) -> Result<()> {
    match members.len() {
        0 => Err(Error::new(ErrorKind::Config, "no storage was given")),
        n if n > Set::MOST => {
            Err(Error::new(ErrorKind::Config, "too many storages for one backup").with("most", Set::MOST))
        }
        _ => Ok(()),
    }
}

/// The job, and its log as it is now.
pub(super) async fn open(
    repository: &Repository,
    name: &str,
    fingerprint: &Fingerprint,
    run: &RunContext,
) -> Result<(Job, State)> {
    let job = Job::open_or_create(repository, name, fingerprint, run).await?;
    let state = job.load(run).await?;
    Ok((job, state))
}

impl Target {
    /// Announces the run and looks at what there is. `parent` is the origin of the backup that the
    /// strategy has chosen: the same one has another id in each repository that it was copied to.
    pub(super) async fn prepare(
        (job, state): (Job, State),
        parent: Option<Id>,
        (run_id, started): (Id, Timestamp),
        run: &RunContext,
    ) -> Result<Self> {
        announce(&job, run_id, started, run).await?;
        let mut warnings = fault_warnings(&state);
        for message in &warnings {
            run.emit(&Event::Warning { message: message.clone() });
        }
        // Something has been written by now: what the storage does not take has turned out.
        warnings.extend(job.storage().notices());
        let parent = parent.and_then(|origin| state.find_origin(origin)).map(|r| r.manifest.backup);
        let (base, state) = base(&job, state, parent, run, &mut warnings).await?;
        Ok(Self { job, state, base, parent, warnings })
    }

    /// An unchanged stream could not be taken over somewhere: what was found bad is not built on.
    pub(super) fn distrust(&mut self, found: &Error, message: &str) {
        self.warnings.push(message.to_owned());
        let bad = found.context("object").and_then(|name| Key::new(name).ok()).and_then(|key| layout::id_of(&key));
        if let (Some(bad), Some(base)) = (bad, &mut self.base) {
            base.damage.add_pack(bad);
        }
    }

    /// What the backup is here: one that is compared with nothing is a full one.
    pub(super) fn kind(&self, planned: BackupKind) -> BackupKind {
        if self.parent.is_some() { planned } else { BackupKind::Full }
    }

    /// The base, if it is the backup that this one is compared with.
    pub(super) fn parent_base(&self) -> Option<&Base> {
        self.base.as_ref().filter(|base| Some(base.record.manifest.backup) == self.parent)
    }
}

fn fault_warnings(state: &State) -> Vec<String> {
    let shown =
        |f: &crate::repository::state::Fault| format!("log entry {}: {}; everything is stored anew", f.seq, f.reason);
    state.faults.iter().map(shown).collect()
}
