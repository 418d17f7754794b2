//! When the storages of a job are caught up, by what its last runs have reported. Pure.

use std::time::Duration;

use kronos_core::Timestamp;

use super::{CATCH_UP_PAUSE, LONGEST_CATCH_UP_PAUSE};
use crate::daemon::pauses::doubled;
use crate::report::{Ended, RunReport, StorageEnded};
use crate::store::{Outcome, RunRecord, RunState};

/// So many of the newest catch-ups say all there is to know: more than it takes to the longest pause, for
/// some of them were stopped.
pub(super) const ATTEMPTS: usize = 24;

/// A catch-up that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    /// Not before this.
    pub(super) at: Timestamp,
    /// Which attempt it is since the backup, from 1.
    pub(super) attempt: u32,
    /// The storages that are behind.
    pub(super) storages: Vec<String>,
}

/// Whether a backup's report says how its storages stand: one that failed before it came to them
/// does not.
pub(super) fn speaks(run: &RunRecord) -> bool {
    run.report().is_some_and(|report| !report.storages.is_empty())
}

/// The catch-up that is to follow this backup, if its storages are behind and none of the catch-ups
/// since has ended with nothing behind.
///
/// After a clock was set back, a catch-up that is later may seem to be earlier, and the other way
/// round; the next backup puts that right.
pub(super) fn turn(backup: &RunRecord, catch_ups: &[RunRecord], now: Timestamp) -> Option<Turn> {
    let storages = behind(backup.report()?);
    if storages.is_empty() {
        return None;
    }
    let made = backup.moment();
    let since: Vec<&RunRecord> =
        catch_ups.iter().filter(|run| began(run) >= made && run.moment() <= now && is_over(run)).collect();
    if since.iter().filter_map(|run| run.report()).any(has_helped) {
        return None;
    }
    // One that was stopped has not tried, and one that was killed has.
    let tried: Vec<&&RunRecord> = since.iter().filter(|run| !was_stopped(run)).collect();
    let attempts = u32::try_from(tried.len()).unwrap_or(u32::MAX);
    let last = tried.iter().map(|run| run.moment()).max().unwrap_or(made);
    let any = since.iter().map(|run| run.moment().plus(CATCH_UP_PAUSE)).max();
    let at = last.plus(pause(attempts));
    Some(Turn { at: any.map_or(at, |any| any.max(at)), attempt: attempts.saturating_add(1), storages })
}

/// How long to wait after so many attempts.
fn pause(attempts: u32) -> Duration {
    doubled(CATCH_UP_PAUSE, attempts, LONGEST_CATCH_UP_PAUSE)
}

fn behind(report: &RunReport) -> Vec<String> {
    let lacks = |ended| matches!(ended, StorageEnded::Failed | StorageEnded::Dropped);
    let all = report.storages.iter().filter(|storage| storage.behind || lacks(storage.ended));
    all.map(|storage| storage.storage.clone()).collect()
}

fn has_helped(report: &RunReport) -> bool {
    report.ended.is_well() && !report.storages.is_empty() && behind(report).is_empty()
}

fn began(run: &RunRecord) -> Timestamp {
    run.report().map_or_else(|| run.moment(), |report| report.started)
}

fn is_over(run: &RunRecord) -> bool {
    matches!(&run.state, RunState::Ended { outcome, .. } if !matches!(outcome, Outcome::Dropped(_)))
}

fn was_stopped(run: &RunRecord) -> bool {
    run.report().is_some_and(|report| report.ended == Ended::Cancelled)
}

#[cfg(test)]
mod tests {
    use kronos_core::Id;

    use super::*;
    use crate::report::{Operation, StorageFigures, Trigger};
    use crate::store::Task;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + minutes * 60_000_000)
    }

    /// A run that took a minute and left these storages behind.
    fn run(operation: Operation, ended: Ended, end: i64, behind: &[bool]) -> RunRecord {
        let id = Id([u8::try_from(end).unwrap(); 16]);
        let mut report = RunReport::begin(id, operation, "shop", Trigger::Retry, at(end - 1));
        (report.ended, report.finished) = (ended, at(end));
        report.storages = behind
            .iter()
            .enumerate()
            .map(|(n, behind)| StorageFigures {
                storage: format!("s{n}"),
                ended: if *behind { StorageEnded::Failed } else { StorageEnded::Stored },
                caught_up: 0,
                behind: *behind,
                forgotten: 0,
                freed: 0,
                error: None,
            })
            .collect();
        let state = RunState::Ended { at: at(end), outcome: Outcome::Reported(Box::new(report)) };
        RunRecord {
            id,
            task: Task::new("shop", operation),
            epoch: 0,
            trigger: Trigger::Retry,
            due: None,
            attempt: 1,
            state,
        }
    }

    fn backup(end: i64, behind: &[bool]) -> RunRecord {
        run(Operation::Backup, Ended::Warnings, end, behind)
    }

    fn catch_up(ended: Ended, end: i64, behind: &[bool]) -> RunRecord {
        run(Operation::CatchUp, ended, end, behind)
    }

    fn turn_at(backup: &RunRecord, catch_ups: &[RunRecord]) -> Option<(Timestamp, u32)> {
        turn(backup, catch_ups, at(250)).map(|turn| (turn.at, turn.attempt))
    }

    #[test]
    fn pauses_double_up_to_an_hour() {
        let minutes: Vec<u64> = (0..9).map(|attempts| pause(attempts).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause(u32::MAX), LONGEST_CATCH_UP_PAUSE);
    }

    #[test]
    fn who_is_behind_has_a_turn_until_a_catch_up_has_helped() {
        let backup = backup(10, &[false, true]);
        assert_eq!(turn_at(&backup, &[]), Some((at(11), 1)));
        assert_eq!(turn(&backup, &[], at(250)).unwrap().storages, ["s1"]);
        let vain = catch_up(Ended::Warnings, 12, &[false, true]);
        assert_eq!(turn_at(&backup, std::slice::from_ref(&vain)), Some((at(14), 2)));
        let again = catch_up(Ended::Failed, 15, &[]);
        assert_eq!(turn_at(&backup, &[again.clone(), vain.clone()]), Some((at(19), 3)));
        for ended in [Ended::Succeeded, Ended::Nothing, Ended::Warnings] {
            let good = catch_up(ended, 20, &[false, false]);
            assert_eq!(turn_at(&backup, &[good, again.clone(), vain.clone()]), None);
        }
    }

    #[test]
    fn who_has_everything_has_no_turn() {
        assert_eq!(turn_at(&backup(10, &[false, false]), &[]), None);
        assert!(!speaks(&run(Operation::Backup, Ended::Failed, 10, &[])));
    }

    #[test]
    fn a_new_backup_begins_the_count_anew() {
        let old = [catch_up(Ended::Nothing, 8, &[false, false]), catch_up(Ended::Warnings, 5, &[false, true])];
        assert_eq!(turn_at(&backup(10, &[true, false]), &old), Some((at(11), 1)));
        // It had begun before the backup was made, and may not know of it.
        let beside = [catch_up(Ended::Nothing, 10, &[false, false])];
        assert_eq!(turn_at(&backup(10, &[true, false]), &beside), Some((at(11), 1)));
    }

    #[test]
    fn one_that_was_stopped_does_not_count_but_leaves_a_pause() {
        let backup = backup(10, &[true, false]);
        let stopped = catch_up(Ended::Cancelled, 30, &[]);
        assert_eq!(turn_at(&backup, std::slice::from_ref(&stopped)), Some((at(31), 1)));
        let mut killed = catch_up(Ended::Failed, 40, &[]);
        killed.state = RunState::Ended { at: at(40), outcome: Outcome::Interrupted };
        assert_eq!(turn_at(&backup, &[killed, stopped]), Some((at(42), 2)));
    }
}
