//! One run of a job: storages that are down, what they are given later, and what old backups become.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test may panic")]

mod cellar;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cellar::Cellar;
use kronos_core::testing::MemorySource;
use kronos_core::{
    BackupOptions, Error, ErrorKind, Event, Id, Result, Retention, RunContext, SystemClock, SystemEntropy, Timestamp,
};
use kronos_service::audit::{AuditLog, Who, verify_audit};
use kronos_service::daemon::{Parts, Quiet, WallTimer, run_now};
use kronos_service::hooks::{Hook, HookCommand, HookSettings, Hooks};
use kronos_service::metrics::{Metrics, MetricsFollower, Names};
use kronos_service::store::{MemoryStore, Task};
use kronos_service::{
    BackupTask, CatchUpTask, Company, Ended, Follower, Frame, JobMethod, JobResult, JobRunner, Jobs, Operation,
    Outcome, Place, Places, RunReport, StorageEnded, Trigger,
};
use tokio_util::sync::CancellationToken;

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

fn company(followers: Vec<Arc<dyn Follower>>) -> Company {
    Company { hooks: None, followers }
}

#[tokio::test]
async fn followers_are_told_and_never_make_a_run_fail() {
    let run = RunContext::new();
    let frame = Frame::new(Operation::Backup, "shop", Trigger::Manual, &run);
    for fails in [false, true] {
        let diary = Arc::new(Diary { fails, ..Diary::default() });
        let report = frame.begin(company(vec![diary.clone()]), &run).await.end(&Ok(())).await;
        let entries = diary.entries.lock().unwrap().clone();
        let expected = if fails { Ended::Warnings } else { Ended::Succeeded };
        assert_eq!((entries[1].0, entries[1].1), ("ended", expected));
        assert_eq!(report.warnings.len(), if fails { 2 } else { 0 }, "{report:?}");
        assert!(report.warnings.iter().all(|warning| warning == "diary: the pen is broken"));
        assert_eq!(report.run, frame.run);
    }
}

#[tokio::test]
async fn chunks_are_counted_and_those_that_were_there_are_not_new() {
    let cellar = Cellar::of(&["main"]);
    let (task, source) = task(&cellar, None);
    let run = RunContext::new();
    let counted = async || {
        let frame = Frame::new(Operation::Backup, "shop", Trigger::Manual, &run);
        let done = task.run_in(&frame, company(Vec::new()), &cellar, &run).await;
        done.report.backup.unwrap().chunks.unwrap()
    };
    let first = counted().await;
    assert!(first.cut > 0 && first.new == first.cut, "{first:?}");
    source.set("b", vec![9; 100]);
    let second = counted().await;
    assert!(second.new > 0 && second.new < second.cut, "{second:?}");
}

#[tokio::test]
async fn how_a_run_ended_is_what_its_work_came_to() {
    let run = RunContext::new();
    let frame = Frame::new(Operation::Restore, "shop", Trigger::Manual, &run);
    let following = frame.begin(Company::default(), &run).await;
    following.context.emit(&Event::Warning { message: "look at this".to_owned() });
    let report = following.end(&Ok(())).await;
    assert_eq!((report.ended, report.warnings.as_slice()), (Ended::Warnings, ["look at this".to_owned()].as_slice()));
    for (kind, ended) in [(ErrorKind::Cancelled, Ended::Cancelled), (ErrorKind::Corrupt, Ended::Failed)] {
        let report = frame.begin(Company::default(), &run).await.end::<()>(&Err(Error::new(kind, "it broke"))).await;
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
    let following = frame.begin(company(vec![Arc::new(log)]), &run).await;
    let report = following.end::<()>(&Err(Error::new(ErrorKind::Io, "no room"))).await;
    assert!(report.warnings.is_empty(), "{report:?}");
    let found = verify_audit(place.path(), &[]).unwrap();
    assert!(found.problems.is_empty() && found.entries == 2, "{found:?}");
}

/// A job whose hooks leave a mark.
#[derive(Debug)]
struct Marked {
    cellar: Cellar,
    source: MemorySource,
    mark: std::path::PathBuf,
}

impl Places for Marked {
    fn place<'a>(&'a self, location: &str) -> Result<Box<dyn Place + 'a>> {
        self.cellar.place(location)
    }
}

impl Jobs for Marked {
    fn backup(&self, _: &str) -> Result<BackupTask> {
        Ok(BackupTask { connector: Arc::new(self.source.clone()), ..task(&self.cellar, None).0 })
    }

    fn catch_up(&self, job: &str) -> Result<CatchUpTask> {
        Ok(CatchUpTask { job: job.to_owned(), storages: self.cellar.choices(), retention: None })
    }

    fn context(&self, _: &str) -> RunContext {
        RunContext::new()
    }

    fn company(&self, _: &str) -> Company {
        let line = format!("echo $KRONOS_OPERATION >> {}", self.mark.display());
        let after = Some(Hook::new(HookCommand::Shell(line)));
        let hooks = Hooks::new(HookSettings { after, ..HookSettings::default() }, &|_| None);
        Company { hooks: Some(hooks), followers: Vec::new() }
    }
}

#[tokio::test]
async fn hooks_run_around_backups_only() {
    let place = tempfile::tempdir().unwrap();
    let mark = place.path().join("mark");
    let source = MemorySource::new("shop");
    source.set("a", vec![1; 5000]);
    let jobs = Marked { cellar: Cellar::of(&["main", "off"]), source, mark: mark.clone() };
    let clock = Arc::new(SystemClock);
    let parts = Parts {
        store: Arc::new(MemoryStore::new()),
        runner: Arc::new(JobRunner::new(Arc::new(jobs))),
        timer: Arc::new(WallTimer::new(clock.clone())),
        clock,
        entropy: Arc::new(SystemEntropy),
        observer: Arc::new(Quiet),
        name: "a test".to_owned(),
    };
    for operation in [Operation::Backup, Operation::CatchUp] {
        let report =
            run_now(&parts, &Task::new("shop", operation), None, CancellationToken::new(), None).await.unwrap();
        assert!(matches!(report.ended, Ended::Succeeded | Ended::Nothing), "{report:?}");
    }
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "backup\n");
}

/// A job whose work panics, and those that are told of it.
#[derive(Debug)]
struct Panicking {
    cellar: Cellar,
    followers: Vec<Arc<dyn Follower>>,
}

impl Places for Panicking {
    fn place<'a>(&'a self, _: &str) -> Result<Box<dyn Place + 'a>> {
        panic!("at s3://key:hunter2@bucket\nnothing is {}", "right")
    }
}

impl Jobs for Panicking {
    fn backup(&self, job: &str) -> Result<BackupTask> {
        if job == "unready" { panic!("no such luck") } else { Ok(task(&self.cellar, None).0) }
    }

    fn catch_up(&self, job: &str) -> Result<CatchUpTask> {
        Ok(CatchUpTask { job: job.to_owned(), storages: self.cellar.choices(), retention: None })
    }

    fn context(&self, _: &str) -> RunContext {
        RunContext::new()
    }

    fn company(&self, _: &str) -> Company {
        company(self.followers.clone())
    }
}

/// Panics, which must keep nobody else from being told.
#[derive(Debug)]
struct Clumsy;

#[async_trait]
impl Follower for Clumsy {
    fn name(&self) -> &'static str {
        "clumsy"
    }

    async fn begun(&self, _: &RunReport) -> Result<()> {
        Ok(())
    }

    async fn ended(&self, _: &RunReport) -> Result<()> {
        panic!("dropped it")
    }
}

#[tokio::test]
async fn followers_are_told_of_a_run_that_panics() {
    let place = tempfile::tempdir().unwrap();
    let audit = AuditLog::new(place.path(), Who { user: None, host: None, pid: 7 }, Arc::new(SystemClock));
    let metrics = Metrics::new(Timestamp::from_micros(0));
    metrics.configure(&Names { jobs: ["shop".to_owned()].into(), ..Names::default() });
    let diary = Arc::new(Diary::default());
    let figures = MetricsFollower::new(metrics.clone(), Names::default(), None);
    let followers: Vec<Arc<dyn Follower>> = vec![Arc::new(Clumsy), diary.clone(), Arc::new(audit), Arc::new(figures)];
    let runner = Arc::new(JobRunner::new(Arc::new(Panicking { cellar: Cellar::of(&["main"]), followers })));
    let clock = Arc::new(SystemClock);
    let parts = Parts {
        store: Arc::new(MemoryStore::new()),
        runner,
        timer: Arc::new(WallTimer::new(clock.clone())),
        clock,
        entropy: Arc::new(SystemEntropy),
        observer: Arc::new(Quiet),
        name: "a test".to_owned(),
    };
    for (job, operation, cause) in [
        ("shop", Operation::Backup, "at s3://***@bucket nothing is right"),
        ("shop", Operation::CatchUp, "at s3://***@bucket nothing is right"),
        ("unready", Operation::Backup, "no such luck"),
    ] {
        let report = run_now(&parts, &Task::new(job, operation), None, CancellationToken::new(), None).await.unwrap();
        let error = report.error.expect("it has failed");
        assert_eq!((report.ended, error.kind.as_str()), (Ended::Failed, ErrorKind::Internal.name()));
        assert_eq!((error.message.as_str(), error.causes), ("the run panicked", vec![cause.to_owned()]));
        assert_eq!(report.warnings, ["clumsy: telling of the run panicked: dropped it"]);
        let told: Vec<_> = std::mem::take(&mut *diary.entries.lock().unwrap());
        assert_eq!(told.iter().map(|(what, ended, _)| (*what, *ended)).next_back(), Some(("ended", Ended::Failed)));
    }
    assert_eq!(verify_audit(place.path(), &[]).unwrap().entries, 6);
    let text = metrics.page().unwrap();
    assert!(text.contains("kind=\"internal\"") && text.contains("ended=\"failed\""), "{text}");
}
