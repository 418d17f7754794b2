//! The real program, killed at any moment and at each step; stopped until it is taken for dead; onto a
//! full disk.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use mongodb::bson::{doc, rawdoc};

use crate::common::Place;
use crate::common::small::{Small, mounting};
use crate::proxy::{Proxy, Trouble};
use crate::server::{Database, Server, assert_same, on};
use crate::url;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![on("killed_at_any_moment", killed), on("stopped_until_it_is_taken_for_dead", stopped)];
    trials.extend(mounting(vec![on("onto_a_full_disk", full_disk)]));
    trials
}

/// Seconds after which a restore is taken for dead.
const SILENCE: u64 = 1;

fn ok(place: &Place, args: &[&str]) {
    let ran = place.run_with(&[], args);
    assert!(ran.code == 0 || ran.code == 3, "kronos {args:?}\n{}\n{}", ran.out, ran.err);
}

fn start(place: &Place, args: &[&str]) -> Child {
    place.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn shop(server: &Server) -> Database {
    let source = server.new_database();
    for name in ["a", "b", "c"] {
        let body = |n: i32| format!("{name} {n} ").repeat(50);
        source.insert(name, (0..300).map(|n| rawdoc! { "_id": n, "x": body(n) }).collect()).await;
    }
    source.run(doc! { "createIndexes": "a", "indexes": [{ "key": { "x": 1 }, "name": "x" }] }).await;
    source.run(doc! { "create": "v", "viewOn": "a", "pipeline": [] }).await;
    source
}

async fn old(server: &Server) -> Database {
    let target = server.new_database();
    for name in ["a", "c", "gone"] {
        target.insert(name, vec![rawdoc! { "_id": 1, "old": name }]).await;
    }
    target
}

/// The URL of a database through a proxy.
fn through(proxy: &Proxy, database: &Database) -> String {
    let to = url(database).replace(&database.server.host, &format!("127.0.0.1:{}", proxy.port));
    format!("{to}&silence={SILENCE}")
}

async fn nothing_beside(target: &Database, what: &str) {
    let names = target.names().await;
    assert!(!names.iter().any(|name| name.starts_with("kronos-restore.")), "{what}: {names:?}");
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success(), "{name}");
}

/// A killed backup is none; a killed restore leaves the old or, after the next one, the new.
async fn killed(server: Server) {
    let (place, source) = (Place::new(), shop(&server).await);
    let expected = source.all().await;
    ok(&place, &["backup", &url(&source), "--to", "repo"]);
    let restore = |to: &str| ["restore", "latest", "--from", "repo", "--to", to, "--replace"].map(str::to_owned);
    for words in [&["find"][..], &["find", "find", "find"]] {
        let proxy = Proxy::after_words(server.port(), Trouble::Vanished, words);
        let mut child = start(&place, &["backup", &through(&proxy, &source), "--to", "repo"]);
        wait_for(&proxy);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let listed = place.run_with(&[], &["list", "--from", "repo", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed["backups"].as_array().map(Vec::len), Some(1), "{listed}");
    let steps: &[&[&str]] = &[
        &["insert"],
        &["createIndexes"],
        &["swapping"],
        &["renameCollection"],
        &["renameCollection", "renameCollection", "renameCollection"],
        &["renameCollection", "viewOn"],
        &["done\0"],
    ];
    for words in steps {
        let what = format!("killed at {words:?}");
        let target = old(&server).await;
        let proxy = Proxy::after_words(server.port(), Trouble::Vanished, words);
        let args = restore(&through(&proxy, &target));
        let mut child = start(&place, &args.each_ref().map(String::as_str));
        wait_for(&proxy);
        child.kill().unwrap();
        child.wait().unwrap();
        drop(proxy);
        tokio::time::sleep(Duration::from_millis(SILENCE * 1000 + 100)).await;
        let again = restore(&url(&target));
        ok(&place, &again.each_ref().map(String::as_str));
        assert_same(&target.all().await, &expected, &what);
        nothing_beside(&target, &what).await;
    }
    ok(&place, &["check", "--read-data", "--from", "repo"]);
}

fn wait_for(proxy: &Proxy) {
    let begun = Instant::now();
    while !proxy.has_begun() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was never said");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Another one settles what it left and makes its own; when it wakes up, it leaves that alone.
async fn stopped(server: Server) {
    let (place, source, other) = (Place::new(), shop(&server).await, server.new_database());
    for name in ["a", "b", "z"] {
        other.insert(name, vec![rawdoc! { "_id": 1, "other": name }]).await;
    }
    let expected = other.all().await;
    ok(&place, &["backup", &url(&source), "--to", "repo"]);
    ok(&place, &["backup", &url(&other), "--to", "other"]);
    for words in [
        &["insert"][..],
        &["createIndexes"],
        &["swapping"],
        &["renameCollection"],
        &["renameCollection", "renameCollection", "renameCollection"],
        &["renameCollection", "viewOn"],
    ] {
        let what = format!("stopped at {words:?}");
        let target = old(&server).await;
        let (told, pid) = std::sync::mpsc::channel::<String>();
        let proxy = Proxy::doing(server.port(), words, move || {
            let pid = pid.recv().unwrap();
            assert!(std::process::Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        });
        let to = through(&proxy, &target);
        let mut child = start(&place, &["restore", "latest", "--from", "repo", "--to", &to, "--replace"]);
        told.send(child.id().to_string()).unwrap();
        wait_for(&proxy);
        tokio::time::sleep(Duration::from_millis(SILENCE * 1000 + 300)).await;
        let settled = ["restore", "latest", "--from", "other", "--to", &url(&target), "--replace"];
        let ran = place.run_with(&[], &settled);
        signal(&child, "-CONT");
        let slept = child.wait().unwrap();
        assert!(ran.code == 0 || ran.code == 3, "{what}: {ran:?}");
        assert!(!slept.success(), "{what}: it went on");
        // What it said before its end may still arrive. The test server makes a collection of a word that
        // comes too late; MongoDB does not.
        let ended = Instant::now();
        loop {
            for name in target.names().await.into_iter().filter(|name| name.starts_with("kronos-restore.")) {
                assert!(target.documents(&name).await.is_empty(), "{what}: {name}");
                target.run(doc! { "drop": name }).await;
            }
            let found = target.all().await;
            if found == expected || ended.elapsed() > Duration::from_secs(20) {
                assert_same(&found, &expected, &what);
                break;
            }
        }
    }
}

/// Nothing is committed, and once there is room the same backup works.
async fn full_disk(server: Server) {
    let place = Place::new();
    let small = Small::mount(place.path("small"), 4).unwrap();
    let source = server.new_database();
    source.insert("t", vec![rawdoc! { "_id": -1 }]).await;
    ok(&place, &["backup", &url(&source), "--to", "small/repo"]);
    let before = source.all().await;
    let noise = |n: i32| -> String {
        let one = |m: i32| format!("{:?}", kronos_core::Digest::of(format!("{n} {m}").as_bytes()));
        (0..200).map(one).collect()
    };
    source.insert("t", (0..900).map(|n| rawdoc! { "_id": n, "x": noise(n) }).collect()).await;
    let full = place.run_with(&[], &["backup", &url(&source), "--to", "small/repo"]);
    assert!(full.code == 1 && full.err.contains("No space left on device"), "{full:?}");
    let listed = place.run_with(&[], &["list", "--from", "small/repo", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed["backups"].as_array().map(Vec::len), Some(1));
    small.grow(100);
    ok(&place, &["backup", &url(&source), "--to", "small/repo"]);
    ok(&place, &["check", "--read-data", "--from", "small/repo"]);
    let target = server.new_database();
    ok(&place, &["restore", "latest", "--from", "small/repo", "--to", &url(&target)]);
    assert_same(&target.all().await, &source.all().await, "once there is room");
    ok(&place, &["restore", "latest~1", "--from", "small/repo", "--to", &url(&target), "--replace"]);
    assert_same(&target.all().await, &before, "the one before");
}
