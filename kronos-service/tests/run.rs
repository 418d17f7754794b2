//! One run of a job: storages that are down, what they are given later, and what old backups become.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may panic")]

mod cellar;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cellar::Cellar;
use kronos_core::testing::MemorySource;
use kronos_core::{BackupOptions, Error, ErrorKind, Event, Id, Result, Retention, RunContext, Timestamp};
use kronos_service::audit::{AuditLog, Who, verify_audit};
use kronos_service::{
    BackupTask, CatchUpTask, Ended, Follower, Frame, JobMethod, JobResult, Operation, Outcome, RunReport, StorageEnded,
    Trigger,
};

fn task(cellar: &Cellar, retention: Option<Retention>) -> (BackupTask, MemorySource) {
    let source = MemorySource::new("shop");
    source.set("a", vec![1; 5000]);
    let task = BackupTask {
        connector: Arc::new(source.clone()),
        job: Some("shop".to_owned()),
        storages: cellar.choices(),
        method: JobMethod::Native,
        options: BackupOptions::new(),
        retention,
        dry_run: false,
    };
    (task, source)
}

async fn run(task: &BackupTask, cellar: &Cellar) -> (JobResult, Result<()>) {
    let mut result = JobResult::new("shop", JobMethod::Native);
    let ended = task.run(cellar, &RunContext::new(), &mut result).await;
    if let Err(error) = &ended {
        result.fail(error);
    }
    (result, ended)
}

fn told(result: &JobResult) -> RunReport {
    let begun = Timestamp::from_micros(0);
    let mut report = RunReport::begin(Id([1; 16]), Operation::Backup, "shop", Trigger::Schedule, begun);
    result.tell(&mut report);
    report
}

fn last(n: u32) -> Retention {
    Retention { last: n, ..Retention::default() }
}

#[tokio::test]
async fn a_storage_that_was_down_is_caught_up_without_reading_the_source() {
    let cellar = Cellar::of(&["main", "off"]);
    let (task, source) = task(&cellar, None);
    run(&task, &cellar).await.1.unwrap();
    cellar.take_down("off");
    source.set("a", vec![2; 5000]);
    let (result, ended) = run(&task, &cellar).await;
    ended.unwrap();
    let report = told(&result);
    assert_eq!(report.ended, Ended::Warnings, "one storage has it");
    let [main, off] = report.storages.as_slice() else { panic!("{report:?}") };
    assert_eq!((main.ended, main.behind), (StorageEnded::Stored, false));
    assert_eq!((off.ended, off.behind), (StorageEnded::Failed, true));
    assert_eq!(off.error.as_ref().unwrap().kind, "connection-failed");

    let catch_up = CatchUpTask { job: "shop".to_owned(), storages: cellar.choices(), retention: None };
    let still = catch_up.run(&cellar, &RunContext::new()).await;
    assert_eq!((still[0].outcome, still[1].outcome), (Outcome::NothingToDo, Outcome::Failed));

    cellar.bring_up("off");
    source.take_opened();
    let done = catch_up.run(&cellar, &RunContext::new()).await;
    assert_eq!((done[0].outcome, done[1].outcome, done[1].caught_up), (Outcome::NothingToDo, Outcome::Copied, 1));
    assert!(source.take_opened().is_empty(), "the source was read again");
    let begun = |backups: Vec<kronos_core::BackupInfo>| backups.iter().map(|b| b.started).collect::<Vec<_>>();
    assert_eq!(begun(cellar.backups("main").await), begun(cellar.backups("off").await));
}

/// A storage that is new gets all there is, also when it has nothing yet.
#[tokio::test]
async fn a_new_storage_gets_what_the_others_have() {
    let cellar = Cellar::of(&["main", "off"]);
    let (mut task, _) = task(&cellar, None);
    task.storages.truncate(1);
    for _ in 0..2 {
        run(&task, &cellar).await.1.unwrap();
    }
    let catch_up = CatchUpTask { job: "shop".to_owned(), storages: cellar.choices(), retention: None };
    let done = catch_up.run(&cellar, &RunContext::new()).await;
    assert_eq!((done[1].outcome, done[1].caught_up), (Outcome::Copied, 2), "{done:?}");
    assert_eq!(cellar.backups("off").await.len(), 2);
}

#[tokio::test]
async fn nothing_is_let_go_where_the_new_backup_is_missing() {
    let cellar = Cellar::of(&["main", "off"]);
    let (task, _) = task(&cellar, Some(last(1)));
    run(&task, &cellar).await.1.unwrap();
    cellar.take_down("off");
    let (result, _) = run(&task, &cellar).await;
    assert_eq!(result.storages[0].forgotten.len(), 1);
    assert_eq!(cellar.backups("off").await.len(), 1, "its only backup stays");
    cellar.bring_up("off");
    let (result, _) = run(&task, &cellar).await;
    assert_eq!(result.storages[1].forgotten.len(), 2);
    assert_eq!(told(&result).ended, Ended::Succeeded);
    for name in ["main", "off"] {
        assert_eq!(cellar.backups(name).await.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_run_fails_once_no_storage_is_left() {
    let cellar = Cellar::of(&["main", "off"]);
    let (task, source) = task(&cellar, Some(last(1)));
    for name in ["main", "off"] {
        cellar.take_down(name);
    }
    let (result, ended) = run(&task, &cellar).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Io);
    let report = told(&result);
    assert_eq!((report.ended, report.backup), (Ended::Failed, None));
    assert_eq!(report.storages.iter().filter(|s| s.behind).count(), 2);
    assert!(source.take_opened().is_empty(), "what cannot be stored is not read");

    let stopped = RunContext::new();
    stopped.cancel.cancel();
    let mut result = JobResult::new("shop", JobMethod::Native);
    let error: Error = task.run(&cellar, &stopped, &mut result).await.unwrap_err();
    result.fail(&error);
    assert_eq!(told(&result).ended, Ended::Cancelled);
}

/// Remembers what it is told, and fails if it is made to.
#[derive(Debug, Default)]
struct Diary {
    fails: bool,
    entries: Mutex<Vec<(&'static str, Ended, usize)>>,
}

impl Diary {
    fn note(&self, what: &'static str, report: &RunReport) -> Result<()> {
        self.entries.lock().unwrap().push((what, report.ended, report.warnings.len()));
        if self.fails { Err(Error::new(ErrorKind::Io, "the pen is broken")) } else { Ok(()) }
    }
}

#[async_trait]
impl Follower for Diary {
    fn name(&self) -> &'static str {
        "diary"
    }

    async fn begun(&self, report: &RunReport) -> Result<()> {
        self.note("begun", report)
    }

    async fn ended(&self, report: &RunReport) -> Result<()> {
        self.note("ended", report)
    }
}

#[tokio::test]
async fn followers_are_told_and_never_make_a_run_fail() {
    let run = RunContext::new();
    let frame = Frame::new(Operation::Backup, "shop", Trigger::Manual, &run);
    for fails in [false, true] {
        let diary = Arc::new(Diary { fails, ..Diary::default() });
        let report = frame.begin(vec![diary.clone()], &run).await.end(&Ok(())).await;
        let entries = diary.entries.lock().unwrap().clone();
        let expected = if fails { Ended::Warnings } else { Ended::Succeeded };
        assert_eq!((entries[1].0, entries[1].1), ("ended", expected));
        assert_eq!(report.warnings.len(), if fails { 2 } else { 0 }, "{report:?}");
        assert!(report.warnings.iter().all(|warning| warning == "diary: the pen is broken"));
        assert_eq!(report.run, frame.run);
    }
}

#[tokio::test]
async fn how_a_run_ended_is_what_its_work_came_to() {
    let run = RunContext::new();
    let frame = Frame::new(Operation::Restore, "shop", Trigger::Manual, &run);
    let following = frame.begin(Vec::new(), &run).await;
    following.context.emit(&Event::Warning { message: "look at this".to_owned() });
    let report = following.end(&Ok(())).await;
    assert_eq!((report.ended, report.warnings.as_slice()), (Ended::Warnings, ["look at this".to_owned()].as_slice()));
    for (kind, ended) in [(ErrorKind::Cancelled, Ended::Cancelled), (ErrorKind::Corrupt, Ended::Failed)] {
        let report = frame.begin(Vec::new(), &run).await.end(&Err(Error::new(kind, "it broke"))).await;
        assert_eq!(report.ended, ended);
        assert_eq!(report.error.unwrap().kind, kind.name());
    }
}

/// A run stands in the audit log when it begins and when it ends.
#[tokio::test]
async fn the_audit_log_has_a_run_twice() {
    let place = tempfile::tempdir().unwrap();
    let who = Who { user: Some("alice".to_owned()), host: None, pid: 7 };
    let log = AuditLog::new(place.path(), who, Arc::new(kronos_core::SystemClock));
    let run = RunContext::new();
    let frame = Frame::new(Operation::Restore, "shop", Trigger::Manual, &run);
    let following = frame.begin(vec![Arc::new(log)], &run).await;
    let report = following.end(&Err(Error::new(ErrorKind::Io, "no room"))).await;
    assert!(report.warnings.is_empty(), "{report:?}");
    let found = verify_audit(place.path(), &[]).unwrap();
    assert!(found.problems.is_empty() && found.entries == 2, "{found:?}");
}
