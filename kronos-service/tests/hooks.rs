//! Hooks as real processes: what they get, what they say, and how they are ended.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::{Duration, Instant};

use kronos_core::{ErrorKind, Id, Result, Timestamp};
use kronos_service::hooks::{Hook, HookCommand, HookSettings, Hooks};
use kronos_service::{Ended, Operation, RunReport, Trigger};
use tokio_util::sync::CancellationToken;

fn report() -> RunReport {
    RunReport::begin(Id([7; 16]), Operation::Backup, "shop", Trigger::Schedule, Timestamp::from_micros(1))
}

fn shell(line: impl Into<String>) -> Hook {
    Hook::new(HookCommand::Shell(line.into()))
}

fn before(hook: Hook) -> HookSettings {
    HookSettings { before: Some(hook), ..HookSettings::default() }
}

async fn run(hook: Hook) -> Result<()> {
    Hooks::new(before(hook), &|name| std::env::var(name).ok()).before(&report(), &CancellationToken::new()).await
}

fn at(place: &Path, name: &str) -> String {
    place.join(name).display().to_string()
}

/// Waits until something is so, at most 20 s.
async fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

#[tokio::test]
async fn a_hook_gets_a_clean_environment_and_the_report() {
    let place = tempfile::tempdir().unwrap();
    let line = format!("env > {}; cat > {}", at(place.path(), "env"), at(place.path(), "report"));
    let settings = HookSettings { env: vec!["TOKEN".to_owned(), "UNSET".to_owned()], ..before(shell(line)) };
    let environment = |name: &str| match name {
        "PATH" => Some("/usr/bin:/bin".to_owned()),
        "HOME" => Some("/home/me".to_owned()),
        "TOKEN" => Some("tell the hook".to_owned()),
        "OTHER" => Some("not for hooks".to_owned()),
        _ => None,
    };
    let hooks = Hooks::new(settings, &environment);
    assert!(!format!("{hooks:?}").contains("tell the hook"), "{hooks:?}");
    hooks.before(&report(), &CancellationToken::new()).await.unwrap();
    let env = std::fs::read_to_string(place.path().join("env")).unwrap();
    // The shell itself adds some.
    let mut got: Vec<_> = env.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("_=")).collect();
    got.retain(|line| !line.starts_with("SHLVL="));
    got.sort_unstable();
    assert_eq!(
        got,
        [
            "HOME=/home/me",
            "KRONOS_HOOK=before",
            "KRONOS_JOB=shop",
            "KRONOS_OPERATION=backup",
            "KRONOS_OUTCOME=running",
            "KRONOS_RUN=07070707070707070707070707070707",
            "PATH=/usr/bin:/bin",
            "TOKEN=tell the hook",
        ]
    );
    let told = std::fs::read_to_string(place.path().join("report")).unwrap();
    assert_eq!(serde_json::from_str::<RunReport>(&told).unwrap(), report());
}

#[tokio::test]
async fn a_program_is_called_without_a_shell() {
    let place = tempfile::tempdir().unwrap();
    let path = at(place.path(), "two words; $HOME");
    let words = ["touch".to_owned(), path.clone()];
    run(Hook::new(HookCommand::Program(words.to_vec()))).await.unwrap();
    assert!(Path::new(&path).exists());

    let error = run(Hook::new(HookCommand::Program(vec!["/no/such/program".to_owned()]))).await.unwrap_err();
    assert_eq!((error.kind(), error.context("hook")), (ErrorKind::ToolMissing, Some("before")));
    assert!(error.context("hint").is_some());
    let error = run(Hook::new(HookCommand::Program(Vec::new()))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_report_that_nobody_reads_is_no_failure() {
    let mut long = report();
    long.warnings = vec!["much more than a pipe holds ".repeat(20_000)];
    for line in ["true", "exec <&-; sleep 0.2", "head -c 10 >/dev/null", "cat >/dev/null"] {
        let hooks = Hooks::new(before(shell(line)), &|name| std::env::var(name).ok());
        hooks.before(&long, &CancellationToken::new()).await.unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[tokio::test]
async fn a_hook_that_fails_says_why_without_secrets() {
    let error = run(shell("echo 'no: postgres://me:hush@db/x' >&2; exit 3")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ToolFailed);
    assert_eq!(error.context("status"), Some("exit status: 3"));
    assert_eq!(error.context("said"), Some("no: postgres://***@db/x"));

    // Much is read, so that the hook does not wait; the end is shown.
    let error = run(shell("yes 'a line' | head -c 2800000 >&2; echo the end >&2; exit 1")).await.unwrap_err();
    let said = error.context("said").unwrap();
    assert!(said.ends_with("a line; the end") && said.len() <= 4096, "{}", said.len());

    let settings = HookSettings { env: vec!["TOKEN".to_owned()], ..before(shell("echo not $TOKEN >&2; exit 1")) };
    let hooks = Hooks::new(settings, &|name| (name == "TOKEN").then(|| "hushhush".to_owned()));
    assert_eq!(hooks.before(&report(), &CancellationToken::new()).await.unwrap_err().context("said"), Some("not ***"));
}

#[tokio::test]
async fn after_and_on_failure_never_change_how_a_run_ended() {
    let place = tempfile::tempdir().unwrap();
    let note = |name: &str| shell(format!("echo $KRONOS_HOOK $KRONOS_OUTCOME >> {}; exit 1", at(place.path(), name)));
    let settings =
        HookSettings { after: Some(note("notes")), on_failure: Some(note("notes")), ..HookSettings::default() };
    let hooks = Hooks::new(settings, &|name| std::env::var(name).ok());
    for ended in [Ended::Succeeded, Ended::Warnings, Ended::Nothing, Ended::Failed, Ended::Cancelled] {
        let mut report = report();
        report.ended = ended;
        if let Err(error) = hooks.ended(&report).await {
            report.warnings.push(error.to_string());
        }
        assert_eq!((report.ended, report.warnings.len()), (ended, 1), "{:?}", report.warnings);
        assert!(report.warnings[0].starts_with("a hook failed"), "{:?}", report.warnings);
    }
    let notes = std::fs::read_to_string(place.path().join("notes")).unwrap();
    assert_eq!(
        notes.lines().collect::<Vec<_>>(),
        ["after succeeded", "after warnings", "after nothing", "on_failure failed", "on_failure cancelled"]
    );
}

#[tokio::test]
async fn a_hook_that_takes_too_long_ends_with_all_that_it_started() {
    let place = tempfile::tempdir().unwrap();
    let (child, polite) = (at(place.path(), "child"), at(place.path(), "polite"));
    // The first one tidies up when it is asked to end, the second ignores that.
    let line = format!(
        "trap 'echo asked > {polite}; exit' TERM; (trap '' TERM; sh -c 'echo $$ > {child}; sleep 600') & sleep 600 & wait"
    );
    let mut hook = shell(line);
    hook.timeout = Duration::from_secs(1);
    let began = Instant::now();
    let error = run(hook).await.unwrap_err();
    assert_eq!((error.kind(), error.context("timeout")), (ErrorKind::Timeout, Some("1 s")));
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    assert_eq!(std::fs::read_to_string(polite).unwrap(), "asked\n");
    let child = std::fs::read_to_string(child).unwrap();
    until("the child was killed", || !lives(&child)).await;
}

#[tokio::test]
async fn a_run_that_is_stopped_does_not_wait_for_its_hook() {
    let place = tempfile::tempdir().unwrap();
    let polite = at(place.path(), "polite");
    let sign = at(place.path(), "sign");
    let line = format!("trap 'echo asked > {polite}; exit' TERM; touch {sign}; sleep 600 & wait");
    let hooks = Hooks::new(before(Hook { timeout: Duration::from_mins(20), ..shell(line) }), &|_| None);
    let stop = CancellationToken::new();
    let (began, report) = (Instant::now(), report());
    let stopped = async {
        until("it has begun", || Path::new(&sign).exists()).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(hooks.before(&report, &stop), stopped);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(began.elapsed() < Duration::from_mins(1));
    assert!(Path::new(&polite).exists(), "it was asked to end");
}

#[tokio::test]
async fn a_hook_that_is_dropped_is_killed() {
    let place = tempfile::tempdir().unwrap();
    let child = at(place.path(), "child");
    let line = format!("sh -c 'echo $$ > {child}.new; mv {child}.new {child}; sleep 600' & wait");
    let running = tokio::spawn(async move { run(shell(line)).await });
    until("the child runs", || Path::new(&child).exists()).await;
    running.abort();
    let pid = std::fs::read_to_string(&child).unwrap();
    until("the child was killed", || !lives(&pid)).await;
}

#[tokio::test]
async fn what_a_hook_leaves_running_is_not_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let child = at(place.path(), "child");
    let began = Instant::now();
    run(shell(format!("sleep 600 & echo $! > {child}"))).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let pid = std::fs::read_to_string(child).unwrap();
    assert!(lives(&pid), "a service that a hook starts stays");
    std::process::Command::new("kill").arg(pid.trim()).status().unwrap();
}
