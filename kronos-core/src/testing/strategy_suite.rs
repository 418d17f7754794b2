//! What every strategy promises, tried on many made-up histories.

use std::time::Duration;

use super::Prng;
use crate::connector::Capabilities;
use crate::id::Id;
use crate::strategy::{BackupKind, History, PastBackup, Plan, Strategy};
use crate::time::Timestamp;

/// Tries everything that a [`Strategy`] promises, on some thousand histories.
///
/// # Panics
///
/// With the history for which a promise was broken.
pub fn strategy_conformance(strategy: &dyn Strategy) {
    assert!(!strategy.name().is_empty(), "a strategy has a name");
    let mut prng = Prng::new(1);
    for _ in 0..3_000 {
        let history = history(&mut prng);
        let now = Timestamp::from_micros(0).plus(Duration::from_secs(prng.below(100 * 86_400)));
        for can in [Capabilities::new(), Capabilities::new().with_increments()] {
            let plan = strategy.plan(&history, &can, now);
            assert_eq!(plan, strategy.plan(&history, &can, now), "a strategy is a pure function");
            judge(&plan, &history, can);
        }
    }
}

fn judge(plan: &Plan, history: &History, can: Capabilities) {
    match plan {
        Plan::Full { .. } => {}
        Plan::Skip { reason } => assert!(!reason.is_empty(), "a skipped backup has a reason: {history:?}"),
        Plan::Since { parent, kind } => {
            let parent = history.backups.iter().find(|b| b.id == *parent);
            let Some(parent) = parent else { panic!("the parent is not in the history: {history:?}") };
            assert!(!parent.failed_verification, "the parent failed its verification: {history:?}");
            match kind {
                BackupKind::Full => panic!("a full backup has no parent: {history:?}"),
                BackupKind::Incremental => assert!(can.incremental, "the engine has no incremental backups"),
                BackupKind::Differential => {
                    assert!(can.differential, "the engine has no differential backups");
                    assert_eq!(parent.kind, BackupKind::Full, "a differential compares with a full one: {history:?}");
                }
            }
        }
    }
}

fn history(prng: &mut Prng) -> History {
    let mut started = 0;
    let backups = (0..prng.below(6))
        .map(|n| {
            started += prng.below(10 * 86_400);
            let kind = [BackupKind::Full, BackupKind::Incremental, BackupKind::Differential][prng.index(3)];
            PastBackup {
                id: Id([u8::try_from(n).unwrap_or(0); 16]),
                kind,
                started: Timestamp::from_micros(0).plus(Duration::from_secs(started)),
                failed_verification: prng.chance(0.2),
            }
        })
        .collect();
    History { backups }
}
