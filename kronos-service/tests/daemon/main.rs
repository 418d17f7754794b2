//! What the daemon does, case by case, on a clock that tests set.

#![allow(clippy::unwrap_used)]

mod life;
mod runs;
#[path = "../wall/world.rs"]
mod world;

use std::sync::Arc;
use std::time::Duration;

use kronos_core::Timestamp;
use kronos_service::Trigger;
use kronos_service::daemon::{Daemon, DaemonHandle, DaemonSettings, ScheduledJob};
use kronos_service::schedule::{Schedule, ScheduleSettings};
use kronos_service::store::{MemoryStore, Task};
use tokio::task::JoinHandle;
use world::World;

const MIDNIGHT: &str = "2026-06-01T00:00:00Z";

fn world() -> World {
    World::new(time(MIDNIGHT), 1, Arc::new(MemoryStore::new()))
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}

fn job(name: &str, cron: &str, change: impl FnOnce(&mut ScheduleSettings)) -> ScheduledJob {
    let mut settings = ScheduleSettings::new(cron);
    change(&mut settings);
    let schedule = Schedule::new(&settings).expect("a schedule");
    ScheduledJob { task: Task::backup(name), source: name.to_owned(), schedule }
}

fn plain(name: &str, cron: &str) -> ScheduledJob {
    job(name, cron, |_| {})
}

fn start(world: &World, jobs: &[ScheduledJob]) -> (JoinHandle<kronos_core::Result<()>>, DaemonHandle) {
    start_with(world, jobs, DaemonSettings::default())
}

fn start_with(
    world: &World,
    jobs: &[ScheduledJob],
    settings: DaemonSettings,
) -> (JoinHandle<kronos_core::Result<()>>, DaemonHandle) {
    let (daemon, handle) = Daemon::new(settings, jobs.to_vec(), world.parts.clone());
    (tokio::spawn(daemon.run()), handle)
}

fn takes(world: &World, job: &str, length: Duration) {
    world.runner.lengths.lock().unwrap().insert(job.to_owned(), length);
}

/// When each run began, in minutes after midnight, with its trigger and attempt.
fn begun(world: &World) -> Vec<(String, u64, Trigger, u32)> {
    let since = |made: &world::Made| made.began.since(time(MIDNIGHT)).as_secs() / 60;
    world.runner.made().iter().map(|made| (made.task.job.clone(), since(made), made.trigger, made.attempt)).collect()
}

fn names(world: &World) -> Vec<String> {
    begun(world).into_iter().map(|(job, ..)| job).collect()
}
