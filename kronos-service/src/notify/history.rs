//! What is known of jobs and storages from earlier runs, and what the newest one means in its light.
//! Pure: nothing here asks for the time or sends anything.

use std::collections::BTreeMap;
use std::time::Duration;

use kronos_core::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::news::{CaptureGap, Missed, News};
use super::notice::{self, Notice};
use super::occasion::{Occasion, Severity};
use crate::report::{Ended, Operation, RunReport, StorageEnded, StorageFigures};
use crate::schedule::in_words;
use crate::words::{count, duration};

/// A job that has not run for so long no longer keeps a storage from having recovered.
const FORGOTTEN: Duration = Duration::from_hours(14 * 24);

/// So many different warnings of a job are told apart.
const WARNINGS: usize = 16;

/// So many jobs are remembered; beyond that the ones that have not run for longest are not.
const JOBS: usize = 20_000;

/// What is known from earlier runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct History {
    #[serde(default)]
    jobs: BTreeMap<String, JobHistory>,
    /// The jobs whose newest backup a storage lacks.
    #[serde(default)]
    storages: BTreeMap<String, BTreeMap<String, Trouble>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct JobHistory {
    seen: Timestamp,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failing: BTreeMap<Operation, Trouble>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    last_good: BTreeMap<Operation, Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<Trouble>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    warned: BTreeMap<Digest, Trouble>,
}

/// Something that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Trouble {
    since: Timestamp,
    last: Timestamp,
    times: u32,
}

impl Trouble {
    fn again(before: Option<Self>, at: Timestamp) -> Self {
        match before {
            Some(before) => Self { last: at, times: before.times.saturating_add(1), ..before },
            None => Self { since: at, last: at, times: 1 },
        }
    }
}

/// What there is to tell, and what no longer lasts although nobody is told so.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    pub(super) notices: Vec<Notice>,
    pub(super) over: Vec<String>,
}

impl History {
    /// Learns what happened.
    pub(super) fn learn(&mut self, news: &News) -> Lesson {
        let mut lesson = Lesson::default();
        match news {
            // Somebody stopped it, and knows.
            News::Ended(report) if report.ended == Ended::Cancelled => {}
            News::Ended(report) => self.run(report, &mut lesson),
            News::Missed(missed) => lesson.notices.push(self.missed(missed)),
            News::CaptureGap(gap) => lesson.notices.push(gap_notice(gap)),
        }
        if self.jobs.len() > JOBS {
            let oldest = self.jobs.iter().min_by_key(|(_, job)| job.seen).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.jobs.remove(&name));
        }
        lesson
    }

    fn job(&mut self, name: &str, at: Timestamp) -> &mut JobHistory {
        let job = self.jobs.entry(name.to_owned()).or_insert_with(|| JobHistory {
            seen: at,
            failing: BTreeMap::new(),
            last_good: BTreeMap::new(),
            missing: None,
            warned: BTreeMap::new(),
        });
        job.seen = job.seen.max(at);
        job
    }

    fn run(&mut self, report: &RunReport, lesson: &mut Lesson) {
        let at = report.finished;
        let job = self.job(&report.job, at);
        // Catching up speaks of storages only.
        let is_of_storages = report.operation == Operation::CatchUp && report.error.is_none();
        if report.ended == Ended::Failed && !is_of_storages {
            lesson.notices.push(failed(job, report));
        } else if report.ended != Ended::Failed {
            went_well(job, report, lesson);
        }
        for storage in &report.storages {
            lesson.notices.extend(self.storage(report, storage));
        }
    }

    fn storage(&mut self, report: &RunReport, figures: &StorageFigures) -> Option<Notice> {
        let (at, name) = (report.finished, &figures.storage);
        match figures.ended {
            StorageEnded::Failed | StorageEnded::Dropped => {
                let down = self.storages.entry(name.clone()).or_default();
                // That a catch-up was in vain is no news; what reminds of it are backups.
                if report.operation == Operation::CatchUp
                    && let Some(known) = down.get_mut(&report.job)
                {
                    known.last = at;
                    return None;
                }
                let trouble = Trouble::again(down.get(&report.job).copied(), at);
                down.insert(report.job.clone(), trouble);
                let since = down.values().map(|trouble| trouble.since).min();
                let is_slow = figures.ended == StorageEnded::Dropped;
                let title = if is_slow { "is too slow" } else { "is down" };
                let title = format!("storage {name} {title}");
                let mut notice = Notice::new(Occasion::StorageDown, Severity::Warning, &report.job, at, &title)
                    .of(report)
                    .about(format!("storage {name}"))
                    .with_error(figures.error.as_ref());
                notice.storage = Some(name.clone());
                notice.since = since;
                notice.times = down.values().map(|trouble| trouble.times).max().unwrap_or(1);
                notice.details.push(format!("it lacks backups of {}", jobs(down.keys())));
                if report.ended != Ended::Failed {
                    notice
                        .details
                        .push("the backup is in the other storages, and is copied to it once it is back".into());
                }
                Some(notice)
            }
            // It is up, and still lacks what it missed.
            StorageEnded::Stored | StorageEnded::Nothing if figures.behind => None,
            StorageEnded::Stored | StorageEnded::Nothing => {
                let down = self.storages.get_mut(name)?;
                let trouble = down.remove(&report.job)?;
                down.retain(|_, trouble| at.since(trouble.last) < FORGOTTEN);
                if !down.is_empty() {
                    return None;
                }
                self.storages.remove(name);
                let title = format!("storage {name} is back");
                let mut notice = Notice::new(Occasion::StorageRecovered, Severity::Info, &report.job, at, &title)
                    .of(report)
                    .about(format!("storage {name}"));
                notice.storage = Some(name.clone());
                notice.since = Some(trouble.since);
                notice.times = trouble.times;
                if figures.caught_up > 0 {
                    let copied = count(figures.caught_up, "backup");
                    notice.details.push(format!(
                        "{copied} of {} that it had missed {} copied to it",
                        report.job,
                        if figures.caught_up == 1 { "was" } else { "were" }
                    ));
                }
                Some(notice)
            }
        }
    }

    fn missed(&mut self, missed: &Missed) -> Notice {
        let job = self.job(&missed.job, missed.at);
        let trouble = Trouble::again(job.missing, missed.due);
        job.missing = Some(trouble);
        let title = match missed.runs {
            0 | 1 => format!("{}: a run was missed", missed.job),
            runs => format!("{}: {} runs were missed", missed.job, in_words(runs.into())),
        };
        let mut notice = Notice::new(Occasion::Missed, Severity::Warning, &missed.job, missed.at, &title)
            .about(format!("missed {}", missed.job));
        notice.since = Some(trouble.since);
        notice.times = trouble.times;
        notice.last_good = job.last_good.get(&Operation::Backup).copied();
        notice.details.push(notice::text(&missed.why));
        let again = if missed.is_made_up { "it is run now" } else { "it is run at its next time" };
        notice.details.push(again.to_owned());
        notice.hint = Some("see that the machine and `kronos daemon` run when the job is due".to_owned());
        notice
    }
}

fn failed(job: &mut JobHistory, report: &RunReport) -> Notice {
    let at = report.finished;
    let trouble = Trouble::again(job.failing.get(&report.operation).copied(), at);
    job.failing.insert(report.operation, trouble);
    let is_damage = report.error.as_ref().is_some_and(|error| error.kind == "corrupt");
    let severity =
        if is_damage || report.operation == Operation::Verify { Severity::Critical } else { Severity::Error };
    let title = match trouble.times {
        1 => format!("{}: {} failed", report.job, notice::name(report.operation)),
        times => format!("{}: {} failed {times} times in a row", report.job, notice::name(report.operation)),
    };
    let mut notice = Notice::new(Occasion::Failure, severity, &report.job, at, &title)
        .of(report)
        .about(format!("{} {}", notice::name(report.operation), report.job))
        .with_error(report.error.as_ref());
    notice.since = Some(trouble.since);
    notice.times = trouble.times;
    notice.last_good = job.last_good.get(&report.operation).copied();
    notice
}

fn went_well(job: &mut JobHistory, report: &RunReport, lesson: &mut Lesson) {
    let (at, name) = (report.finished, &report.job);
    let what = notice::name(report.operation);
    // A catch-up that has left a storage behind has done no harm, and no good.
    let is_good = report.operation != Operation::CatchUp || report.storages.iter().all(|storage| !storage.behind);
    let before = is_good.then(|| job.last_good.insert(report.operation, at)).flatten();
    if let Some(trouble) = is_good.then(|| job.failing.remove(&report.operation)).flatten() {
        let title = format!("{name}: {what} works again");
        let mut notice = Notice::new(Occasion::Recovered, Severity::Info, name, at, &title)
            .of(report)
            .about(format!("{what} {name}"));
        let lasted = duration(at.since(trouble.since));
        notice.details.push(format!("{} had failed, for {lasted}", count(trouble.times.into(), "run")));
        notice.since = Some(trouble.since);
        notice.times = trouble.times;
        notice.last_good = before;
        lesson.notices.push(notice);
    }
    if report.operation == Operation::Backup {
        job.missing = None;
        lesson.over.push(format!("missed {name}"));
    }
    if let Some(notice) = warned(job, report) {
        lesson.notices.push(notice);
    } else if report.operation == Operation::Backup {
        let over = std::mem::take(&mut job.warned).into_keys();
        lesson.over.extend(over.map(|digest| warning(digest, name)));
    }
    let (occasion, title) = match report.operation {
        Operation::Verify => (Occasion::Verified, format!("{name}: the backup was verified")),
        _ => (Occasion::Success, format!("{name}: {what} done")),
    };
    if report.ended != Ended::Nothing && is_good {
        lesson.notices.push(Notice::new(occasion, Severity::Info, name, at, &title).of(report));
    }
}

fn warned(job: &mut JobHistory, report: &RunReport) -> Option<Notice> {
    if report.warnings.is_empty() {
        return None;
    }
    // Numbers and times change from run to run, and the warning is the same.
    let same: String = report.warnings.join("\n").chars().filter(|c| !c.is_ascii_digit()).collect();
    let digest = Digest::of(same.as_bytes());
    let trouble = Trouble::again(job.warned.get(&digest).copied(), report.finished);
    job.warned.insert(digest, trouble);
    if job.warned.len() > WARNINGS {
        let oldest = job.warned.iter().min_by_key(|(_, trouble)| trouble.last).map(|(digest, _)| *digest);
        oldest.and_then(|digest| job.warned.remove(&digest));
    }
    let title = match &report.warnings[..] {
        [one] => format!("{}: {}", report.job, notice::text(one)),
        all => format!("{}: {} warnings", report.job, all.len()),
    };
    let mut notice = Notice::new(Occasion::Warning, Severity::Warning, &report.job, report.finished, &title)
        .of(report)
        .about(warning(digest, &report.job));
    notice.since = Some(trouble.since);
    notice.times = trouble.times;
    Some(notice)
}

fn warning(digest: Digest, job: &str) -> String {
    format!("warning {} {job}", &digest.to_string()[..16])
}

fn gap_notice(gap: &CaptureGap) -> Notice {
    let title = format!("{}: changes of {} were not captured", gap.job, duration(gap.to.since(gap.from)));
    let mut notice = Notice::new(Occasion::CaptureGap, Severity::Critical, &gap.job, gap.to, &title);
    notice.since = Some(gap.from);
    notice.details.push(format!("no restore can reach a moment from {} to {}", gap.from, gap.to));
    notice.details.push(notice::text(&gap.why));
    notice.hint = Some("make a full backup now: from it on every moment can be reached again".to_owned());
    notice
}

fn jobs<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more jobs") }
}
