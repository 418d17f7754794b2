//! Whether the schedule of a job makes sense, told at the key that does not.

use super::section::Section;
use crate::schedule::{Schedule, ScheduleSettings};

/// Tells what is wrong with a schedule: its expression, its zone, its windows.
pub(super) fn check(job: &Section<'_>, settings: &ScheduleSettings) {
    let whole = ScheduleSettings::new("@daily");
    let parts = [
        ("timezone", ScheduleSettings { timezone: settings.timezone.clone(), ..whole.clone() }),
        ("schedule", ScheduleSettings { cron: settings.cron.clone(), ..whole.clone() }),
        ("blackout", ScheduleSettings { blackout: settings.blackout.clone(), ..whole }),
    ];
    for (key, part) in parts {
        let Err(problem) = Schedule::new(&part) else { continue };
        let mut error = job.at_key(key, problem.message());
        for (name, value) in problem.contexts() {
            error = error.with(name, value);
        }
        job.tell(error);
    }
}
