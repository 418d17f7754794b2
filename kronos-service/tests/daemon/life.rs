//! Stops, kills, reloads, pauses, runs by hand, clocks that are set, and many jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kronos_core::{Clock, ErrorKind, Timestamp};
use kronos_service::daemon::{
    DaemonSettings, ScheduledJob, Timer, WallTimer, overview, pause, resume, run_now, upcoming,
};
use kronos_service::schedule::Missed;
use kronos_service::store::{Outcome, RunState, SqliteStore, Task};
use kronos_service::{Ended, Trigger};
use tokio_util::sync::CancellationToken;

use super::world::World;
use super::{MIDNIGHT, begun, job, minutes, names, plain, start, takes, time, world};

#[tokio::test(start_paused = true)]
async fn a_stop_waits_then_checkpoints_and_the_next_start_goes_on() {
    let world = world();
    takes(&world, "long", minutes(60));
    takes(&world, "short", Duration::from_secs(61));
    let jobs = [plain("long", "0 1 * * *"), plain("short", "0 1 * * *")];
    let (working, handle) = start(&world, &jobs);
    tokio::time::sleep(minutes(61)).await;
    handle.stop();
    let began = tokio::time::Instant::now();
    working.await.unwrap().unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(33), "30 s of patience, 3 s for the checkpoint");
    let last = |name: &'static str| {
        let store = world.parts.store.clone();
        async move { store.task(&Task::backup(name)).await.unwrap().unwrap() }
    };
    assert_eq!(last("short").await.last.unwrap().report().unwrap().ended, Ended::Succeeded);
    assert_eq!(last("long").await.last.unwrap().report().unwrap().ended, Ended::Cancelled);
    assert!(last("long").await.queued.is_some() && last("short").await.queued.is_none());

    tokio::time::sleep(minutes(60)).await;
    let _daemon = start(&world, &jobs);
    tokio::time::sleep(minutes(1)).await;
    let again = begun(&world).pop().unwrap();
    assert_eq!((again.0.as_str(), again.2, again.3), ("long", Trigger::Retry, 1));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_daemon_was_killed_is_told_and_taken_up_again() {
    let world = world();
    takes(&world, "shop", minutes(30));
    let jobs = [plain("shop", "0 1 * * *")];
    let (working, _handle) = start(&world, &jobs);
    tokio::time::sleep(minutes(70)).await;
    working.abort();
    working.await.unwrap_err();
    let _daemon = start(&world, &jobs);
    tokio::time::sleep(minutes(5)).await;
    assert_eq!(world.notes.count("interrupted shop next Some(2)"), 1);
    let again = begun(&world).pop().unwrap();
    assert!((again.2, again.3) == (Trigger::Retry, 2) && (71..74).contains(&again.1), "{again:?}");
    tokio::time::sleep(minutes(60)).await;
    assert_eq!(world.runner.made().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_kills_the_daemon_each_time_is_not_tried_for_ever() {
    let world = world();
    takes(&world, "shop", minutes(300));
    let jobs = [plain("shop", "0 1 * * *")];
    for _ in 0..8 {
        let (working, _handle) = start(&world, &jobs);
        tokio::time::sleep(minutes(65)).await;
        working.abort();
        working.await.unwrap_err();
    }
    assert_eq!(world.runner.made().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_made_up_for_once_or_reported() {
    let world = world();
    let jobs = [plain("once", "0 * * * *"), job("skip", "0 * * * *", |settings| settings.missed = Missed::Skip)];
    let (working, handle) = start(&world, &jobs);
    tokio::time::sleep(minutes(70)).await;
    handle.stop();
    working.await.unwrap().unwrap();
    tokio::time::sleep(minutes(200)).await;
    world.notes.taken();
    let _daemon = start(&world, &jobs);
    tokio::time::sleep(minutes(20)).await;
    let missed: Vec<_> = world.runner.made().into_iter().filter(|made| made.trigger == Trigger::Missed).collect();
    assert_eq!(missed.len(), 1);
    assert_eq!((missed[0].task.job.as_str(), missed[0].due), ("once", Some(time("2026-06-01T04:00:00Z"))));
    let notes = world.notes.taken();
    assert!(notes.contains(&"missed once 2".to_owned()) && notes.contains(&"missed skip 3".to_owned()), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reload_brings_and_removes_jobs_and_owes_nothing_for_a_new_rule() {
    let world = world();
    let (_working, handle) = start(&world, &[plain("stays", "0 2 * * *"), plain("goes", "0 3 * * *")]);
    tokio::time::sleep(minutes(90)).await;
    handle.reload(DaemonSettings::default(), vec![plain("stays", "*/10 * * * *"), plain("comes", "30 1 * * *")]);
    tokio::time::sleep(minutes(1)).await;
    assert!(names(&world).is_empty(), "nothing was due since midnight under the new rule");
    tokio::time::sleep(minutes(11)).await;
    assert_eq!(begun(&world), [("stays".to_owned(), 100, Trigger::Schedule, 1)]);
    tokio::time::sleep(minutes(120)).await;
    assert!(!names(&world).contains(&"goes".to_owned()));
    handle.reload(DaemonSettings::default(), vec![plain("goes", "0 3 * * *")]);
    tokio::time::sleep(minutes(10)).await;
    assert!(!names(&world).contains(&"goes".to_owned()), "it was not in the schedule when it was due");
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_how_much_runs_at_a_time_and_how_long_a_stop_waits() {
    let world = world();
    let jobs: Vec<_> = (0..6)
        .map(|number| ScheduledJob { source: "db".to_owned(), ..plain(&format!("job {number}"), "0 1 * * *") })
        .collect();
    for job in &jobs {
        takes(&world, &job.task.job, minutes(600));
    }
    let (working, handle) = start(&world, &jobs);
    tokio::time::sleep(minutes(70)).await;
    assert_eq!(names(&world).len(), 1, "one of a source at a time");
    handle.reload(DaemonSettings { per_source: 9, parallel: 2, ..DaemonSettings::default() }, jobs.clone());
    tokio::time::sleep(minutes(1)).await;
    assert_eq!(names(&world).len(), 2, "two in all");
    let stop_within = minutes(5);
    handle.reload(DaemonSettings { per_source: 9, parallel: 4, stop_within }, jobs);
    tokio::time::sleep(minutes(1)).await;
    assert_eq!(names(&world).len(), 4);
    handle.stop();
    let began = tokio::time::Instant::now();
    working.await.unwrap().unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(303), "the new patience, and the checkpoint");
}

#[tokio::test(start_paused = true)]
async fn what_the_old_rule_wanted_while_nobody_was_there_is_made_up_for() {
    let world = world();
    let (working, handle) = start(&world, &[plain("shop", "0 1 * * *")]);
    tokio::time::sleep(minutes(10)).await;
    handle.stop();
    working.await.unwrap().unwrap();
    tokio::time::sleep(minutes(120)).await;
    let _daemon = start(&world, &[plain("shop", "0 5 * * *")]);
    tokio::time::sleep(minutes(24 * 60)).await;
    let at: Vec<_> = begun(&world).into_iter().map(|(_, at, trigger, _)| (at, trigger)).collect();
    assert_eq!(at, [(130, Trigger::Missed), (300, Trigger::Schedule)]);
}

#[tokio::test(start_paused = true)]
async fn a_paused_job_does_not_run_and_is_not_made_up_for() {
    let world = world();
    let shop = plain("shop", "0 * * * *");
    let _daemon = start(&world, std::slice::from_ref(&shop));
    pause(&*world.parts.store, &shop, world.clock.now()).await.unwrap();
    tokio::time::sleep(minutes(150)).await;
    let rows = overview(&*world.parts.store, std::slice::from_ref(&shop), world.clock.now()).await.unwrap();
    assert_eq!((rows[0].paused, rows[0].next_due), (Some(time(MIDNIGHT)), Some(time("2026-06-01T03:00:00Z"))));
    resume(&*world.parts.store, &shop, world.clock.now()).await.unwrap();
    tokio::time::sleep(minutes(60)).await;
    assert_eq!(begun(&world).iter().map(|(_, at, ..)| *at).collect::<Vec<_>>(), [180]);
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_is_alone_too() {
    let world = world();
    takes(&world, "shop", minutes(30));
    let shop = plain("shop", "0 1 * * *");
    let _daemon = start(&world, std::slice::from_ref(&shop));
    tokio::time::sleep(minutes(50)).await;
    let (parts, task) = (world.parts.clone(), shop.task.clone());
    let by_hand = tokio::spawn(async move { run_now(&parts, &task, None, CancellationToken::new(), None).await });
    tokio::time::sleep(minutes(15)).await;
    assert_eq!(world.notes.count("skipped shop 1 Running"), 1);
    let error = run_now(&world.parts, &shop.task, None, CancellationToken::new(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert_eq!((error.context("by"), error.context("job")), (Some("kronos daemon of a test"), Some("shop")));
    let waited = run_now(&world.parts, &shop.task, None, CancellationToken::new(), Some(minutes(20))).await.unwrap();
    assert_eq!(waited.ended, Ended::Succeeded);
    assert_eq!(by_hand.await.unwrap().unwrap().trigger, Trigger::Manual);
    let made = world.runner.made();
    assert!(made[1].from >= made[0].to.unwrap());
}

/// As after an hour of sleep: the claim looks old, and whoever holds it lives.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_takes_no_run_from_one_who_lives() {
    let world = world();
    takes(&world, "shop", minutes(30));
    let task = Task::backup("shop");
    let (parts, same) = (world.parts.clone(), task.clone());
    let living = tokio::spawn(async move { run_now(&parts, &same, None, CancellationToken::new(), None).await });
    tokio::time::sleep(minutes(5)).await;
    world.clock.set(2 * 3_600);
    let error = run_now(&world.parts, &task, None, CancellationToken::new(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert_eq!(living.await.unwrap().unwrap().ended, Ended::Succeeded);
    assert_eq!(world.runner.made().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_is_stopped_by_a_word() {
    let world = world();
    takes(&world, "shop", minutes(30));
    let cancel = CancellationToken::new();
    let (parts, stopped) = (world.parts.clone(), cancel.clone());
    let by_hand = tokio::spawn(async move { run_now(&parts, &Task::backup("shop"), None, stopped, None).await });
    tokio::time::sleep(minutes(5)).await;
    cancel.cancel();
    assert_eq!(by_hand.await.unwrap().unwrap().ended, Ended::Cancelled);
    let state = world.parts.store.task(&Task::backup("shop")).await.unwrap().unwrap();
    assert!(state.running.is_none() && state.queued.is_none());
}

#[tokio::test(start_paused = true)]
async fn two_daemons_of_one_store_share_the_work() {
    let world = world();
    let jobs: Vec<_> = (0..6).map(|number| plain(&format!("job {number}"), "*/10 * * * *")).collect();
    for job in &jobs {
        takes(&world, &job.task.job, minutes(3));
    }
    let (one, _) = start(&world, &jobs);
    let (_two, _) = start(&world, &jobs);
    tokio::time::sleep(minutes(125)).await;
    assert_eq!(world.runner.made().len(), 12 * 6);
    let at_once = begun(&world).iter().filter(|(_, at, ..)| *at == 10).count();
    assert_eq!(at_once, 4, "two in each daemon");
    // One is killed: the other goes on with what it left.
    tokio::time::sleep(minutes(6)).await;
    one.abort();
    tokio::time::sleep(minutes(100)).await;
    let made = world.runner.made();
    assert!(made.iter().filter(|made| made.trigger == Trigger::Schedule).count() >= 21 * 6, "{}", made.len());
    assert!(made.iter().filter(|made| made.to.is_none()).count() <= 4, "two were killed, two go on");
    assert_eq!(world.notes.count("interrupted"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_repeats_nothing_and_one_that_was_far_ahead_stops_nothing() {
    let world = world();
    let _daemon = start(&world, &[plain("shop", "0 * * * *")]);
    tokio::time::sleep(minutes(190)).await;
    assert_eq!(world.runner.made().len(), 3);
    world.clock.set(-2 * 3_600);
    tokio::time::sleep(minutes(115)).await;
    assert_eq!(world.runner.made().len(), 3, "03:05 again: these hours have had their runs");
    tokio::time::sleep(minutes(60)).await;
    assert_eq!(world.runner.made().len(), 4);
    // The clock is four years ahead for ten minutes.
    world.clock.set(4 * 365 * 86_400);
    tokio::time::sleep(minutes(10)).await;
    assert_eq!(world.runner.made().last().map(|made| made.trigger), Some(Trigger::Missed));
    world.clock.set(-4 * 365 * 86_400);
    tokio::time::sleep(minutes(120)).await;
    assert_eq!(world.notes.count("rewound shop"), 1);
    let made = world.runner.made();
    assert_eq!(made.len(), 7, "{made:?}");
    assert_eq!(made[6].due, Some(time("2026-06-01T06:00:00Z")));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_panics_has_failed() {
    #[derive(Debug)]
    struct Panics;
    #[async_trait::async_trait]
    impl kronos_service::daemon::Runner for Panics {
        async fn run(&self, _: &str, _: kronos_service::daemon::RunRequest) -> kronos_service::RunReport {
            panic!("made to");
        }
    }
    let mut world = world();
    world.parts.runner = Arc::new(Panics);
    let _daemon = start(&world, &[plain("shop", "0 1 * * *")]);
    tokio::time::sleep(minutes(90)).await;
    let run = world.parts.store.runs(None, 1).await.unwrap().remove(0);
    let RunState::Ended { outcome: Outcome::Reported(report), .. } = run.state else { panic!("{run:?}") };
    assert_eq!((report.ended, report.error.unwrap().kind.as_str()), (Ended::Failed, "internal"));
}

/// Counts how often the daemon wakes.
#[derive(Debug)]
struct Counting(WallTimer, AtomicU64);

#[async_trait::async_trait]
impl Timer for Counting {
    async fn sleep_until(&self, at: Timestamp) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.sleep_until(at).await;
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_daemon_wakes_once_a_minute_whatever_it_has() {
    let mut world = world();
    let counting = Arc::new(Counting(WallTimer::new(world.clock.clone()), AtomicU64::new(0)));
    world.parts.timer = counting.clone();
    let jobs: Vec<_> = (0..500).map(|number| plain(&format!("job {number}"), "0 3 * * *")).collect();
    let _daemon = start(&world, &jobs);
    tokio::time::sleep(minutes(120)).await;
    let woken = counting.1.load(Ordering::SeqCst);
    assert!((100..=125).contains(&woken), "{woken} times in 120 minutes");
}

#[tokio::test]
async fn two_thousand_jobs_start_within_a_second_or_two() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(directory.path().join("jobs.db")).await.unwrap());
    let jobs: Vec<_> = (0..2_000)
        .map(|number| {
            job(&format!("job {number}"), "0 3 * * *", |settings| settings.timezone = "Europe/Berlin".to_owned())
        })
        .collect();
    for round in ["first", "second"] {
        let world = World::new(time(MIDNIGHT), 1, store.clone());
        let began = std::time::Instant::now();
        let (working, handle) = start(&world, &jobs);
        while world.notes.count("loaded 2000") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        println!("the {round} start takes {:?}", began.elapsed());
        // A wide margin, for machines that are busy.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        handle.stop();
        working.await.unwrap().unwrap();
    }
    assert_eq!(upcoming(&jobs, time(MIDNIGHT), 5).len(), 5);
}
