//! Runs by hand or by cron: hooks, notifications, figures, the log and the audit log, exactly as with
//! the daemon; and one run of a job at a time.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::Place;
use crate::common::receiver::Receiver;

/// A place with a job `app` that tells of everything.
fn place(receiver: &Receiver, more: &str) -> Place {
    let place = Place::new();
    place.database("app.db", 50);
    place.write(
        "kronos.toml",
        &format!(
            "[databases.sqlite]\nhost = '.'\ndatabases = ['app.db']\n[storages.main]\nurl = './repo'\n\
             [jobs.app]\ndatabase = 'sqlite'\nschedule = '0 3 * * *'\n{more}\n\
             [notify.ops]\nwebhook = {{ url = '{}' }}\nping = {{ url = '{}' }}\n\
             on = ['failure', 'recovered', 'success', 'warning']\n\
             [metrics]\ntextfile = './kronos.prom'\n[log]\nfile = './kronos.log'\nformat = 'json'\n",
            receiver.url("hook"),
            receiver.url("ping")
        ),
    );
    place
}

fn audit(place: &Place) -> Vec<Value> {
    let text = fs::read_to_string(place.path("home/.local/state/kronos/audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn deeds(place: &Place) -> Vec<String> {
    let told = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        format!("{} {} {}", text("action"), text("subject"), text("outcome"))
    };
    audit(place).iter().map(told).collect()
}

/// The one database that was backed up cannot be read any more; gives the way back.
fn broken(place: &Place) -> PathBuf {
    let aside = place.path("aside.db");
    fs::rename(place.path("app.db"), &aside).unwrap();
    aside
}

#[test]
fn a_failure_and_its_end_are_told_and_all_that_goes_along_is_there() {
    let receiver = Receiver::new();
    let hooks = "hooks = { before = 'cat > before.json', after = 'echo $KRONOS_OUTCOME > after.txt', \
                 on_failure = ['sh', '-c', 'echo $KRONOS_HOOK > failed.txt'] }";
    let place = place(&receiver, hooks);
    place.ok(&["backup"]);
    let before: Value = serde_json::from_slice(&fs::read(place.path("before.json")).unwrap()).unwrap();
    assert_eq!((before["schema"].as_str(), before["job"].as_str()), (Some("kronos.run/1"), Some("app")));
    assert_eq!(fs::read_to_string(place.path("after.txt")).unwrap(), "succeeded\n");
    let aside = broken(&place);
    assert_eq!(place.run(&["backup"]).code, 5);
    assert_eq!(fs::read_to_string(place.path("failed.txt")).unwrap(), "on_failure\n");
    fs::rename(aside, place.path("app.db")).unwrap();
    place.ok(&["schedule", "run", "app"]);
    assert_eq!(receiver.occasions(), ["success", "failure", "recovered", "success"]);
    let pings: Vec<String> = receiver.all().into_iter().map(|(request, _)| request).collect();
    let pings: Vec<&str> = pings
        .iter()
        .filter_map(|ping| ping.strip_prefix("POST /ping"))
        .map(|ping| ping.split('?').next().unwrap())
        .collect();
    assert_eq!(pings, ["/start", "", "/start", "/fail", "/start", ""]);

    let page = fs::read_to_string(place.path("kronos.prom")).unwrap();
    for line in [
        "kronos_backup_runs_total{kronos_job=\"app\",ended=\"failed\"} 1",
        "kronos_backup_runs_total{kronos_job=\"app\",ended=\"succeeded\"} 2",
        "kronos_storage_up{storage=\"main\"} 1",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    assert!(page.contains("kronos_storage_request_duration_seconds_count{storage=\"main\",request=\"put\"}"), "{page}");
    // Each run's lines carry its id, which is that of the audit log.
    let entries = audit(&place);
    let run = entries.last().unwrap()["run"].as_str().unwrap();
    let log = fs::read_to_string(place.path("kronos.log")).unwrap();
    let of_run = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["span"]["id"] == run;
    let lines: Vec<&str> = log.lines().filter(of_run).collect();
    assert!(lines.len() >= 3 && lines.last().unwrap().contains("\"event\":\"run.finished\""), "{log}");
}

#[test]
fn a_hook_that_fails_keeps_the_job_from_running() {
    let receiver = Receiver::new();
    let place = place(&receiver, "hooks = { before = 'echo not today >&2; exit 3' }");
    place.run(&["backup"]).fails(1, "a hook failed", "");
    assert!(!place.path("repo").join("kronos").exists());
    assert_eq!(receiver.occasions(), ["failure"]);
    assert!(receiver.all().iter().any(|(_, body)| body.contains("not today")));
}

#[test]
fn a_hook_that_fails_afterwards_is_a_warning() {
    let receiver = Receiver::new();
    let place = place(&receiver, "hooks = { after = 'echo it does not start >&2; exit 1' }");
    let ran = place.run(&["backup"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("it does not start") && ran.out.contains("backed up to"), "{ran:?}");
    let row = &place.json(&["schedule", "list"])["jobs"][0];
    assert_eq!(row["last"]["ended"], "with warnings", "{row}");
    assert_eq!(receiver.occasions(), ["warning", "success"]);
}

#[test]
fn who_says_nothing_and_who_holds_a_lock_keep_no_backup_waiting() {
    let receiver = Receiver::new();
    let place = place(&receiver, "limits = { timeout = '8s' }");
    // It accepts connections, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = fs::read_to_string(place.path("kronos.toml")).unwrap();
    let ping = format!("ping = {{ url = 'http://{}' }}\ntimeout = '12s'\n", silent.local_addr().unwrap());
    place.write("kronos.toml", &(config + "[notify.silent]\n" + &ping));
    let state = place.path("home/.local/state/kronos");
    fs::create_dir_all(&state).unwrap();
    let lock = fs::File::create(state.join("audit.lock")).unwrap();
    lock.lock().unwrap();
    let begun = Instant::now();
    let ran = place.run(&["backup"]);
    assert!(ran.code == 3 && ran.out.contains("backed up to"), "{ran:?}");
    assert!(ran.err.contains("audit log: ") && ran.err.contains("silent"), "{ran:?}");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

#[test]
fn whoever_cannot_be_told_costs_no_backup() {
    let receiver = Receiver::new();
    let place = place(&receiver, "");
    receiver.answer(503);
    let ran = place.run(&["backup"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.err.contains("warning: notifications: ops by webhook: ") && ran.out.contains("backed up to"),
        "{ran:?}"
    );
    assert!(!ran.err.contains(&receiver.url("hook")), "the address may be a secret: {}", ran.err);
    // It waits, and comes with the next run when that is due.
    let state = fs::read_to_string(place.path("home/.local/state/kronos/notifications.json")).unwrap();
    assert!(state.contains("app: backup done"), "{state}");
    receiver.answer(200);
    place.ok(&["notify", "test"]);
    receiver.answer(404);
    let ran = place.run(&["notify", "test", "ops"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("ops by webhook: failed: ") && ran.out.contains("ops by ping: failed: "), "{ran:?}");
    place.run(&["notify", "test", "op"]).fails(5, "nobody of this name", "did you mean ops?");
}

#[test]
fn one_who_cannot_be_told_does_not_silence_the_others() {
    let receiver = Receiver::new();
    let place = place(&receiver, "");
    let config = fs::read_to_string(place.path("kronos.toml")).unwrap();
    place.write("kronos.toml", &format!("{config}[notify.other]\nslack = {{ webhook_env = 'NOT_SET' }}\n"));
    let ran = place.run(&["backup"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("NOT_SET") && ran.err.contains("other"), "{ran:?}");
    assert_eq!(receiver.occasions(), ["success"]);
}

#[test]
fn deeds_are_written_down_and_a_change_of_them_is_seen() {
    let receiver = Receiver::new();
    let place = place(&receiver, "keep = { last = 2 }");
    place.write("one", "first secret\n");
    place.write("two", "second secret\n");
    place.run(&["audit", "verify"]).fails(5, "there is no audit log", "");
    let key = ["--passphrase-file", "one"];
    place.ok(&[&["init"], &key[..]].concat());
    place.ok(&[&["backup"], &key[..]].concat());
    place.ok(&[&["backup"], &key[..]].concat());
    place.ok(&[&["hold", "latest"], &key[..]].concat());
    place.ok(&[&["release", "latest"], &key[..]].concat());
    place.ok(&[&["restore", "latest", "--to", "again.db"], &key[..]].concat());
    place.ok(&[&["restore", "latest", "--to", "again.db", "--replace", "--dry-run"], &key[..]].concat());
    assert_eq!(place.run(&[&["restore", "latest", "--to", "again.db"], &key[..]].concat()).code, 1);
    place.ok(&[&["prune"], &key[..]].concat());
    place.ok(&[&["forget", "latest"], &key[..]].concat());
    place.ok(&[&["export", "latest", "plain"], &key[..]].concat());
    place.ok(&[&["key", "add", "--new-passphrase-file", "two"], &key[..]].concat());
    place.ok(&[&["key", "list"], &key[..]].concat());
    place.ok(&["query", "sqlite", "SELECT 'hidden text'", "--database", "app.db"]);
    assert_eq!(place.run(&["query", "sqlite", "DROP TABLE orders", "--database", "app.db"]).code, 2);
    place.ok(&["schedule", "pause", "app"]);
    place.ok(&["list", "--passphrase-file", "one"]);
    let wanted = [
        "init  started",
        "init  succeeded",
        "backup app started",
        "backup app succeeded",
        "backup app started",
        "backup app succeeded",
        "hold latest started",
        "hold latest succeeded",
        "hold latest started",
        "hold latest succeeded",
        "restore app started",
        "restore app succeeded",
        "restore app started",
        "restore app failed",
        "prune app started",
        "prune app succeeded",
        "forget latest started",
        "forget latest succeeded",
        "export latest started",
        "export latest succeeded",
        "key add started",
        "key add succeeded",
        "query sqlite started",
        "query sqlite succeeded",
        "query sqlite started",
        "query sqlite refused",
        "schedule app started",
        "schedule app succeeded",
    ];
    assert_eq!(deeds(&place), wanted);
    // A restore is told of as well.
    let of_restore = |(_, body): &(String, String)| {
        body.contains("\"occasion\":\"failure\"") && body.contains("\"operation\":\"restore\"")
    };
    assert!(receiver.all().iter().any(of_restore), "{:?}", receiver.all());
    let who = &audit(&place)[0]["who"];
    assert!(who["user"].is_string() && who["host"].is_string() && who["pid"].is_u64(), "{who}");
    let verified = place.json(&["audit", "verify"]);
    assert_eq!((verified["entries"].as_u64(), verified["problems"].as_array().map(Vec::len)), (Some(28), Some(0)));
    let last = format!("{}:{}", verified["last"]["seq"], verified["last"]["hash"].as_str().unwrap());
    place.ok(&["audit", "verify", "--known", &last]);

    let file = place.path("home/.local/state/kronos/audit.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    for secret in ["first secret", "second secret", "hidden text", "DROP TABLE"] {
        assert!(!text.contains(secret), "{secret}");
    }
    fs::write(&file, text.replacen("\"action\":\"forget\"", "\"action\":\"backup\"", 1)).unwrap();
    let ran = place.run(&["audit", "verify"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.out.contains("problem: ") && ran.out.contains("audit.jsonl:17"), "{ran:?}");
}

#[test]
fn without_a_configuration_nothing_is_left_behind() {
    let place = Place::new();
    place.database("app.db", 50);
    place.ok(&["backup", "app.db", "--to", "repo"]);
    place.ok(&["restore", "latest", "--from", "repo", "--to", "again.db"]);
    assert!(!place.path("home/.local/state/kronos/audit.jsonl").exists());
    assert!(!place.path("home/.local/state/kronos/jobs.db").exists());
}

#[test]
fn of_a_job_one_run_goes_on_at_a_time() {
    let receiver = Receiver::new();
    let place = place(&receiver, "hooks = { before = 'touch begun; while ! test -e go; do sleep 0.05; done' }");
    let first = place.command(&["backup"]).stdout(Stdio::null()).spawn().unwrap();
    while !place.path("begun").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let running = place.json(&["schedule", "list"]);
    assert!(running["jobs"][0]["running"]["by"].as_str().unwrap().starts_with("kronos backup of "), "{running}");
    place.run(&["backup", "-n", "app"]).fails(1, "a run of this job goes on already", "--wait");
    let second = place.command(&["backup", "-n", "app", "--wait", "1m"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    place.write("go", "");
    assert!(first.wait_with_output().unwrap().status.success());
    assert!(second.wait_with_output().unwrap().status.success());
    assert_eq!(place.json(&["list"])["backups"].as_array().unwrap().len(), 2);
}

#[test]
fn a_run_that_takes_too_long_is_stopped_and_says_so() {
    let receiver = Receiver::new();
    let place = place(&receiver, "limits = { timeout = '1s' }\nhooks = { before = 'sleep 5' }");
    place.run(&["backup"]).fails(1, "the run took longer than its timeout", "limits.timeout");
    assert_eq!(receiver.occasions(), ["failure"]);
}

#[test]
fn the_schedule_is_shown_and_jobs_are_paused() {
    let receiver = Receiver::new();
    let place = place(&receiver, "timezone = 'Europe/Berlin'");
    let never = &place.json(&["schedule", "list"])["jobs"][0];
    assert!(
        never["last"].is_null() && never["next_due"].is_string() && never["timezone"] == "Europe/Berlin",
        "{never}"
    );
    place.ok(&["backup"]);
    assert_eq!(place.json(&["schedule", "list", "app"])["jobs"][0]["last"]["ended"], "succeeded");
    let next = place.json(&["schedule", "next", "--count", "3"]);
    assert_eq!(next["runs"].as_array().unwrap().len(), 3);
    place.ok(&["schedule", "pause", "app"]);
    let paused = &place.json(&["schedule", "list"])["jobs"][0];
    assert!(paused["paused"].is_string() && paused["next_due"].is_null(), "{paused}");
    // By hand it runs all the same.
    place.ok(&["backup"]);
    place.ok(&["schedule", "resume", "app"]);
    assert!(place.json(&["schedule", "list"])["jobs"][0]["paused"].is_null());
    place.run(&["schedule", "pause", "ap"]).fails(5, "no such job", "did you mean app?");
}
