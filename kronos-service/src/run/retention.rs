//! After a backup: old ones go by the job's rules, in each storage that is up.

use kronos_core::{Event, PruneOptions, Retention, RunContext};

use super::storages::Slot;
use crate::failure::line;
use crate::mask::mask;

/// Prunes each storage that took part. The backup is made, so what goes wrong here is a warning; the
/// next run tries again.
pub(super) async fn let_go(slots: &mut [Slot<'_>], job: &str, rules: &Retention, run: &RunContext) {
    let options = PruneOptions::new(Some(rules.clone()));
    for slot in slots.iter_mut() {
        let Some(repository) = slot.up().cloned() else { continue };
        if run.cancel.is_cancelled() {
            return;
        }
        let storage = mask(&slot.name);
        match kronos_core::prune(&repository, job, &options, run).await {
            Ok(report) => {
                if !report.forgotten.is_empty() {
                    let which: Vec<String> = report.forgotten.iter().map(kronos_core::Id::short).collect();
                    let (which, rules) = (which.join(", "), described(rules));
                    let message = format!("forgot {which} of {job} on {storage}: none of the rules {rules} keeps them");
                    run.emit(&Event::Notice { message });
                }
                for warning in report.warnings {
                    run.emit(&Event::Warning { message: format!("{storage}: {warning}") });
                }
                slot.forgotten = report.forgotten;
                slot.freed = report.freed;
            }
            Err(e) => {
                let message = format!("{job} was not pruned on {storage}: {}", line(&e));
                run.emit(&Event::Warning { message });
            }
        }
    }
}

/// The rules as the configuration has them.
fn described(rules: &Retention) -> String {
    let counted = [
        ("last", rules.last),
        ("hourly", rules.hourly),
        ("daily", rules.daily),
        ("weekly", rules.weekly),
        ("monthly", rules.monthly),
        ("yearly", rules.yearly),
    ];
    let mut texts: Vec<String> =
        counted.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} = {n}")).collect();
    texts.extend(rules.within.map(|within| format!("within = {}s", within.as_secs())));
    texts.join(", ")
}
