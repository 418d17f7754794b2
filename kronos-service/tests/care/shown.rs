//! Figures are fresh, cheap and right after a restart; nobody is busy without need; a store that fails
//! stops nothing for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kronos_core::{Clock, Error, ErrorKind, Id, Result, Retry, Timestamp};
use kronos_service::daemon::{pause, resume, run_now};
use kronos_service::metrics::Names;
use kronos_service::store::{
    Adoption, Claimed, JobStore, MemoryStore, Outcome, Owner, RunRecord, Settled, Settlement, Skip, SkipReason,
    SqliteStore, Task, TaskState,
};
use kronos_service::{Ended, Operation};
use tokio_util::sync::CancellationToken;

use super::house::{House, job, minutes, plain, time};
use super::notes;

fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

#[tokio::test(start_paused = true)]
async fn figures_follow_what_happens() {
    let jobs: Vec<_> = ["a", "b", "c", "d"].map(|name| plain(name, "0 1 * * *")).into();
    let house = House::new(Arc::new(MemoryStore::new()), jobs);
    for job in ["a", "b", "c", "d"] {
        house.world.runner.lengths.lock().unwrap().insert(job.to_owned(), minutes(10));
    }
    let living = house.start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let due = r#"kronos_job_next_due_timestamp_seconds{kronos_job="a"}"#;
    let paused = r#"kronos_job_paused{kronos_job="a"}"#;
    assert_eq!(living.figure(due), Some(seconds(time("2026-06-01T01:00:00Z"))));
    assert_eq!(living.figure(paused), Some(0.0));

    // Two run and two wait; then one more runs.
    tokio::time::sleep(minutes(60)).await;
    let queue = || (living.figure("kronos_runs_running"), living.figure("kronos_runs_waiting"));
    assert_eq!(queue(), (Some(2.0), Some(2.0)));
    let oldest = living.figure("kronos_runs_oldest_due_timestamp_seconds");
    assert_eq!(oldest, Some(seconds(time("2026-06-01T01:00:00Z"))));
    assert_eq!(living.figure(due), Some(seconds(time("2026-06-02T01:00:00Z"))));
    tokio::time::sleep(minutes(10)).await;
    assert_eq!(queue(), (Some(2.0), Some(0.0)));
    assert_eq!(living.figure("kronos_runs_oldest_due_timestamp_seconds"), None);

    // Somebody else pauses: that is seen within a minute.
    pause(&*house.world.parts.store, &house.jobs[0], house.world.clock.now()).await.unwrap();
    tokio::time::sleep(minutes(1)).await;
    assert_eq!((living.figure(paused), living.figure(due)), (Some(1.0), None));
    resume(&*house.world.parts.store, &house.jobs[0], house.world.clock.now()).await.unwrap();
    tokio::time::sleep(minutes(1)).await;
    assert_eq!(living.figure(paused), Some(0.0));

    // One that is not scheduled any more is not due.
    let mut care = living.care.clone();
    care.jobs.remove(0);
    living.care_handle.replace(care);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(living.figure(due), None);
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_job_is_as_old_as_its_last_good_backup() {
    let house = House::new(Arc::new(MemoryStore::new()), vec![plain("shop", "0 * * * *")]);
    house.world.runner.lengths.lock().unwrap().insert("shop".to_owned(), Duration::ZERO);
    let living = house.start();
    tokio::time::sleep(minutes(70)).await;
    house.world.runner.fails.store(1, Ordering::SeqCst);
    tokio::time::sleep(minutes(120)).await;
    living.stop().await;
    let living = house.start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let figure = |what: &str| living.figure(&format!("kronos_backup_{what}{{kronos_job=\"shop\"}}"));
    let good = figure("last_success_timestamp_seconds");
    assert_eq!(good, Some(seconds(time("2026-06-01T01:00:00Z"))));
    assert_eq!(figure("failing_runs"), Some(2.0));
    assert_eq!(figure("last_end_timestamp_seconds"), Some(seconds(time("2026-06-01T03:00:00Z"))));
    assert_eq!(living.figure(r#"kronos_backup_runs_total{kronos_job="shop",ended="failed"}"#), None);

    // Once is enough, whatever configurations come.
    living.care_handle.replace(living.care.clone());
    tokio::time::sleep(minutes(2)).await;
    assert_eq!(figure("failing_runs"), Some(2.0));
    living.stop().await;

    // A run that ends in the first moment does not make forget what was before.
    let care = house.care();
    let failed = notes::run("shop", Operation::Backup, Ended::Failed, house.world.clock.now());
    care.metrics.record(&failed);
    let living = house.start_with(care);
    tokio::time::sleep(minutes(2)).await;
    assert_eq!(living.figure(r#"kronos_backup_last_success_timestamp_seconds{kronos_job="shop"}"#), good);
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_never_went_well_fails_as_often_after_a_restart() {
    let house = House::new(Arc::new(MemoryStore::new()), vec![plain("shop", "0 * * * *")]);
    house.world.runner.lengths.lock().unwrap().insert("shop".to_owned(), Duration::ZERO);
    house.world.runner.fails.store(1, Ordering::SeqCst);
    let living = house.start();
    tokio::time::sleep(minutes(130)).await;
    living.stop().await;
    let living = house.start();
    tokio::time::sleep(minutes(1)).await;
    living.care_handle.replace(living.care.clone());
    tokio::time::sleep(minutes(5)).await;
    assert_eq!(living.figure(r#"kronos_backup_failing_runs{kronos_job="shop"}"#), Some(2.0));
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_another_program_has_run_is_seen_within_a_minute_and_not_counted() {
    let house = House::new(Arc::new(MemoryStore::new()), vec![plain("shop", "0 1 1 1 *")]);
    house.world.runner.lengths.lock().unwrap().insert("shop".to_owned(), Duration::ZERO);
    let living = house.start();
    tokio::time::sleep(minutes(30)).await;
    let figure = |what: &str| living.figure(&format!("kronos_backup_{what}{{kronos_job=\"shop\"}}"));
    assert_eq!(figure("last_success_timestamp_seconds"), None);
    for hour in ["2026-06-01T00:30:00Z", "2026-06-01T01:30:00Z"] {
        run_now(&house.world.parts, &Task::backup("shop"), None, CancellationToken::new(), None).await.unwrap();
        tokio::time::sleep(minutes(1)).await;
        assert_eq!(figure("last_success_timestamp_seconds"), Some(seconds(time(hour))));
        tokio::time::sleep(minutes(59)).await;
    }
    assert_eq!(living.figure(r#"kronos_backup_runs_total{kronos_job="shop",ended="succeeded"}"#), None);
    // A job that leaves the configuration and comes back is as old as it is.
    let names = |jobs: &[&str]| Names { jobs: jobs.iter().map(|job| (*job).to_owned()).collect(), ..Names::default() };
    for jobs in [&[][..], &["shop"]] {
        living.metrics.configure(&names(jobs));
        living.care_handle.replace(living.care.clone());
        tokio::time::sleep(minutes(1)).await;
    }
    assert_eq!(figure("last_success_timestamp_seconds"), Some(seconds(time("2026-06-01T01:30:00Z"))));
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_own_time_does_not_wait_for_a_place() {
    let shop = job("shop", "0 1 * * *", |settings| {
        settings.retries = 1;
        settings.retry_pause = minutes(30);
    });
    let house = House::new(Arc::new(MemoryStore::new()), vec![shop]);
    house.world.runner.lengths.lock().unwrap().insert("shop".to_owned(), minutes(5));
    house.world.runner.fails.store(1, Ordering::SeqCst);
    let living = house.start();
    tokio::time::sleep(minutes(70)).await;
    assert!(house.world.parts.store.queued().await.unwrap().len() == 1);
    let queue = (living.figure("kronos_runs_running"), living.figure("kronos_runs_waiting"));
    assert_eq!(queue, (Some(0.0), Some(0.0)));
    living.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_thousand_jobs_cost_little_and_nobody_is_busy() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(directory.path().join("jobs.db")).await.unwrap());
    let jobs: Vec<_> = (0..2_000).map(|number| plain(&format!("job {number}"), "0 3 * * *")).collect();
    let adoptions: Vec<_> =
        jobs.iter().map(|job| Adoption { task: job.task.clone(), rule: job.schedule.rule() }).collect();
    store.adopt(&adoptions, time("2026-05-31T00:00:00Z")).await.unwrap();
    let house = House::new(store, jobs);
    for job in &house.jobs {
        house.world.runner.lengths.lock().unwrap().insert(job.task.job.clone(), Duration::ZERO);
    }
    let living = house.start();
    // Every job has missed a run, which is made up for.
    tokio::time::sleep(minutes(60)).await;
    assert_eq!(house.world.runner.made().len(), 2_000);
    let calls = house.timer.taken();
    let began = Instant::now();
    tokio::time::sleep(minutes(120)).await;
    let (woken, real) = (house.timer.taken(), began.elapsed() / 120);
    println!("{woken} sleeps in 120 minutes after {calls}, each minute takes {real:?}");
    // The daemon wakes once a minute, and so do the two parts of the caretaker; every ten minutes messages
    // are looked for.
    assert!((300..=420).contains(&woken), "{woken} times in 120 minutes");
    // A wide margin, for machines that are busy.
    assert!(real < Duration::from_millis(500), "{real:?}");
    living.stop().await;
}

/// A store that fails when it is told to.
#[derive(Debug)]
struct Failing(MemoryStore, AtomicBool, AtomicU64);

impl Failing {
    fn check(&self) -> Result<()> {
        if self.1.load(Ordering::SeqCst) {
            self.2.fetch_add(1, Ordering::SeqCst);
            return Err(Error::new(ErrorKind::StorageFull, "no room for the job store").with_retry(Retry::Later));
        }
        Ok(())
    }
}

#[async_trait]
impl JobStore for Failing {
    async fn tasks(&self) -> Result<Vec<TaskState>> {
        self.check()?;
        self.0.tasks().await
    }
    async fn task(&self, task: &Task) -> Result<Option<TaskState>> {
        self.check()?;
        self.0.task(task).await
    }
    async fn adopt(&self, adoptions: &[Adoption], now: Timestamp) -> Result<()> {
        self.check()?;
        self.0.adopt(adoptions, now).await
    }
    async fn retire(&self, tasks: &[Task], now: Timestamp) -> Result<()> {
        self.check()?;
        self.0.retire(tasks, now).await
    }
    async fn settle(&self, settlements: &[Settlement], now: Timestamp) -> Result<Vec<Settled>> {
        self.check()?;
        self.0.settle(settlements, now).await
    }
    async fn claim(&self, run: Id, owner: &Owner, now: Timestamp, until: Timestamp) -> Result<Claimed> {
        self.check()?;
        self.0.claim(run, owner, now, until).await
    }
    async fn begin(&self, run: &RunRecord) -> Result<Claimed> {
        self.check()?;
        self.0.begin(run).await
    }
    async fn renew(&self, run: Id, owner: Id, until: Timestamp) -> Result<bool> {
        self.check()?;
        self.0.renew(run, owner, until).await
    }
    async fn end(
        &self,
        run: Id,
        owner: Id,
        at: Timestamp,
        outcome: &Outcome,
        next: Option<&RunRecord>,
    ) -> Result<bool> {
        self.check()?;
        self.0.end(run, owner, at, outcome, next).await
    }
    async fn queued(&self) -> Result<Vec<RunRecord>> {
        self.check()?;
        self.0.queued().await
    }
    async fn expired(&self, now: Timestamp) -> Result<Vec<RunRecord>> {
        self.check()?;
        self.0.expired(now).await
    }
    async fn interrupt(&self, run: Id, now: Timestamp, next: Option<&RunRecord>) -> Result<bool> {
        self.check()?;
        self.0.interrupt(run, now, next).await
    }
    async fn drop_queued(&self, run: Id, at: Timestamp, why: SkipReason) -> Result<bool> {
        self.check()?;
        self.0.drop_queued(run, at, why).await
    }
    async fn pause(&self, task: &Task, now: Timestamp) -> Result<()> {
        self.check()?;
        self.0.pause(task, now).await
    }
    async fn resume(&self, task: &Task, now: Timestamp) -> Result<()> {
        self.check()?;
        self.0.resume(task, now).await
    }
    async fn rewind(&self, task: &Task, epoch: u32, to: Timestamp) -> Result<bool> {
        self.check()?;
        self.0.rewind(task, epoch, to).await
    }
    async fn runs(&self, task: Option<&Task>, limit: usize) -> Result<Vec<RunRecord>> {
        self.check()?;
        self.0.runs(task, limit).await
    }
    async fn skips(&self, task: Option<&Task>, limit: usize) -> Result<Vec<Skip>> {
        self.check()?;
        self.0.skips(task, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_stops_nothing_for_good() {
    let store = Arc::new(Failing(MemoryStore::new(), AtomicBool::new(false), AtomicU64::new(0)));
    let mut house = House::new(store.clone(), vec![plain("shop", "0 1 * * *")]);
    let player = super::player::Player::new(house.world.clock.clone());
    player.take_down("shop");
    house.world.parts.runner = player.clone();
    let living = house.start();
    let ready = || living.care_handle.ready().map_err(|error| error.to_string());
    assert!(ready().is_err_and(|why| why.contains("does not know its jobs yet")));
    tokio::time::sleep(minutes(62)).await;
    assert_eq!(ready(), Ok(()));
    assert_eq!(player.catch_ups("shop"), [(61, 1)]);
    store.1.store(true, Ordering::SeqCst);
    tokio::time::sleep(minutes(60)).await;
    assert!(ready().is_err_and(|why| why.contains("the job store fails")));
    let asked = store.2.load(Ordering::SeqCst);
    assert!(asked < 300, "{asked} times in an hour");
    let told: Vec<String> = house.letters.letters().iter().map(|letter| format!("{letter:?}")).collect();
    assert_eq!(told.iter().filter(|letter| letter.contains("no run begins")).count(), 1, "{told:#?}");
    store.1.store(false, Ordering::SeqCst);
    tokio::time::sleep(minutes(2)).await;
    assert_eq!(ready(), Ok(()));
    assert_eq!(player.catch_ups("shop").len(), 2, "what was due has its turn");
    let due = r#"kronos_job_next_due_timestamp_seconds{kronos_job="shop"}"#;
    assert_eq!(living.figure(due), Some(seconds(time("2026-06-02T01:00:00Z"))));
    assert!(!living.caring.is_finished() && !living.working.is_finished());

    // It cannot be told of the end of a catch-up, and that is no end of anything else.
    player.takes(Duration::ZERO, minutes(5));
    player.bring_up("shop");
    tokio::time::sleep(minutes(5)).await;
    store.1.store(true, Ordering::SeqCst);
    tokio::time::sleep(minutes(10)).await;
    store.1.store(false, Ordering::SeqCst);
    tokio::time::sleep(minutes(200)).await;
    let made = player.catch_ups("shop").len();
    assert!((4..=5).contains(&made), "{:?}", player.catch_ups("shop"));
    let handle = living.care_handle.clone();
    living.stop().await;
    assert!(handle.ready().is_err_and(|why| why.to_string().contains("is stopping")));
}
