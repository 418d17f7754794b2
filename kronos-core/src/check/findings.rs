//! What a check found, written down: writers stop using what is bad, no retention rule counts on
//! what is damaged, and what has been found good again is taken off the list.

use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::repository::Decision;
use crate::repository::damage::Damage;
use crate::repository::entry::Action;
use crate::repository::job::Job;
use crate::repository::state::State;
use crate::run::RunContext;

use super::CheckReport;

#[derive(Debug, Default)]
pub(super) struct Findings {
    pub damage: Damage,
    /// Packs that were on the list and are good.
    pub sound: Vec<Id>,
    /// Each backup with the root that was looked at, and whether it is whole.
    pub backups: Vec<(Id, Id, bool)>,
}

impl Findings {
    /// What is new to the log.
    fn action(&self, state: &State) -> Option<Action> {
        let mut packs = self.damage.beyond(&state.damage);
        state.swept.iter().filter(|p| self.damage.touches(**p)).for_each(|p| packs.remove(*p));
        let sound: Vec<Id> = self.sound.iter().filter(|p| state.damage.touches(**p)).copied().collect();
        let (mut backups, mut whole) = (Vec::new(), Vec::new());
        for (backup, root, is_whole) in &self.backups {
            match state.find(*backup).filter(|r| r.manifest.root.id == *root) {
                Some(record) if record.damaged == *is_whole => {
                    if *is_whole {
                        whole.push(*backup);
                    } else {
                        backups.push(*backup);
                    }
                }
                _ => {}
            }
        }
        let nothing = packs.is_empty() && backups.is_empty() && sound.is_empty() && whole.is_empty();
        (!nothing).then_some(Action::Damaged { packs, backups, sound, whole })
    }
}

/// Whoever may only read checks all the same.
pub(super) async fn note_findings(
    job: &Job,
    state: State,
    findings: &Findings,
    report: &mut CheckReport,
    run: &RunContext,
) -> Result<()> {
    let decide = |state: &State| Ok(findings.action(state).map_or(Decision::Nothing, Decision::Commit));
    match job.commit(state, run, decide).await {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::Cancelled => Err(e),
        Err(e) => {
            report.note(job.layout().log(), format!("what was found could not be written down: {e}"));
            Ok(())
        }
    }
}
