//! The whole way: back up, change, back up, compare, restore, check, prune.
use crate::common::{Place, damage};

#[test]
fn what_was_backed_up_comes_back() {
    let place = Place::new();
    place.database("app.db", 2000);
    let first = place.ok(&["backup", "app.db", "--to", "repo", "--tag", "why=test"]);
    assert!(first.err.contains("made a repository") && first.out.contains("full"), "{first:?}");
    place.change("app.db", "DELETE FROM orders WHERE id > 1500");
    place.ok(&["backup", "app.db", "--to", "repo"]);

    let listing = place.json(&["list", "--from", "repo"]);
    let backups = listing["backups"].as_array().unwrap();
    assert_eq!((backups.len(), backups[0]["strategy"].as_str()), (2, Some("full")), "oldest first");
    assert_eq!(backups[1]["parent"], backups[0]["id"]);
    assert_eq!(backups[0]["tags"]["why"], "test");

    let difference = place.json(&["diff", "latest~1", "latest", "--from", "repo"]);
    assert_eq!(difference["changed"][0]["name"], "app.db");
    let text = place.ok(&["diff", "latest", "latest", "--from", "repo"]).out;
    assert!(text.contains("nothing changed"), "{text}");

    place.ok(&["restore", "latest~1", "--from", "repo", "--to", "old.db"]);
    place.ok(&["restore", "app/latest", "--from", "repo", "--to", "sqlite:new"]);
    assert_eq!((place.rows("old.db"), place.rows("new")), (2000, 1500));
    place.ok(&["export", "latest", "out", "--from", "repo"]);
    assert_eq!(place.rows("out/app.db"), 1500);

    place.ok(&["check", "--read-data", "--from", "repo"]);
    place.ok(&["prune", "--keep-last", "1", "--from", "repo", "--grace", "0"]);
    assert_eq!(place.json(&["list", "--from", "repo"])["backups"].as_array().unwrap().len(), 1);
    place.ok(&["check", "--sample", "50%", "--from", "repo"]);
}

#[test]
fn a_held_backup_stays_until_it_is_released() {
    let place = Place::new();
    place.database("app.db", 10);
    place.ok(&["backup", "app.db", "--to", "repo"]);
    place.ok(&["backup", "app.db", "--to", "repo"]);
    place.ok(&["hold", "latest~1", "--from", "repo"]);
    place.run(&["forget", "latest~1", "--from", "repo"]).fails(1, "held", "hint: `kronos release`");
    place.ok(&["prune", "--keep-last", "1", "--from", "repo"]);
    assert!(place.ok(&["list", "--from", "repo"]).out.contains("held"));
    place.ok(&["release", "latest~1", "--from", "repo"]);
    place.ok(&["forget", "latest~1", "--from", "repo"]);
    assert_eq!(place.json(&["list", "app", "--from", "repo"])["backups"].as_array().unwrap().len(), 1);
    let ran = place.run(&["release", "latest", "--from", "repo"]);
    assert!(ran.code == 5 && ran.err.contains("is not held"), "{ran:?}");
}

#[test]
fn what_is_in_the_way_of_one_is_said_before_any_is_forgotten() {
    let place = Place::new();
    place.database("app.db", 10);
    for _ in 0..3 {
        place.ok(&["backup", "app.db", "--to", "repo"]);
    }
    let count = || place.json(&["list", "--from", "repo"])["backups"].as_array().unwrap().len();
    place.ok(&["hold", "latest", "--from", "repo"]);
    place.run(&["forget", "latest~1", "latest", "--from", "repo"]).fails(1, "held", "release");
    place.run(&["prune", "--job", "app", "--job", "ap", "--keep-last", "1", "--from", "repo"]).fails(
        5,
        "no such job",
        "did you mean app?",
    );
    assert_eq!(count(), 3);
    let ran = place.ok(&["forget", "latest~1", "latest~1", "--from", "repo"]);
    assert_eq!((ran.out.lines().count(), count()), (1, 2), "the same one twice is one: {ran:?}");
    place.run(&["prune", "--keep-last", "0", "--from", "repo"]).fails(2, "0", "");
}

#[test]
fn a_file_that_a_job_had_is_missed() {
    let place = Place::new();
    place.database("app.db", 10);
    place.database("users.db", 10);
    let job = |files: &str| {
        place.write(
            "kronos.toml",
            &format!(
                "[databases.sqlite]\nhost = '.'\ndatabases = [{files}]\n[storages.main]\nurl = './repo'\n\
                 [jobs.app]\ndatabase = 'sqlite'\n"
            ),
        );
        place.ok(&["backup"])
    };
    assert!(!job("'app.db', 'users.db'").err.contains("any more"));
    let ran = job("'app.db'");
    assert!(ran.err.contains("users.db was in the backup before this one"), "{ran:?}");
}

#[test]
fn damage_is_found_and_named() {
    let place = Place::new();
    place.database("app.db", 3000);
    place.ok(&["backup", "app.db", "--to", "repo"]);
    let packs = place.files("repo", "/packs/");
    damage(&packs[0]);
    let ran = place.run(&["check", "--read-data", "--from", "repo"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let name = packs[0].file_name().unwrap().to_str().unwrap();
    assert!(ran.out.contains(&format!("/{name}:")) && ran.out.contains("damaged: backup"), "{ran:?}");
    let ran = place.run(&["check", "--read-data", "--from", "repo", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, report["problems"].as_array().map(Vec::is_empty)), (4, Some(false)));
}

#[test]
fn a_void_entry_of_the_log_is_a_warning() {
    let place = Place::new();
    place.database("app.db", 10);
    place.ok(&["backup", "app.db", "--to", "repo"]);
    place.ok(&["backup", "app.db", "--to", "repo"]);
    damage(&place.files("repo", "/log/")[0]);
    for entry in place.files("repo", "/checkpoint/") {
        std::fs::remove_file(entry).unwrap();
    }
    for args in [&["list", "--from", "repo"][..], &["backup", "app.db", "--to", "repo"]] {
        let ran = place.run(args);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.err.contains("warning: ") && ran.err.contains("log entry"), "{ran:?}");
    }
}
