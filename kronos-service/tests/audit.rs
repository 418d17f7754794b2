//! The audit log: nothing that was written can be changed unseen, and a crash is no change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use kronos_core::testing::ManualClock;
use kronos_core::{Clock, Error, ErrorKind, Id, Timestamp};
use kronos_service::audit::{Action, AuditLog, AuditReport, Deed, Mark, Outcome, Who, verify_audit};
use kronos_service::{Ended, Failure, Operation, RunReport, Trigger};

fn log(place: &Path) -> AuditLog {
    let who = Who { user: Some("alice".into()), host: Some("db1".into()), pid: 7 };
    AuditLog::new(place, who, clock())
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(Timestamp::parse("2026-11-21T03:00:00Z").expect("a time")))
}

fn fill(place: &Path, entries: usize) -> Vec<Mark> {
    let log = log(place);
    (0..entries)
        .map(|n| {
            log.append(&Deed::new(Action::Backup, &format!("job {n}"), Outcome::Succeeded))
                .expect("an entry is written")
        })
        .collect()
}

fn verify(place: &Path) -> AuditReport {
    verify_audit(place, &[]).expect("a log can be read")
}

fn current(place: &Path) -> PathBuf {
    place.join("audit.jsonl")
}

fn lines(place: &Path) -> Vec<String> {
    fs::read_to_string(current(place)).expect("a file").lines().map(str::to_owned).collect()
}

fn write(place: &Path, lines: &[String]) {
    fs::write(current(place), lines.join("\n") + "\n").expect("a file");
}

/// The one problem, as `line: message`.
fn problem(report: &AuditReport) -> String {
    assert_eq!(report.problems.len(), 1, "{report:?}");
    let found = &report.problems[0];
    format!("{}: {}", found.line.map_or("end".to_owned(), |line| line.to_string()), found.message)
}

#[test]
fn an_untouched_log_is_whole() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(verify(place.path()).entries, 0, "no log yet");
    let marks = fill(place.path(), 5);
    let report = verify_audit(place.path(), &marks).unwrap();
    assert!(report.problems.is_empty() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.entries, report.files, report.last), (5, 1, marks.last().copied()));
    let first = &lines(place.path())[0];
    for part in [r#""seq":1"#, r#""time":"2026-11-21T03:00:00Z""#, r#""user":"alice""#, r#""action":"backup""#] {
        assert!(first.contains(part), "{first}");
    }
    assert_eq!(marks[0].to_string().parse::<Mark>().unwrap(), marks[0]);
}

#[test]
fn every_flipped_bit_is_found() {
    let place = tempfile::tempdir().unwrap();
    fill(place.path(), 4);
    for path in [current(place.path()), place.path().join("audit.head")] {
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                fs::write(&path, &changed).unwrap();
                let report = verify(place.path());
                assert!(!report.problems.is_empty(), "bit {bit} of byte {at} of {}", path.display());
            }
        }
        fs::write(&path, bytes).unwrap();
    }
    assert!(verify(place.path()).problems.is_empty());
}

#[test]
fn every_cut_is_found_and_the_log_goes_on() {
    let place = tempfile::tempdir().unwrap();
    fill(place.path(), 3);
    let whole = fs::read(current(place.path())).unwrap();
    let head = fs::read(place.path().join("audit.head")).unwrap();
    for length in 0..whole.len() {
        fs::write(current(place.path()), &whole[..length]).unwrap();
        assert!(!verify(place.path()).problems.is_empty(), "cut at {length}");
        // Writing on must not hide it, though the head is written anew. Only a last newline can be
        // put back as it was.
        fill(place.path(), 2);
        let report = verify(place.path());
        assert_eq!(report.problems.is_empty(), length == whole.len() - 1, "cut at {length}, and written on");
        assert!(fs::read_to_string(current(place.path())).unwrap().contains(r#""found":"shortened""#));
        fs::write(place.path().join("audit.head"), &head).unwrap();
    }
}

#[test]
fn lines_removed_inserted_or_reordered_are_named() {
    let place = tempfile::tempdir().unwrap();
    fill(place.path(), 6);
    let whole = lines(place.path());

    let mut some = whole.clone();
    some.remove(2);
    write(place.path(), &some);
    assert_eq!(problem(&verify(place.path())), "3: entries 3 to 3 are missing before this line");

    let mut some = whole.clone();
    some.swap(2, 3);
    write(place.path(), &some);
    let found = verify(place.path());
    assert_eq!(found.problems[0].line, Some(3), "{found:?}");

    let mut some = whole.clone();
    some.insert(4, whole[1].clone());
    write(place.path(), &some);
    assert_eq!(verify(place.path()).problems[0].message, "entry 2 stands behind entry 4");
    assert_eq!(verify(place.path()).problems[0].line, Some(5));

    let mut some = whole.clone();
    some.insert(4, "{}".to_owned());
    write(place.path(), &some);
    assert_eq!(problem(&verify(place.path())), "5: this line is not an entry, or was changed");

    write(place.path(), &whole[..4]);
    assert_eq!(problem(&verify(place.path())), "end: entries 5 to 6 are missing at the end");
    write(place.path(), &whole[2..]);
    assert!(problem(&verify(place.path())).starts_with("1: the log begins with entry 3"));
    write(place.path(), &whole);
    assert!(verify(place.path()).problems.is_empty());
}

/// Somebody with all rights, who works out every hash anew, is found by what was kept elsewhere only.
#[test]
fn a_forged_log_is_found_by_a_mark() {
    let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let marks = fill(place.path(), 4);
    let forger = log(other.path());
    for _ in 0..4 {
        forger.append(&Deed::new(Action::Backup, "nothing happened", Outcome::Succeeded)).unwrap();
    }
    assert!(verify(other.path()).problems.is_empty(), "which is why the documentation says so");
    let report = verify_audit(other.path(), &marks[1..2]).unwrap();
    assert_eq!(problem(&report), "end: entry 2 is missing, or not the one that was known");
    let missing = Mark { seq: 9, ..marks[0] };
    assert_eq!(verify_audit(place.path(), &[missing]).unwrap().problems.len(), 1);
}

#[test]
fn a_line_that_a_crash_cut_off_is_noted() {
    let place = tempfile::tempdir().unwrap();
    for cut in [&b"{\"seq\":4,\"ti"[..], b"\0\0\0\0", b"garbage\nand more", b"whole lines\n", b"x"] {
        let before = verify(place.path()).entries;
        fill(place.path(), 3);
        let mut bytes = fs::read(current(place.path())).unwrap();
        bytes.extend_from_slice(cut);
        fs::write(current(place.path()), &bytes).unwrap();
        let report = verify(place.path());
        assert!(
            report.problems.is_empty() && report.notes.iter().any(|n| n.message.contains("not whole")),
            "{report:?}"
        );
        fill(place.path(), 1);
        let report = verify(place.path());
        assert!(report.problems.is_empty(), "{report:?}");
        assert_eq!(report.entries, before + 5, "the note is an entry too");
        // The bytes are still there, and cannot be changed any more either.
        let mut changed = fs::read(current(place.path())).unwrap();
        assert!(changed.starts_with(&bytes));
        let at = bytes.len() - 1;
        changed[at] ^= 1;
        let good = fs::read(current(place.path())).unwrap();
        fs::write(current(place.path()), changed).unwrap();
        assert!(!verify(place.path()).problems.is_empty());
        fs::write(current(place.path()), good).unwrap();
    }
}

#[test]
fn a_crash_before_the_head_was_written_is_no_damage() {
    let place = tempfile::tempdir().unwrap();
    fill(place.path(), 3);
    let head = fs::read(place.path().join("audit.head")).unwrap();
    fill(place.path(), 1);
    fs::write(place.path().join("audit.head"), &head).unwrap();
    assert!(verify(place.path()).problems.is_empty());
    fill(place.path(), 1);
    let report = verify(place.path());
    assert!(report.problems.is_empty() && report.entries == 5, "{report:?}");
}

#[test]
fn a_head_that_is_gone_is_a_problem_and_noted() {
    let place = tempfile::tempdir().unwrap();
    fill(place.path(), 3);
    fs::remove_file(place.path().join("audit.head")).unwrap();
    assert!(problem(&verify(place.path())).contains("the head beside the log is missing"));
    fill(place.path(), 1);
    let report = verify(place.path());
    assert!(report.problems.is_empty() && report.entries == 5, "{report:?}");
    assert!(lines(place.path())[3].contains(r#""found":"head missing or damaged""#));
}

#[test]
fn older_files_belong_to_the_chain() {
    let place = tempfile::tempdir().unwrap();
    let small = log(place.path()).rotated_at(900);
    for n in 0..12 {
        small.append(&Deed::new(Action::Query, &format!("shop {n}"), Outcome::Refused)).unwrap();
    }
    let report = verify(place.path());
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!((report.entries, report.files), (12, 4));
    let older: Vec<_> = ["000000000003", "000000000006", "000000000009"]
        .map(|n| place.path().join(format!("audit-{n}.jsonl")))
        .into_iter()
        .collect();
    // A crash came right after the file was put aside.
    fs::rename(current(place.path()), place.path().join("audit-000000000012.jsonl")).unwrap();
    assert!(verify(place.path()).problems.is_empty());
    small.append(&Deed::new(Action::Query, "after", Outcome::Refused)).unwrap();
    let report = verify(place.path());
    assert!(report.problems.is_empty() && report.entries == 13, "{report:?}");
    // A file that is taken away, at the beginning or between, is missed.
    for taken in &older {
        let bytes = fs::read(taken).unwrap();
        fs::remove_file(taken).unwrap();
        assert_eq!(verify(place.path()).problems.len(), 1);
        fs::write(taken, bytes).unwrap();
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    fill(place.path(), 1);
    fs::remove_file(current(place.path())).unwrap();
    fs::create_dir(current(place.path())).unwrap();
    let error = log(place.path()).append(&Deed::new(Action::Key, "x", Outcome::Succeeded)).unwrap_err();
    assert!(error.message().contains("audit log could not be"), "{error}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let inner = place.path().join("state");
    fill(&inner, 1);
    for (path, mode) in [(inner.clone(), 0o700), (current(&inner), 0o600), (inner.join("audit.head"), 0o600)] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
}

#[test]
fn a_run_is_written_down_without_secrets() {
    let place = tempfile::tempdir().unwrap();
    let started = Timestamp::from_micros(1_000_000);
    let mut report = RunReport::begin(Id([7; 16]), Operation::Restore, "shop", Trigger::Manual, started);
    report.ended = Ended::Failed;
    report.source = Some("postgres://me:hunter2@host/db".to_owned());
    report.error = Some(Failure::of(&Error::new(ErrorKind::Timeout, "too slow at mysql://u:hunter2@h")));
    log(place.path()).append(&Deed::of(&report)).unwrap();
    log(place.path()).append(&Deed::new(Action::Export, "s3://k:hunter2@b", Outcome::Started)).unwrap();
    let text = fs::read_to_string(current(place.path())).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    for part in [r#""action":"restore""#, r#""outcome":"failed""#, r#""run":"0707"#, r#""error_kind":"timeout""#] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

const WRITERS: usize = 4;
const EACH: usize = 25;

/// Not a test by itself: one of the processes of the next one.
#[test]
#[ignore = "is run by several_processes_share_one_log"]
fn one_of_several_processes() {
    let place = PathBuf::from(std::env::var_os("KRONOS_TEST_AUDIT").expect("the other test names the place"));
    let log = log(&place).rotated_at(5000);
    for n in 0..EACH {
        log.append(&Deed::new(Action::Backup, &format!("{n} of {}", std::process::id()), Outcome::Succeeded)).unwrap();
    }
}

#[test]
fn several_processes_share_one_log() {
    let place = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "one_of_several_processes", "--ignored"]).env("KRONOS_TEST_AUDIT", place.path());
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let writers: Vec<_> = (0..WRITERS).map(|_| start()).collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let report = verify(place.path());
    assert!(report.problems.is_empty() && report.notes.is_empty(), "{report:?}");
    assert_eq!(report.entries, (WRITERS * EACH) as u64);
    assert!(report.files > 3);
}
