//! What the daemon does stands in the log. A process of its own: what is logged by threads that log
//! nowhere would be left out for all.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "care/house.rs"]
mod house;
#[path = "notify/common.rs"]
mod notes;
#[path = "wall/world.rs"]
mod world;

use std::sync::Arc;

use house::{House, figure, job, minutes, plain};
use kronos_core::{Error, ErrorKind};
use kronos_service::logs::{LogFormat, LogSettings, open_logs};
use kronos_service::metrics::Metrics;
use kronos_service::schedule::Missed;
use kronos_service::store::MemoryStore;

/// Everything that happens stands in the log, under names that stay.
#[tokio::test(start_paused = true)]
async fn what_the_daemon_does_stands_in_the_log() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    let level = "debug".to_owned();
    let settings = LogSettings { file: Some(file.clone()), format: LogFormat::Json, level, ..LogSettings::default() };
    let jobs = vec![
        plain("shop", "0 1 * * *"),
        job("skip", "0 1 * * *", |settings| settings.missed = Missed::Skip),
        plain("long", "0 * * * *"),
        job("often", "* * * * *", |settings| settings.missed = Missed::Skip),
    ];
    let house = House::new(Arc::new(MemoryStore::new()), jobs);
    house.world.runner.lengths.lock().unwrap().insert("long".to_owned(), minutes(90));
    let (dispatch, guard) = open_logs(&settings, None, None, house.world.clock.clone()).unwrap();
    let logging = tracing::dispatcher::set_default(&dispatch);
    house.letters.answer(|_, _, _| Err(Error::new(ErrorKind::NotFound, "no such hook")));
    let mut care = house.care();
    care.log_health = Some(guard.watch());
    let (metrics, lost) = (care.metrics.clone(), |metrics: &Metrics| figure(metrics, "kronos_log_lines_lost_total"));
    let living = house.start_with(care.clone());
    tokio::time::sleep(minutes(130)).await;
    living.kill().await;
    tokio::time::sleep(minutes(8 * 24 * 60)).await;
    let living = house.start_with(care.clone());
    tokio::time::sleep(minutes(10)).await;
    house.world.clock.set(-50 * 3_600);
    tokio::time::sleep(minutes(10)).await;
    living.stop().await;
    guard.close();
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (event, level) in [
        ("daemon.loaded", "INFO"),
        ("run.queued", "DEBUG"),
        ("run.started", "INFO"),
        ("run.interrupted", "ERROR"),
        ("run.missed", "WARN"),
        ("run.skipped", "WARN"),
        ("daemon.set-back", "WARN"),
        ("daemon.rewound", "WARN"),
        ("daemon.stopping", "INFO"),
        ("notify.undelivered", "WARN"),
    ] {
        let line = lines.iter().find(|line| line["event"] == event).unwrap_or_else(|| panic!("{event}: {text}"));
        assert_eq!(line["level"], level, "{line}");
        if ["run.queued", "run.started", "run.interrupted"].contains(&event) {
            assert!(line["span"]["id"].is_string() && line["span"]["job"].is_string(), "{line}");
        }
    }
    assert!(text.contains("often: backup was missed more than 10,000 times, nobody was there"), "{text}");
    assert!(text.contains("skip: backup was missed, nobody was there"), "{text}");
    assert!(!text.contains("run.finished"), "that is for the run itself to say");

    // From now on lines are lost, and that is seen.
    assert_eq!(lost(&metrics), Some(0.0));
    let living = house.start_with(care);
    tokio::time::sleep(minutes(2)).await;
    assert!(lost(&metrics).unwrap() > 0.0);
    living.stop().await;
    drop(logging);
}
