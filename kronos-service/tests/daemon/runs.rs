//! When runs begin, fail, take too long, and wait for each other.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kronos_service::daemon::{DaemonSettings, ScheduledJob};
use kronos_service::store::SkipReason;
use kronos_service::{Ended, Trigger};

use super::{begun, job, minutes, names, plain, start, start_with, takes, world};

#[tokio::test(start_paused = true)]
async fn a_job_runs_when_it_is_due() {
    let world = world();
    let _daemon = start(&world, &[plain("shop", "30 3 * * *")]);
    tokio::time::sleep(minutes(3 * 24 * 60)).await;
    let expected = |day: u64| ("shop".to_owned(), day * 1_440 + 210, Trigger::Schedule, 1);
    assert_eq!(begun(&world), [expected(0), expected(1), expected(2)]);
    assert!(world.runner.made().iter().all(|made| made.began == made.due.unwrap()), "to the second");
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_tried_again_after_pauses_that_double() {
    let world = world();
    world.runner.fails.store(1, Ordering::SeqCst);
    takes(&world, "shop", Duration::ZERO);
    let shop = job("shop", "0 1 * * *", |settings| {
        settings.retries = 3;
        settings.retry_pause = minutes(10);
    });
    let _daemon = start(&world, &[shop]);
    tokio::time::sleep(minutes(24 * 60)).await;
    let at: Vec<_> = begun(&world).into_iter().map(|(_, at, trigger, attempt)| (at, trigger, attempt)).collect();
    let again = |at, attempt| (at, Trigger::Retry, attempt);
    assert_eq!(at, [(60, Trigger::Schedule, 1), again(70, 2), again(90, 3), again(130, 4)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_takes_the_place_of_a_retry() {
    let world = world();
    world.runner.fails.store(1, Ordering::SeqCst);
    takes(&world, "shop", Duration::ZERO);
    let shop = job("shop", "0 * * * *", |settings| {
        settings.retries = 1;
        settings.retry_pause = minutes(90);
    });
    let _daemon = start(&world, &[shop]);
    tokio::time::sleep(minutes(150)).await;
    assert_eq!(
        begun(&world).iter().map(|(_, at, _, attempt)| (*at, *attempt)).collect::<Vec<_>>(),
        [(60, 1), (120, 1)]
    );
    assert_eq!(world.notes.count("dropped shop Superseded"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_is_stopped_and_has_failed() {
    let world = world();
    takes(&world, "shop", minutes(600));
    let shop = job("shop", "0 1 * * *", |settings| {
        settings.timeout = Some(minutes(30));
        settings.retries = 1;
    });
    let _daemon = start(&world, &[shop]);
    tokio::time::sleep(minutes(240)).await;
    assert_eq!(begun(&world).iter().map(|(_, at, ..)| *at).collect::<Vec<_>>(), [60, 95]);
    let run = world.parts.store.runs(None, 9).await.unwrap().pop().unwrap();
    let report = run.report().unwrap();
    assert_eq!((report.ended, report.error.as_ref().unwrap().kind.as_str()), (Ended::Failed, "timeout"));
    assert_eq!(report.finished.since(report.started), minutes(30) + Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_due_time_beside_a_run_that_goes_on_is_skipped_and_told() {
    let world = world();
    takes(&world, "shop", minutes(150));
    let _daemon = start(&world, &[plain("shop", "0 * * * *")]);
    tokio::time::sleep(minutes(290)).await;
    assert_eq!(begun(&world).iter().map(|(_, at, ..)| *at).collect::<Vec<_>>(), [60, 240]);
    let reasons = world.parts.store.skips(None, 9).await.unwrap();
    assert_eq!(reasons.iter().map(|skip| skip.reason).collect::<Vec<_>>(), [SkipReason::Running; 2]);
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_runs_at_a_time_than_allowed() {
    let world = world();
    let jobs: Vec<_> = (0..8)
        .map(|number| {
            let name = format!("job {number}");
            takes(&world, &name, minutes(10));
            ScheduledJob { source: format!("server {}", number / 4), ..plain(&name, "0 1 * * *") }
        })
        .collect();
    let _daemon = start_with(&world, &jobs, DaemonSettings { parallel: 3, per_source: 2, ..DaemonSettings::default() });
    tokio::time::sleep(minutes(24 * 60)).await;
    let at: Vec<_> = begun(&world).into_iter().map(|(job, at, ..)| (at, job)).collect();
    // The first server's third job waits for that server, and does not hold up the second server's.
    let expected = [(60, 0), (60, 1), (60, 4), (70, 2), (70, 3), (70, 5), (80, 6), (80, 7)];
    assert_eq!(at, expected.map(|(at, number)| (at, format!("job {number}"))));
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_take_turns() {
    let world = world();
    let jobs: Vec<_> = ["a", "b", "c"].map(|name| plain(name, "0 * * * *")).to_vec();
    for job in &jobs {
        takes(&world, &job.task.job, minutes(25));
    }
    let (working, _handle) = start_with(&world, &jobs, DaemonSettings { parallel: 1, ..DaemonSettings::default() });
    tokio::time::sleep(minutes(24 * 60)).await;
    working.abort();
    // Two of three have room each hour: none is left out in favour of the others.
    let count = |name: &str| names(&world).iter().filter(|job| *job == name).count();
    assert!([count("a"), count("b"), count("c")].iter().all(|count| (17..21).contains(count)), "{:?}", names(&world));
}
