//! `kronos daemon`: started, asked, reloaded, stopped, killed.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::Place;
use crate::common::receiver::Receiver;

/// A daemon that runs; killed when a test is over.
struct Running {
    child: Child,
    port: u16,
    told: [PathBuf; 2],
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for path in &self.told {
                let told = fs::read_to_string(path).unwrap_or_default();
                let _ = writeln!(std::io::stderr(), "{}:\n{told}", path.display());
            }
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A configuration with jobs of one database each, `a.db` and so on.
fn configure(place: &Place, receiver: &Receiver, port: u16, jobs: &str) {
    for name in ["a", "b"].iter().filter(|name| !place.path(&format!("{name}.db")).exists()) {
        place.database(&format!("{name}.db"), 50);
    }
    place.write(
        "kronos.toml",
        &format!(
            "[storages.main]\nurl = './repo'\n{jobs}\n[notify.ops]\nwebhook = {{ url = '{}' }}\n\
             on = ['failure', 'recovered', 'success']\ngroup_within = '1s'\n\
             [metrics]\nlisten = '127.0.0.1:{port}'\n[log]\nfile = './kronos.log'\nformat = 'json'\n\
             [daemon]\nstop_within = '1s'\n",
            receiver.url("hook"),
        ),
    );
}

fn job(name: &str, more: &str) -> String {
    format!("[jobs.{name}]\nsource = './{name}.db'\nschedule = '* * * * *'\n{more}\n")
}

impl Running {
    fn start(place: &Place, port: u16) -> Self {
        let err = fs::File::create(place.path("daemon.err")).unwrap();
        let child = place.command(&["daemon"]).stdout(Stdio::null()).stderr(err).spawn().unwrap();
        let told = ["daemon.err", "kronos.log"].map(|name| place.path(name));
        let mut running = Self { child, port, told };
        let told = || fs::read_to_string(place.path("daemon.err")).unwrap();
        until("it is ready", || {
            assert!(running.child.try_wait().unwrap().is_none(), "it has ended: {}", told());
            running.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        running
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn has(&self, line: &str) -> bool {
        self.get("/metrics").is_some_and(|page| page.contains(line))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, which must go well and soon.
    fn stop(mut self) {
        self.signal(Signal::TERM);
        let mut code = None;
        until("it has ended", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        assert_eq!(code.unwrap().code(), Some(0));
    }

    /// In KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(5), "not within 5 min: {what}");
        sleep(Duration::from_millis(50));
    }
}

fn log(place: &Place) -> Vec<Value> {
    let text = fs::read_to_string(place.path("kronos.log")).unwrap();
    // The last line may be on its way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn deeds(place: &Place) -> Vec<String> {
    let text = fs::read_to_string(place.path("home/.local/state/kronos/audit.jsonl")).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries
        .map(|entry| format!("{} {}", entry["action"].as_str().unwrap(), entry["outcome"].as_str().unwrap()))
        .collect()
}

#[test]
fn it_runs_what_is_due_reads_its_configuration_anew_and_stops() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    configure(&place, &receiver, port, &job("a", "keep = { last = 2 }"));
    let daemon = Running::start(&place, port);
    assert!(daemon.has("kronos_job_paused{kronos_job=\"a\"} 0"));

    // A broken configuration changes nothing, and is told of.
    let good = fs::read_to_string(place.path("kronos.toml")).unwrap();
    place.write("kronos.toml", &format!("{good}nonsense = 1\n"));
    daemon.signal(Signal::HUP);
    until("the refusal is seen", || daemon.has("kronos_config_reload_succeeded 0"));
    // The log has a thread of its own.
    until("the log says why", || {
        let is_it = |line: &Value| line["event"] == "config.refused" && line.to_string().contains("nonsense");
        log(&place).iter().any(is_it)
    });
    configure(&place, &receiver, port, &(job("a", "") + &job("b", "timezone = 'Europe/Berlin'")));
    daemon.signal(Signal::HUP);
    until("the new job is known", || daemon.has("kronos_job_paused{kronos_job=\"b\"} 0"));
    assert!(daemon.has("kronos_config_reload_succeeded 1"));

    for job in ["a", "b"] {
        receiver
            .wait(|_, body| body.contains(&format!("{job}: backup done")) && body.contains("\"trigger\":\"schedule\""));
    }
    until("the figures have it", || daemon.has("kronos_backup_runs_total{kronos_job=\"b\",ended=\"succeeded\"} 1"));
    assert!(daemon.has("kronos_job_next_due_timestamp_seconds{kronos_job=\"a\"}"));
    assert_eq!(place.json(&["list"])["backups"].as_array().unwrap().len(), 2);
    // Beside the daemon, and seen by it.
    place.ok(&["backup", "-n", "a"]);
    place.ok(&["schedule", "pause", "b"]);
    until("the pause is seen", || daemon.has("kronos_job_paused{kronos_job=\"b\"} 1"));
    daemon.stop();
    let mut deeds = deeds(&place);
    deeds.retain(|deed| !deed.starts_with("backup"));
    let wanted = [
        "start succeeded",
        "reload failed",
        "reload succeeded",
        "schedule started",
        "schedule succeeded",
        "stop succeeded",
    ];
    assert_eq!(deeds, wanted);
    assert!(place.ok(&["audit", "verify"]).out.contains("0 problems"));
    assert_eq!(
        fs::read_to_string(place.path("daemon.err")).unwrap().lines().filter(|l| !l.contains("warning")).count(),
        0
    );
}

#[test]
fn a_run_is_stopped_with_the_daemon_and_taken_up_by_the_next() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    // It takes longer than the patience of this test.
    let blocked = "hooks = { before = { command = 'touch begun; test -e go || sleep 600', timeout = '10m' } }\n";
    configure(&place, &receiver, port, &job("a", blocked));
    let daemon = Running::start(&place, port);
    until("the run has begun", || place.path("begun").exists());
    daemon.stop();
    let row = &place.json(&["schedule", "list"])["jobs"][0];
    assert_eq!(row["last"]["ended"], "stopped", "{row}");
    assert!(row["waiting"].is_object(), "{row}");
    place.write("go", "");
    let daemon = Running::start(&place, port);
    until("the run was taken up", || daemon.has("kronos_backup_runs_total{kronos_job=\"a\",ended=\"succeeded\"} 1"));
    daemon.stop();
}

#[test]
fn a_run_that_was_killed_with_the_daemon_is_told_of_and_taken_up() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    let blocked = "hooks = { before = { command = 'touch begun; test -e go || sleep 600', timeout = '10m' } }";
    configure(&place, &receiver, port, &job("a", blocked));
    let daemon = Running::start(&place, port);
    until("the run has begun", || place.path("begun").exists());
    daemon.signal(Signal::KILL);
    drop(daemon);
    place.write("go", "");
    let daemon = Running::start(&place, port);
    receiver.wait(|_, body| body.contains("\"occasion\":\"failure\"") && body.contains("interrupted"));
    receiver.wait(|_, body| body.contains("\"occasion\":\"recovered\""));
    assert!(!place.json(&["list"])["backups"].as_array().unwrap().is_empty());
    daemon.stop();
}

#[test]
fn a_job_store_that_is_gone_is_told_of() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    configure(&place, &receiver, port, &job("a", ""));
    let daemon = Running::start(&place, port);
    fs::remove_file(place.path("home/.local/state/kronos/jobs.db")).unwrap();
    until("it is not ready", || daemon.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 503")));
    receiver.wait(|_, body| body.contains("\"occasion\":\"failure\"") && body.contains("no run begins"));
    daemon.stop();
}

#[test]
fn a_stop_does_not_wait_for_a_secret() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    configure(&place, &receiver, port, &job("a", "").replace("* * * * *", "0 3 1 1 *"));
    let daemon = Running::start(&place, port);
    let config = fs::read_to_string(place.path("kronos.toml")).unwrap();
    place.write(
        "kronos.toml",
        &(config + "[notify.q]\nwebhook = { url_command = ['sh', '-c', 'touch asked; sleep 600'] }\n"),
    );
    daemon.signal(Signal::HUP);
    until("the secret was asked for", || place.path("asked").exists());
    assert!(daemon.get("/healthz").is_some());
    let begun = Instant::now();
    daemon.stop();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn it_needs_little_and_many_jobs_do_not_slow_it_down() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    configure(&place, &receiver, port, &job("a", "").replace("* * * * *", "0 3 1 1 *"));
    let daemon = Running::start(&place, port);
    sleep(Duration::from_secs(2));
    let memory = daemon.memory();
    assert!(memory < 30 << 10, "{memory} KiB");
    daemon.stop();

    let mut many = String::new();
    for n in 0..2_000 {
        let (minute, hour) = (n % 60, n / 60 % 24);
        let _ = writeln!(many, "[jobs.many-{n}]\nsource = './a.db'\nschedule = '{minute} {hour} 1 1 *'");
    }
    configure(&place, &receiver, port, &many);
    let begun = Instant::now();
    let daemon = Running::start(&place, port);
    until("all jobs are known", || daemon.has("kronos_job_next_due_timestamp_seconds{kronos_job=\"many-1999\"}"));
    let started = begun.elapsed();
    let begun = Instant::now();
    let page = daemon.get("/metrics").unwrap();
    let scraped = begun.elapsed();
    println!(
        "idle: {memory} KiB; 2,000 jobs: {started:?}, {} KiB; a page of {} KiB: {scraped:?}",
        daemon.memory(),
        page.len() >> 10
    );
    // Far above what a machine needs that is not busy: `benches/daemon` has the figures.
    assert!(started < Duration::from_secs(30) && scraped < Duration::from_secs(3), "{started:?} {scraped:?}");
    daemon.stop();
}

#[test]
fn it_does_not_start_when_it_could_not_do_its_work() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    place.run(&["daemon"]).fails(2, "no job has a schedule", "schedule = \"@daily\"");
    configure(&place, &receiver, port, &job("a", ""));
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    place.run(&["daemon"]).fails(2, "could not listen", "metrics.listen");
    drop(taken);
    let config = fs::read_to_string(place.path("kronos.toml")).unwrap();
    place.write("kronos.toml", &format!("{config}[notify.other]\nslack = {{ webhook_env = 'NOT_SET' }}\n"));
    place.run(&["daemon"]).fails(2, "NOT_SET", "");
    place.write("kronos.toml", &config.replace("[daemon]\n", "[daemon]\nstate = './a.db/state'\n"));
    place.run(&["daemon"]).fails(1, "cannot be made", "daemon.state");
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_whose_disk_is_full_is_told_of_on_standard_error() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    configure(&place, &receiver, port, "[jobs.a]\nsource = './a.db'\nschedule = '@yearly'\n");
    std::os::unix::fs::symlink("/dev/full", place.path("kronos.log")).unwrap();
    let daemon = Running::start(&place, port);
    let told = || fs::read_to_string(place.path("daemon.err")).unwrap().matches("could not be written").count();
    until("it is told", || told() > 0);
    daemon.signal(Signal::HUP);
    daemon.stop();
    assert_eq!(told(), 1, "once, not with every line");
    assert!(place.ok(&["backup", "-n", "a"]).err.contains("the log's file could not be written: No space left"));
}

#[test]
fn a_log_whose_directory_is_deleted_goes_on_in_a_new_one() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    configure(&place, &receiver, port, "[jobs.a]\nsource = './a.db'\nschedule = '@yearly'\n");
    let settings = fs::read_to_string(place.path("kronos.toml")).unwrap();
    place.write("kronos.toml", &settings.replace("./kronos.log", "./log/kronos.log"));
    fs::create_dir(place.path("log")).unwrap();
    let daemon = Running::start(&place, port);
    until("it has written", || fs::metadata(place.path("log/kronos.log")).is_ok_and(|file| file.len() > 0));
    fs::remove_dir_all(place.path("log")).unwrap();
    daemon.stop();
    let log = fs::read_to_string(place.path("log/kronos.log")).unwrap();
    assert!(log.contains("daemon.stopping"), "{log}");
}

#[test]
fn a_log_that_is_a_pipe_without_a_reader_keeps_nobody_waiting() {
    let (place, receiver, port) = (Place::new(), Receiver::new(), free_port());
    configure(&place, &receiver, port, "[jobs.a]\nsource = './a.db'\nschedule = '@yearly'\n");
    assert!(std::process::Command::new("mkfifo").arg(place.path("kronos.log")).status().unwrap().success());
    let why = "the log's file could not be opened";
    let refused = place.run(&["daemon"]);
    assert!(refused.code != 0 && refused.err.contains(why) && refused.err.contains("a pipe that nobody reads"));
    // Nobody misses a backup for want of a log.
    let warned = place.run(&["backup", "-n", "a"]);
    assert!(warned.code == 3 && warned.err.contains(why), "{}", warned.err);
}
