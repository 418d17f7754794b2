//! Ctrl-C stops cleanly and says that the next run resumes.
use std::process::Stdio;
use std::time::Duration;

use crate::common::Place;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn an_interrupted_backup_says_so_and_the_next_one_works() {
    let place = Place::new();
    place.database("app.db", 50);
    // A lock keeps the backup waiting for as long as the test needs.
    let lock = Connection::open(place.path("app.db")).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut command = place.command(&["backup", "app.db", "--to", "repo"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(130), "{err}");
    assert!(err.contains("stopping") && err.contains("the next run resumes"), "{err}");
    drop(lock);
    place.ok(&["backup", "app.db", "--to", "repo"]);
}
