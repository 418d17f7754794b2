//! Metrics: what they say, who becomes a label, what a page costs, and textfiles of several processes.

mod figures;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use figures::{at, full, names, run, storage};
use kronos_core::testing::{ManualClock, MemoryStorage, storage_conformance};
use kronos_core::{ErrorKind, Key, Storage};
use kronos_service::metrics::{MeasuredStorage, Metrics, MetricsFollower, Textfile};
use kronos_service::{Ended, Follower, Operation, StorageEnded};

/// The value of a series, with its labels as they are written.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().expect("a number"))
}

fn shop() -> Metrics {
    let metrics = Metrics::new(at(1));
    metrics.configure(&names(&["shop"], &["main", "offsite"]));
    metrics
}

#[test]
fn runs_are_counted_and_remembered() {
    let metrics = shop();
    let page = metrics.page().unwrap();
    assert_eq!(value(&page, r#"kronos_job_paused{kronos_job="shop"}"#), Some(0.0), "a job that never ran is seen");
    assert!(!page.contains("last_success"), "{page}");

    let mut report = run(Operation::Backup, "shop", Ended::Succeeded, 100);
    report.storages = vec![storage("main", StorageEnded::Stored), storage("offsite", StorageEnded::Failed)];
    metrics.record(&report);
    metrics.record(&run(Operation::Backup, "shop", Ended::Failed, 200));
    metrics.record(&run(Operation::Backup, "shop", Ended::Failed, 300));
    let page = metrics.page().unwrap();
    for (series, wanted) in [
        (r#"kronos_backup_last_success_timestamp_seconds{kronos_job="shop"}"#, 100.0),
        (r#"kronos_backup_last_end_timestamp_seconds{kronos_job="shop"}"#, 300.0),
        (r#"kronos_backup_last_duration_seconds{kronos_job="shop"}"#, 10.0),
        (r#"kronos_backup_failing_runs{kronos_job="shop"}"#, 2.0),
        (r#"kronos_backup_runs_total{kronos_job="shop",ended="succeeded"}"#, 1.0),
        (r#"kronos_backup_runs_total{kronos_job="shop",ended="failed"}"#, 2.0),
        (r#"kronos_backup_failures_total{kronos_job="shop",kind="timeout"}"#, 2.0),
        (r#"kronos_backup_last_dedup_ratio{kronos_job="shop"}"#, 0.75),
        (r#"kronos_backup_read_bytes_total{kronos_job="shop"}"#, 900.0),
        (r#"kronos_backup_chunks_total{kronos_job="shop"}"#, 10.0),
        (r#"kronos_backup_new_chunks_total{kronos_job="shop"}"#, 4.0),
        (r#"kronos_backup_storage_last_success_timestamp_seconds{kronos_job="shop",storage="main"}"#, 100.0),
        (r#"kronos_storage_up{storage="main"}"#, 1.0),
        (r#"kronos_storage_up{storage="offsite"}"#, 0.0),
        (r#"kronos_storage_failures_total{storage="offsite",kind="connection-failed"}"#, 1.0),
        (r#"kronos_storage_freed_bytes_total{storage="main"}"#, 30.0),
    ] {
        assert_eq!(value(&page, series), Some(wanted), "{series} in {page}");
    }
    metrics.record(&run(Operation::Backup, "shop", Ended::Nothing, 400));
    let page = metrics.page().unwrap();
    assert_eq!(value(&page, r#"kronos_backup_failing_runs{kronos_job="shop"}"#), Some(0.0));
    assert_eq!(value(&page, r#"kronos_backup_last_success_timestamp_seconds{kronos_job="shop"}"#), Some(400.0));
}

#[test]
fn a_process_that_starts_remembers_but_does_not_count() {
    let metrics = shop();
    metrics.recall(&run(Operation::Backup, "shop", Ended::Succeeded, 100));
    let page = metrics.page().unwrap();
    assert_eq!(value(&page, r#"kronos_backup_last_success_timestamp_seconds{kronos_job="shop"}"#), Some(100.0));
    assert_eq!(value(&page, r#"kronos_backup_read_bytes_total{kronos_job="shop"}"#), Some(0.0));
    assert!(!page.contains("kronos_backup_runs_total"), "{page}");
}

#[test]
fn labels_are_names_of_the_configuration_only() {
    let metrics = shop();
    let mut report = run(Operation::Backup, "shop", Ended::Succeeded, 100);
    report.storages = vec![storage("s3://made-up", StorageEnded::Stored), storage("main", StorageEnded::Stored)];
    metrics.record(&report);
    metrics.record(&run(Operation::Backup, "unknown", Ended::Succeeded, 100));
    let page = metrics.page().unwrap();
    assert!(!page.contains("unknown") && !page.contains("made-up"), "{page}");

    // A job and a storage leave the configuration while a run is on its way.
    metrics.configure(&names(&["other"], &["offsite"]));
    metrics.record(&report);
    metrics.paused("shop", true);
    let page = metrics.page().unwrap();
    assert!(!page.contains("\"shop\"") && !page.contains("\"main\"") && page.contains("\"other\""), "{page}");
}

#[test]
fn labels_are_escaped() {
    let metrics = Metrics::new(at(1));
    metrics.configure(&names(&["a \"b\" \\ c\nü"], &[]));
    assert!(metrics.page().unwrap().contains(r#"{kronos_job="a \"b\" \\ c\nü"} 0"#));
}

#[tokio::test]
async fn both_formats_are_well_formed() {
    let metrics = full().await;
    let (text, open) = (metrics.page().unwrap(), metrics.open_metrics().unwrap());
    assert!(open.ends_with("# EOF\n") && !text.contains("# EOF"));
    for page in [&text, &open] {
        let mut described = std::collections::BTreeSet::new();
        for line in page.lines().filter(|line| !line.starts_with("# EOF")) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(described.insert(name.to_owned()), "described twice: {line}");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                let ends = ["", "_total", "_bucket", "_sum", "_count"];
                let known = ends.iter().any(|end| name.strip_suffix(end).is_some_and(|name| described.contains(name)));
                assert!(known && name.starts_with("kronos_"), "not described: {line}");
                assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn requests_to_storages_are_measured() {
    let metrics = shop();
    let clock = Arc::new(ManualClock::new(at(100)));
    let storage = MeasuredStorage::new(Arc::new(MemoryStorage::new()), "main", metrics.clone(), clock);
    let key = Key::new("a").unwrap();
    assert_eq!(storage.get(&key).await.unwrap_err().kind(), ErrorKind::NotFound);
    storage.put(&key, bytes::Bytes::from_static(b"12345")).await.unwrap();
    assert_eq!(storage.get(&key).await.unwrap().len(), 5);
    assert_eq!(storage.get_range(&key, 3..9).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let page = metrics.page().unwrap();
    for (series, wanted) in [
        (r#"kronos_storage_request_duration_seconds_count{storage="main",request="get"}"#, 3.0),
        (r#"kronos_storage_request_duration_seconds_bucket{storage="main",request="put",le="+Inf"}"#, 1.0),
        (r#"kronos_storage_failed_requests_total{storage="main",request="get"}"#, 1.0),
        (r#"kronos_storage_sent_bytes_total{storage="main"}"#, 5.0),
        (r#"kronos_storage_received_bytes_total{storage="main"}"#, 5.0),
    ] {
        assert_eq!(value(&page, series), Some(wanted), "{series} in {page}");
    }
}

#[tokio::test]
async fn a_measured_storage_is_a_storage() {
    let make = async || {
        let clock = Arc::new(ManualClock::new(at(100)));
        Arc::new(MeasuredStorage::new(Arc::new(MemoryStorage::new()), "main", shop(), clock)) as Arc<_>
    };
    storage_conformance(make).await;
}

/// Nanoseconds that this thread has computed: what others do on the machine does not count.
#[cfg(target_os = "linux")]
fn computed() -> u64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts");
    statistics.split(' ').next().and_then(|time| time.parse().ok()).expect("nanoseconds")
}

/// A page of 2,000 jobs with all their figures, measured against writing lines of the same length.
#[cfg(target_os = "linux")]
#[test]
fn a_page_of_two_thousand_jobs_costs_little() {
    let jobs: Vec<String> = (0..2000).map(|n| format!("customer {n:04}")).collect();
    let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
    let metrics = Metrics::new(at(1));
    metrics.configure(&names(&jobs, &["main", "offsite"]));
    for job in &jobs {
        for operation in figures::OPERATIONS {
            let mut report = run(operation, job, Ended::Succeeded, 100);
            report.storages = vec![storage("main", StorageEnded::Stored), storage("offsite", StorageEnded::Stored)];
            metrics.record(&report);
        }
    }
    let page = metrics.page().unwrap();
    let lines = page.lines().count();
    // The kernel counts in steps of some milliseconds.
    let mean = |work: &dyn Fn() -> String| {
        let began = computed();
        (0..10).for_each(|_| drop(std::hint::black_box(work())));
        Duration::from_nanos(computed() - began) / 10
    };
    let took = mean(&|| metrics.page().unwrap());
    let plain = mean(&|| {
        let mut text = String::new();
        for n in 0..lines {
            writeln!(text, "kronos_backup_last_success_timestamp_seconds{{kronos_job=\"customer {n:04}\"}} {n}.0")
                .unwrap();
        }
        text
    });
    println!("{lines} lines, {} bytes: {took:?}; the same lines plainly: {plain:?}", page.len());
    assert!(lines > 60_000);
    assert!(took < plain * 100 + Duration::from_millis(50), "{took:?} for {lines} lines, {plain:?} plainly");
}

fn update(path: &Path, job: &str, ended: Ended, finished: i64) {
    let metrics = Metrics::new(at(1));
    metrics.configure(&names(&[job], &["main"]));
    let mut report = run(Operation::Backup, job, ended, finished);
    report.storages = vec![storage("main", StorageEnded::Stored)];
    metrics.record(&report);
    Textfile::new(path).update(&metrics.snapshot(), None, at(finished)).expect("a textfile");
}

#[test]
fn processes_share_a_textfile() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("kronos.prom");
    update(&path, "shop", Ended::Succeeded, 100);
    update(&path, "users", Ended::Succeeded, 200);
    update(&path, "shop", Ended::Failed, 300);
    update(&path, "shop", Ended::Failed, 400);
    let page = std::fs::read_to_string(&path).unwrap();
    for (series, wanted) in [
        (r#"kronos_backup_last_success_timestamp_seconds{kronos_job="shop"}"#, 100.0),
        (r#"kronos_backup_last_success_timestamp_seconds{kronos_job="users"}"#, 200.0),
        (r#"kronos_backup_failing_runs{kronos_job="shop"}"#, 2.0),
        (r#"kronos_backup_runs_total{kronos_job="shop",ended="failed"}"#, 2.0),
        (r#"kronos_backup_runs_total{kronos_job="shop",ended="succeeded"}"#, 1.0),
        (r#"kronos_backup_last_size_bytes{kronos_job="shop"}"#, 1000.0),
        (r#"kronos_storage_freed_bytes_total{storage="main"}"#, 120.0),
        ("kronos_textfile_written_timestamp_seconds", 400.0),
    ] {
        assert_eq!(value(&page, series), Some(wanted), "{series} in {page}");
    }
    assert!(!page.contains("kronos_runs_waiting"), "there is no daemon whose queue this would be: {page}");
    update(&path, "shop", Ended::Succeeded, 500);
    let page = std::fs::read_to_string(&path).unwrap();
    assert_eq!(value(&page, r#"kronos_backup_failing_runs{kronos_job="shop"}"#), Some(0.0));
}

#[test]
fn a_process_that_stays_adds_only_what_is_new() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("kronos.prom");
    update(&path, "shop", Ended::Succeeded, 100);
    let (metrics, mut file) = (shop(), Textfile::new(&path));
    let names = names(&["shop"], &["main"]);
    for n in 0..3 {
        metrics.record(&run(Operation::Backup, "shop", Ended::Succeeded, 200 + n));
        file.update(&metrics.snapshot(), Some(&names), at(300)).unwrap();
        file.update(&metrics.snapshot(), Some(&names), at(300)).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    assert_eq!(value(&page, r#"kronos_backup_runs_total{kronos_job="shop",ended="succeeded"}"#), Some(4.0));
    // A job that leaves the configuration leaves the file, and comes back as a new one.
    for (jobs, runs) in [(&["users"][..], None), (&["users", "shop"], Some(1.0))] {
        let names = figures::names(jobs, &["main"]);
        metrics.configure(&names);
        metrics.record(&run(Operation::Backup, "shop", Ended::Succeeded, 400));
        file.update(&metrics.snapshot(), Some(&names), at(400)).unwrap();
        let page = std::fs::read_to_string(&path).unwrap();
        assert_eq!(value(&page, r#"kronos_backup_runs_total{kronos_job="shop",ended="succeeded"}"#), runs, "{page}");
    }
}

#[test]
fn many_processes_at_once_lose_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("kronos.prom");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let path = &path;
            scope.spawn(move || (0..5).for_each(|_| update(path, &format!("job {}", n % 2), Ended::Succeeded, 100)));
        }
    });
    let page = std::fs::read_to_string(&path).unwrap();
    for job in ["job 0", "job 1"] {
        let series = format!(r#"kronos_backup_runs_total{{kronos_job="{job}",ended="succeeded"}}"#);
        assert_eq!(value(&page, &series), Some(20.0), "{page}");
    }
    std::fs::write(place.path().join("kronos.prom.state"), "{").unwrap();
    let error = Textfile::new(&path).update(&shop().snapshot(), None, at(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

/// It may come late, when newer runs have been counted already.
#[test]
fn what_is_remembered_late_takes_nothing_back() {
    let metrics = shop();
    let failed = run(Operation::Backup, "shop", Ended::Failed, 500);
    metrics.record(&failed);
    let mut good = run(Operation::Backup, "shop", Ended::Succeeded, 100);
    good.storages = vec![storage("main", StorageEnded::Stored)];
    metrics.recall(&good);
    let page = metrics.page().unwrap();
    for (series, expected) in [
        ("kronos_backup_last_success_timestamp_seconds", 100.0),
        ("kronos_backup_last_end_timestamp_seconds", 500.0),
        ("kronos_backup_failing_runs", 1.0),
    ] {
        assert_eq!(value(&page, &format!("{series}{{kronos_job=\"shop\"}}")), Some(expected), "{series}");
    }
}

/// A daemon that reads its configuration anew has other followers, and the same figures.
#[tokio::test]
async fn a_textfile_follows_runs_and_counts_each_once() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("kronos.prom");
    let (metrics, names) = (shop(), names(&["shop"], &["main", "offsite"]));
    let counted = |ended: &str| format!(r#"kronos_backup_runs_total{{kronos_job="shop",ended="{ended}"}}"#);
    for runs in 1..=3_i32 {
        let follower = MetricsFollower::new(metrics.clone(), names.clone(), Some(&path));
        let report = run(Operation::Backup, "shop", Ended::Succeeded, 100 * i64::from(runs));
        follower.begun(&report).await.unwrap();
        follower.clone().ended(&report).await.unwrap();
        let page = std::fs::read_to_string(&path).unwrap();
        assert_eq!(value(&page, &counted("succeeded")), Some(f64::from(runs)));
        assert_eq!(value(&page, "kronos_textfile_written_timestamp_seconds"), Some(f64::from(100 * runs)));
    }
    // A file that cannot be written is told, and the figures are right all the same.
    let nowhere = place.path().join("nowhere").join("kronos.prom");
    let follower = MetricsFollower::new(metrics.clone(), names, Some(&nowhere));
    let error = follower.ended(&run(Operation::Backup, "shop", Ended::Failed, 400)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(value(&metrics.page().unwrap(), &counted("failed")), Some(1.0));
}
