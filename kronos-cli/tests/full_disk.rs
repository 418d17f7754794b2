//! A full disk, met by the real program: the error says so, what was there is whole, and all
//! works again once there is room. Needs to mount a small tmpfs, and is ignored with a reason where
//! that is not allowed.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::fs;

use common::Place;
use common::small::{Small, mounting};
use libtest_mimic::{Arguments, Failed, Trial};
use rusqlite::Connection;

const MEGABYTE: u32 = 1 << 20;
/// How every such failure ends.
const FULL: &str = "No space left on device (os error 28)\nhint: make room";

fn main() {
    let tests = vec![
        Trial::test("a_backup_onto_a_full_disk_fails_and_harms_nothing", backup),
        Trial::test("a_restore_onto_a_full_disk_fails_and_leaves_the_target", restore),
    ];
    libtest_mimic::run(&Arguments::from_args(), mounting(tests)).exit();
}

/// So many megabytes of noise more.
fn grow_database(place: &Place, megabytes: u32) {
    let db = Connection::open(place.path("app.db")).unwrap();
    db.execute_batch("CREATE TABLE IF NOT EXISTS noise (id INTEGER PRIMARY KEY, bytes BLOB)").unwrap();
    db.execute("INSERT INTO noise (bytes) VALUES (randomblob(?1))", [megabytes * MEGABYTE]).unwrap();
}

fn noise(place: &Place, name: &str) -> Vec<Vec<u8>> {
    let db = Connection::open(place.path(name)).unwrap();
    let mut rows = db.prepare("SELECT bytes FROM noise ORDER BY id").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Restores a backup and compares.
fn assert_restores(place: &Place, backup: &str, expected: &[Vec<u8>]) {
    place.ok(&["restore", backup, "--from", "small/repo", "--to", "restored.db", "--replace", "-q"]);
    assert!(noise(place, "restored.db") == expected, "{backup} is another database");
}

fn assert_good(place: &Place, backups: usize) {
    let found = place.json(&["check", "--read-data", "--from", "small/repo"]);
    assert_eq!(found["problems"].as_array().map(Vec::len), Some(0), "{found}");
    assert_eq!(place.json(&["list", "--from", "small/repo"])["backups"].as_array().map(Vec::len), Some(backups));
}

fn backup() -> Result<(), Failed> {
    let place = Place::new();
    let small = Small::mount(place.path("small"), 8)?;
    grow_database(&place, 2);
    let first = noise(&place, "app.db");
    place.ok(&["backup", "app.db", "--to", "small/repo"]);

    // A pack that does not fit, and what the next attempts make of it.
    grow_database(&place, 20);
    for _ in 0..3 {
        place.run(&["backup", "app.db", "--to", "small/repo"]).fails(1, "could not be written", FULL);
        assert_good(&place, 1);
    }
    assert_restores(&place, "latest", &first);

    // No room for anything: what is there can be read, and whatever writes says why it cannot.
    let filler = small.fill();
    place.run(&["backup", "app.db", "--to", "small/repo"]).fails(1, "could not be written", FULL);
    let prune = ["prune", "--keep-last", "1", "--from", "small/repo", "--grace", "0"];
    let pruned = place.run(&prune);
    assert!(pruned.code == 0 || pruned.err.contains(FULL), "{}\n{}", pruned.out, pruned.err);
    place.run(&["hold", "latest", "--from", "small/repo"]).fails(1, "could not be written", FULL);
    assert_good(&place, 1);
    assert_restores(&place, "latest", &first);

    fs::remove_file(filler)?;
    place.run(&["backup", "app.db", "--to", "small/repo"]).fails(1, "could not be written", FULL);
    small.grow(64);
    let second = noise(&place, "app.db");
    place.ok(&["backup", "app.db", "--to", "small/repo"]);
    assert_good(&place, 2);
    assert_restores(&place, "latest", &second);
    assert_restores(&place, "latest~1", &first);
    for _ in 0..3 {
        place.ok(&prune);
    }
    assert!(place.files("small/repo", "/runs/").is_empty(), "nothing is left of the runs that failed");
    assert_good(&place, 1);
    assert_restores(&place, "latest", &second);
    Ok(())
}

fn restore() -> Result<(), Failed> {
    let place = Place::new();
    let small = Small::mount(place.path("small"), 4)?;
    grow_database(&place, 6);
    let content = noise(&place, "app.db");
    place.ok(&["backup", "app.db", "--to", "repo"]);
    let restore = ["restore", "latest", "--from", "repo", "--to", "small/app.db"];
    place.run(&restore).fails(1, "no room", "hint: make room");
    assert_eq!(fs::read_dir(&small.at)?.count(), 0, "nothing is left of it");

    // What is there stays, even though it is to be replaced.
    fs::write(small.at.join("app.db"), b"")?;
    Connection::open(small.at.join("app.db"))?.execute_batch("CREATE TABLE old (id INTEGER)")?;
    let old = fs::read(small.at.join("app.db"))?;
    place.run(&[&restore[..], &["--replace"]].concat()).fails(1, "no room", "hint: make room");
    assert!(fs::read(small.at.join("app.db"))? == old, "the target is as it was");
    assert_eq!(fs::read_dir(&small.at)?.count(), 1, "nothing is left of it");

    small.grow(32);
    place.ok(&[&restore[..], &["--replace"]].concat());
    assert!(noise(&place, "small/app.db") == content);
    Ok(())
}
