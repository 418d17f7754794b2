//! A year of schedules through daylight saving, crashes, reboots, graceful stops, reloads, pauses,
//! runs by hand and a clock that is set, from a seed: every time that was due has exactly one run,
//! or exactly one reason why not, and the reasons are true.
//!
//! `KRONOS_SIM_SEED` runs one seed, `KRONOS_SIM_SEEDS` so many.

#![allow(clippy::unwrap_used)]

mod judge;
#[path = "../wall/mod.rs"]
mod wall;
#[path = "../wall/world.rs"]
mod world;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kronos_core::{Clock, Timestamp};
use kronos_service::daemon::{Daemon, DaemonSettings, ScheduledJob, pause, resume, run_now};
use kronos_service::schedule::{Blackout, Missed, Schedule, ScheduleSettings};
use kronos_service::store::{JobStore, MemoryStore, Task};
use tokio_util::sync::CancellationToken;
use wall::{at, seconds};
use world::{Dice, World};

use judge::{Judge, Up};

const YEAR: (&str, &str) = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
const ZONES: [&str; 5] = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"];
const CRONS: [&str; 5] = ["30 2 * * *", "7 * * * *", "15 1 * * 0", "0 2 1 * *", "*/15 * * * *"];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Each expression in each zone; quarters of an hour in two zones only, for they are the most.
fn jobs(dice: &Dice) -> Vec<ScheduledJob> {
    let mut jobs = Vec::new();
    for (at, zone) in ZONES.into_iter().enumerate() {
        for cron in &CRONS[..if at % 3 == 0 { 5 } else { 4 }] {
            let mut settings = ScheduleSettings { timezone: zone.to_owned(), ..ScheduleSettings::new(*cron) };
            settings.missed = if dice.below(2) == 0 { Missed::Once } else { Missed::Skip };
            settings.retries = u32::try_from(dice.below(3)).unwrap();
            settings.timeout = (dice.below(2) == 0).then_some(Duration::from_hours(1));
            if dice.below(2) == 0 {
                settings.jitter = Duration::from_mins(dice.below(40));
            }
            if dice.below(3) == 0 {
                let (days, from, to) = (vec!["mon-fri".to_owned()], "23:00".to_owned(), "03:30".to_owned());
                settings.blackout = vec![Blackout { days, from, to }];
            }
            let task = Task::backup(format!("{cron} {zone}"));
            let schedule = Schedule::new(&settings).expect("a schedule");
            jobs.push(ScheduledJob { task, source: format!("server {}", jobs.len() % 9), schedule });
        }
    }
    jobs
}

async fn year(seed: u64) -> Judge {
    let (from, to) = (at(seconds(YEAR.0)), at(seconds(YEAR.1)));
    let store: Arc<dyn JobStore> = Arc::new(MemoryStore::with_history(usize::MAX));
    let world = World::new(from, seed, store.clone());
    world.runner.fails.store(12, Ordering::SeqCst);
    let dice = Dice::new(seed ^ 0x5eed);
    let jobs = jobs(&dice);
    let settings = DaemonSettings { parallel: 12, ..DaemonSettings::default() };
    let mut up: Vec<Up> = Vec::new();
    let mut killed = HashSet::new();

    while world.clock.now() < to {
        let (daemon, handle) = Daemon::new(settings.clone(), jobs.clone(), world.parts.clone());
        let working = tokio::spawn(daemon.run());
        let mut span = Up::from(&*world.clock);
        // Who is killed before anything was done was not there.
        tokio::time::sleep(Duration::from_secs(1)).await;
        // A few things happen while it works.
        for _ in 0..dice.below(6) {
            tokio::time::sleep(Duration::from_mins(1 + dice.below(6 * 24 * 60))).await;
            if world.clock.now() >= to {
                break;
            }
            let job = &jobs[usize::try_from(dice.below(jobs.len() as u64)).unwrap()];
            match dice.below(6) {
                0 => pause(&*store, job, world.clock.now()).await.expect("it is known"),
                1 | 2 => resume(&*store, job, world.clock.now()).await.expect("it is known"),
                3 => handle.reload(settings.clone(), jobs.clone()),
                4 => killed.extend(by_hand(&world, job, &dice).await),
                _ => {
                    let by = i64::try_from(dice.below(3 * 3_600)).unwrap();
                    up.push(span.until(&*world.clock));
                    // Back by less than the runs of a day, or forward.
                    world.clock.set(if dice.below(2) == 0 { by * 10 } else { -by });
                    span = Up::from(&*world.clock);
                }
            }
        }
        if dice.below(2) == 0 {
            killed.insert(tokio::time::Instant::now());
            working.abort();
            working.await.expect_err("it was killed");
        } else {
            handle.stop();
            working.await.expect("it does not panic").expect("the store works");
        }
        up.push(span.until(&*world.clock));
        let away = [20, 600, 24 * 3_600, 4 * 24 * 3_600][usize::try_from(dice.below(4)).unwrap()];
        tokio::time::sleep(Duration::from_secs(dice.below(away))).await;
    }
    // At last everything is resumed, and has time to settle.
    for job in &jobs {
        resume(&*store, job, world.clock.now()).await.expect("it is known");
    }
    let (daemon, handle) = Daemon::new(settings.clone(), jobs.clone(), world.parts.clone());
    let working = tokio::spawn(daemon.run());
    tokio::time::sleep(Duration::from_hours(8)).await;
    handle.stop();
    working.await.expect("it does not panic").expect("the store works");
    Judge { jobs, settings, from, end: world.clock.now(), made: world.runner.made(), up, killed, store }
}

/// Somebody runs a job, and may be killed: then says when.
async fn by_hand(world: &World, job: &ScheduledJob, dice: &Dice) -> Option<tokio::time::Instant> {
    let (parts, task) = (world.parts.clone(), job.task.clone());
    let kill = dice.below(3) == 0;
    let wait = (dice.below(2) == 0).then_some(Duration::from_mins(10));
    let running = tokio::spawn(async move { run_now(&parts, &task, None, CancellationToken::new(), wait).await });
    if kill {
        tokio::time::sleep(Duration::from_secs(dice.below(30))).await;
        running.abort();
        return Some(tokio::time::Instant::now());
    }
    match running.await.expect("it does not panic") {
        Ok(report) => assert_eq!(report.trigger, kronos_service::Trigger::Manual),
        Err(error) => assert_eq!(error.kind(), kronos_core::ErrorKind::Locked, "{error}"),
    }
    None
}

#[test]
fn every_due_run_happened_once_or_is_explained() {
    let seeds = match (number("KRONOS_SIM_SEED"), number("KRONOS_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 1..1 + count.unwrap_or(2),
    };
    for seed in seeds {
        let began = std::time::Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let judge = runtime.block_on(year(seed));
        let figures = runtime.block_on(judge.judge());
        println!("seed {seed}: {figures}, in {:?}", began.elapsed());
    }
}

fn micros(time: Timestamp) -> i64 {
    time.as_micros()
}
