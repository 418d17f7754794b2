//! The memory of the whole process, whatever the size of a database.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use crate::common::Place;
use kronos_core::testing::add_giant_backup;
use kronos_core::{Credentials, Repository, RunContext};

/// The limit that is set unless told otherwise.
const LIMIT: u64 = 256 << 20;

/// Runs the program, which must succeed; gives the peak of its memory.
fn peak_of(place: &Place, args: &[&str]) -> u64 {
    let mut child = place.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        // The system's own peak, so it does not matter when it is asked; only the last moment may be missed.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let shown = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = shown.unwrap_or(peak);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut told = String::new();
    child.stderr.unwrap().read_to_string(&mut told).unwrap();
    assert!(ended.success(), "kronos {args:?}\n{told}");
    peak << 10
}

/// The index of 1 TB: 4,194,304 chunks in 32,768 packs. The packs have their sizes, but no content.
#[test]
fn the_index_of_a_terabyte_fits_into_the_limit() {
    let place = Place::new();
    place.database("small.db", 100);
    place.ok(&["backup", "small.db", "--to", "repo"]);
    let repo = place.path("repo");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let run = RunContext::new();
        let storage = kronos_storage::local(&repo).unwrap();
        let repository = Repository::open(storage, &Credentials::None, &run).await.unwrap();
        let pack = |key: &kronos_core::Key, size| {
            let path = repo.join(key.as_str());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create(path).unwrap().set_len(size).unwrap();
        };
        add_giant_backup(&repository, "small", 1 << 22, &run, pack).await.unwrap();
    });
    let shown = place.json(&["list", "--from", "repo"]);
    assert!(shown.to_string().contains("1099511627776"), "{shown}");

    for args in [
        &["backup", "small.db", "--to", "repo"][..],
        &["check", "--from", "repo"],
        &["prune", "--from", "repo", "--keep-last", "2", "--compact", "--dry-run"],
        &["prune", "--from", "repo", "--keep-last", "1"],
    ] {
        let peak = peak_of(&place, args);
        eprintln!("{args:?}: {} MiB", peak >> 20);
        assert!(peak < LIMIT, "kronos {args:?} took {} MiB at its peak", peak >> 20);
    }
}
