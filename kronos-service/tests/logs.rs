//! The log: what its lines hold, where they go, and that none is lost without a word.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kronos_core::testing::ManualClock;
use kronos_core::{Clock, Error, ErrorKind, Event, Id, Observer, Timestamp};
use kronos_service::logs::{
    LogFormat, LogGuard, LogHealth, LogObserver, LogSettings, Rotate, Terminal, log_report, open_logs, run_span,
};
use kronos_service::{Ended, Failure, Operation, RunReport, Trigger};

fn clock(text: &str) -> ManualClock {
    ManualClock::new(Timestamp::parse(text).expect("a time"))
}

fn settings(file: &Path) -> LogSettings {
    LogSettings { file: Some(file.to_owned()), ..LogSettings::default() }
}

/// Logs with these settings, and tells how the log did.
fn log(settings: &LogSettings, filter: Option<&str>, clock: &ManualClock, work: impl FnOnce()) -> LogHealth {
    let (dispatch, guard) = open_logs(settings, filter, None, Arc::new(clock.clone())).expect("the log opens");
    tracing::dispatcher::with_default(&dispatch, work);
    guard.close()
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).expect("the log's file").lines().map(str::to_owned).collect()
}

/// The names beside a log's file, without the lock.
fn names(place: &Path) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("a name");
    let mut names: Vec<_> =
        fs::read_dir(place).expect("a directory").map(name).filter(|n| !n.contains("lock")).collect();
    names.sort();
    names
}

#[test]
fn every_line_of_a_run_has_its_id() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    let clock = clock("2026-11-28T03:00:00Z");
    for (filter, wanted) in [(None, 5), (Some("debug"), 7), (Some("kronos=warn"), 3), (Some("kronos_service=off"), 0)] {
        log(&settings(&file), filter, &clock, || {
            let observer = LogObserver::new(run_span(Id([0xab; 16]), "shop"), Arc::new(clock.clone()));
            let name = "public.orders".to_owned();
            for event in [
                Event::Started { operation: "backup", subject: "shop".to_owned() },
                Event::StreamStarted { name: name.clone() },
                Event::StreamFinished { name, bytes: 5 },
                Event::Retrying { what: "put".to_owned(), attempt: 1, error: "reset".to_owned() },
                Event::StorageLost { storage: "main".to_owned(), error: "gone".to_owned() },
                Event::Warning { message: "two\nlines".to_owned() },
                Event::Finished { operation: "backup", at: Timestamp::from_micros(0) },
            ] {
                observer.on_event(&event);
            }
        });
        let lines = lines(&file);
        assert_eq!(lines.len(), wanted, "{filter:?}: {lines:#?}");
        for line in &lines {
            assert!(line.starts_with("2026-11-28T03:00:00Z "), "{line}");
            assert!(line.contains(&format!("run{{id={} job=\"shop\"}}", Id([0xab; 16]))), "{line}");
        }
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn json_lines_have_names_that_stay() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    let clock = clock("2026-11-28T03:00:00Z");
    let settings = LogSettings { format: LogFormat::Json, ..settings(&file) };
    log(&settings, None, &clock, || {
        let observer = LogObserver::new(run_span(Id([1; 16]), "a \"b\"\n"), Arc::new(clock.clone()));
        observer
            .on_event(&Event::StorageLost { storage: "main".to_owned(), error: "s3://k:hunter2@b is gone".to_owned() });
        let mut report =
            RunReport::begin(Id([1; 16]), Operation::Backup, "shop", Trigger::Schedule, Timestamp::from_micros(0));
        report.finished = Timestamp::from_micros(2_500_000);
        let cause = Error::new(ErrorKind::Io, "the disk is gone");
        report.error = Some(Failure::of(&Error::new(ErrorKind::Timeout, "too slow").with_source(cause)));
        log_report(&report);
        report.ended = Ended::Succeeded;
        report.error = None;
        log_report(&report);
    });
    let lines: Vec<serde_json::Value> =
        lines(&file).iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["event"], &lines[0]["level"]), (&"storage.lost".into(), &"WARN".into()));
    assert_eq!(lines[0]["span"]["job"], "a \"b\"\n");
    assert_eq!(lines[0]["span"]["id"], Id([1; 16]).to_string());
    assert_eq!(lines[0]["error"], "s3://***@b is gone");
    assert_eq!(lines[0]["timestamp"], "2026-11-28T03:00:00Z");
    assert_eq!((&lines[1]["event"], &lines[1]["level"]), (&"run.finished".into(), &"ERROR".into()));
    assert_eq!((&lines[1]["kind"], &lines[1]["causes"]), (&"timeout".into(), &"the disk is gone".into()));
    assert_eq!((&lines[2]["ended"], &lines[2]["seconds"]), (&"succeeded".into(), &2.5.into()));
}

#[test]
fn progress_is_told_at_most_every_half_minute() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    let clock = clock("2026-11-28T03:00:00Z");
    log(&settings(&file), None, &clock, || {
        let observer = LogObserver::new(run_span(Id([1; 16]), "shop"), Arc::new(clock.clone()));
        for _ in 0..6500 {
            clock.advance(Duration::from_millis(10));
            observer.on_event(&Event::Progress { bytes: 10, stored: 1 });
        }
    });
    let lines = lines(&file);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("bytes=30000 stored=3000") && lines[1].contains("bytes=60000 stored=6000"), "{lines:#?}");
}

#[test]
fn what_an_operation_did_is_not_that_of_the_one_before() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    let clock = clock("2026-11-28T10:00:00Z");
    log(&settings(&file), None, &clock, || {
        let observer = LogObserver::new(run_span(Id([7; 16]), "shop"), Arc::new(clock.clone()));
        for (operation, bytes) in [("backup", 700), ("prune", 0)] {
            observer.on_event(&Event::Started { operation, subject: "shop".to_owned() });
            observer.on_event(&Event::Progress { bytes, stored: bytes });
            observer.on_event(&Event::Finished { operation, at: Clock::now(&clock) });
        }
    });
    let lines = lines(&file);
    assert!(lines[1].contains("bytes=700 stored=700") && lines[3].contains("bytes=0 stored=0"), "{lines:?}");
}

#[test]
fn files_are_put_aside_and_the_oldest_removed() {
    for (rotate, step, older) in [
        (Rotate::Daily, 24, vec!["kronos.log.2030-01-03", "kronos.log.2030-01-04"]),
        (Rotate::Hourly, 1, vec!["kronos.log.2030-01-01-02", "kronos.log.2030-01-01-03"]),
        (Rotate::Never, 24, vec![]),
    ] {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("kronos.log");
        // Names that only look like those of old files stay.
        fs::write(place.path().join("kronos.log.2030"), "").unwrap();
        fs::write(place.path().join("kronos.log.old"), "").unwrap();
        let clock = clock("2030-01-01T00:00:00Z");
        let settings = LogSettings { rotate, keep: 2, ..settings(&file) };
        let (dispatch, guard) = open_logs(&settings, None, None, Arc::new(clock.clone())).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            for n in 0..5 {
                tracing::info!(target: "kronos::test", n, "a line");
                // The thread that writes asks the clock: it has to be done with the line.
                wait_for(&file, &format!("n={n}"));
                clock.advance(Duration::from_hours(step));
            }
        });
        assert_eq!(guard.close(), LogHealth::default());
        let mut wanted = vec!["kronos.log", "kronos.log.2030"];
        wanted.extend(older);
        wanted.push("kronos.log.old");
        wanted.sort_unstable();
        assert_eq!(names(place.path()), wanted, "{rotate:?}");
        assert_eq!(lines(&file).len(), if rotate == Rotate::Never { 5 } else { 1 });
    }
}

fn wait_for(file: &Path, text: &str) {
    for _ in 0..6000 {
        if fs::read_to_string(file).is_ok_and(|log| log.contains(text)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{text} was not written within a minute");
}

/// A command and the daemon write to one file, and either may be the one that puts it aside.
#[test]
fn several_writers_share_a_file_over_midnight() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    let clock = clock("2030-01-01T23:59:59Z");
    let open = || open_logs(&settings(&file), None, None, Arc::new(clock.clone())).unwrap();
    let writers = [open(), open(), open()];
    let say = |round: usize| {
        for (n, (dispatch, _)) in writers.iter().enumerate() {
            tracing::dispatcher::with_default(dispatch, || tracing::info!(target: "kronos::test", "line {round}.{n}"));
            wait_for(&file, &format!("line {round}.{n}"));
        }
    };
    say(0);
    clock.advance(Duration::from_hours(1));
    // What decides about a file that is found is when it was last written to.
    let at = std::time::UNIX_EPOCH + Duration::from_hours(21_916 * 24);
    tracing::dispatcher::with_default(&writers[1].0, || tracing::info!(target: "kronos::test", "line 1.1"));
    wait_for(&file, "line 1.1");
    fs::File::options().append(true).open(&file).unwrap().set_modified(at).unwrap();
    for n in [0, 2] {
        tracing::dispatcher::with_default(&writers[n].0, || tracing::info!(target: "kronos::test", "line 1.{n}"));
        wait_for(&file, &format!("line 1.{n}"));
        fs::File::options().append(true).open(&file).unwrap().set_modified(at).unwrap();
    }
    for (_, guard) in writers {
        assert_eq!(guard.close(), LogHealth::default());
    }
    assert_eq!(names(place.path()), ["kronos.log", "kronos.log.2030-01-01"]);
    assert_eq!((lines(&file).len(), lines(&place.path().join("kronos.log.2030-01-01")).len()), (3, 3));
}

#[test]
fn nothing_is_lost_at_the_end() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    let (dispatch, guard) = open_logs(&settings(&file), None, None, Arc::new(clock("2026-11-28T03:00:00Z"))).unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        for n in 0..3000 {
            tracing::info!(target: "kronos::test", n, "a line");
        }
    });
    let health = guard.close();
    assert_eq!((lines(&file).len(), health.lost), (3000, 0));
}

/// A terminal that takes nothing until it is told to.
#[derive(Clone, Default)]
struct Stuck(Arc<Mutex<Vec<u8>>>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the test does not panic with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_is_too_slow_costs_lines_and_not_time_and_is_told_of() {
    let stuck = Stuck::default();
    let settings = LogSettings::default();
    let clock = Arc::new(clock("2026-11-28T03:00:00Z"));
    let (dispatch, guard) = open_logs(&settings, None, Some(Terminal::of_lines(stuck.clone())), clock).unwrap();
    let held = stuck.0.lock().unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        for n in 0..10_000 {
            tracing::info!(target: "kronos::test", n, "a line");
        }
    });
    let lost = guard.health().lost;
    assert!((5000..10_000).contains(&lost), "{lost}");
    drop(held);
    assert_eq!(guard.close().lost, lost);
    let text = String::from_utf8(stuck.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("a line").count() as u64, 10_000 - lost);
    let told = text.lines().filter(|line| line.contains("event=\"log.lost\"")).map(|line| {
        let (before, _) = line.split_once(" lines of the log could not be written").unwrap();
        before.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    });
    assert_eq!(told.sum::<u64>(), lost);
}

/// A log in a file, whose terminal gets what is wrong with it.
struct Watched {
    dispatch: tracing::Dispatch,
    guard: LogGuard,
    terminal: Stuck,
}

impl Watched {
    fn open(file: &Path) -> Self {
        let terminal = Stuck::default();
        let clock = Arc::new(clock("2026-11-28T03:00:00Z"));
        let given = Some(Terminal::of_trouble(terminal.clone()));
        let (dispatch, guard) = open_logs(&settings(file), None, given, clock).expect("the log opens");
        Self { dispatch, guard, terminal }
    }

    fn say(&self, n: usize) {
        tracing::dispatcher::with_default(&self.dispatch, || tracing::info!(target: "kronos::test", "line {n}"));
    }

    fn wait_for_lost(&self, lost: u64) {
        for _ in 0..6000 {
            if self.guard.health().lost == lost {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?} after a minute", self.guard.health());
    }

    fn shown(&self) -> String {
        let shown = self.terminal.0.lock().expect("the test does not panic with it").clone();
        String::from_utf8(shown).expect("text")
    }
}

/// `/dev/full` is a disk that has no room left.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_of_at_once_and_stops_nothing() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let log = Watched::open(&file);
    (0..3).for_each(|n| log.say(n));
    log.wait_for_lost(3);
    let shown = log.shown();
    assert_eq!(shown.matches("log.failed").count(), 1, "told once, not with every line: {shown}");
    assert!(shown.contains("No space left") && !shown.contains("line 0"), "{shown}");
    // There is room again: somebody moved the log to another disk.
    fs::remove_file(&file).unwrap();
    log.say(3);
    wait_for(&file, "line 3");
    assert!(log.shown().contains("3 lines of the log could not be written"), "{}", log.shown());
    assert_eq!(log.guard.close(), LogHealth { lost: 3, error: None });
    let lines = lines(&file);
    assert!(lines[0].contains("3 lines of the log could not be written") && lines[1].contains("line 3"), "{lines:?}");
}

#[test]
fn a_directory_that_is_deleted_is_made_anew() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("var/log/kronos.log");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let log = Watched::open(&file);
    log.say(1);
    wait_for(&file, "line 1");
    fs::remove_dir_all(place.path().join("var")).unwrap();
    log.say(2);
    wait_for(&file, "line 2");
    assert_eq!(log.shown(), "");
    assert_eq!(log.guard.close(), LogHealth::default());
    assert_eq!(lines(&file).len(), 1);
}

#[cfg(unix)]
#[test]
fn lines_for_a_file_that_is_gone_are_lost_and_told_of() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("log");
    let file = directory.join("kronos.log");
    fs::create_dir(&directory).unwrap();
    let log = Watched::open(&file);
    log.say(1);
    wait_for(&file, "line 1");
    // Nothing can be made here.
    fs::remove_dir_all(&directory).unwrap();
    fs::write(&directory, "").unwrap();
    (2..5).for_each(|n| log.say(n));
    log.wait_for_lost(3);
    let shown = log.shown();
    assert_eq!(shown.matches("log.failed").count(), 1, "told once, not with every line: {shown}");
    assert!(shown.contains("the log's file could not be written: Not a directory"), "{shown}");
    fs::remove_file(&directory).unwrap();
    log.say(5);
    wait_for(&file, "line 5");
    assert_eq!(log.guard.close(), LogHealth { lost: 3, error: None });
    assert!(lines(&file)[0].contains("3 lines of the log could not be written"), "{:?}", lines(&file));
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_is_never_put_aside() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    std::os::unix::fs::symlink("/dev/null", &file).unwrap();
    let clock = clock("2030-01-01T00:00:00Z");
    let health = log(&settings(&file), None, &clock, || {
        clock.advance(Duration::from_hours(48));
        tracing::info!(target: "kronos::test", "a line");
    });
    assert_eq!((health, names(place.path())), (LogHealth::default(), vec!["kronos.log".to_owned()]));
}

#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_reads_is_refused_and_not_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    let clock = clock("2026-11-28T03:00:00Z");
    let (done, opened) = std::sync::mpsc::channel();
    let (wanted, time) = (settings(&file), clock.clone());
    std::thread::spawn(move || done.send(open_logs(&wanted, None, None, Arc::new(time)).map(|_| ())));
    let error = opened.recv_timeout(Duration::from_mins(1)).expect("nobody waits").unwrap_err();
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!((error.kind(), cause.as_str()), (ErrorKind::Unsupported, "it is a socket, or a pipe that nobody reads"));

    // One that is read takes lines, also more than it holds at a time.
    let reader = {
        let file = file.clone();
        std::thread::spawn(move || fs::read_to_string(file).unwrap())
    };
    let writer = loop {
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let opened =
            std::os::unix::fs::OpenOptionsExt::custom_flags(fs::File::options().write(true), nonblock).open(&file);
        match opened {
            Ok(writer) => break writer,
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let health = log(&settings(&file), None, &clock, || {
        (0..3000).for_each(|n| tracing::info!(target: "kronos::test", n, "a line"));
    });
    drop(writer);
    assert_eq!((health, reader.join().unwrap().lines().count()), (LogHealth::default(), 3000));
}

#[test]
fn what_is_wrong_is_said_at_the_start() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.log");
    let open = |settings: &LogSettings, filter| {
        let clock = Arc::new(clock("2026-11-28T03:00:00Z"));
        open_logs(settings, filter, None, clock).map(|_| ()).expect_err("this is wrong")
    };
    let level = LogSettings { level: "kronos=loud".to_owned(), ..LogSettings::default() };
    let error = open(&level, None);
    assert_eq!((error.kind(), error.context("value")), (ErrorKind::Config, Some("kronos=loud")));
    let error = open(&settings(&file), Some("[[["));
    assert_eq!(error.context("value"), Some("[[["));
    let error = open(&settings(&place.path().join("none/kronos.log")), None);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("none/kronos.log"), "{error}");
    let error = open(&settings(place.path()), None);
    assert_eq!(error.kind(), ErrorKind::Io);
}
