//! Several storages, several jobs: one that fails does not stop the rest.
use std::fs;

use crate::common::Place;

#[test]
fn each_storage_gets_the_backup() {
    let place = Place::new();
    place.database("app.db", 500);
    let to = ["backup", "app.db", "--to", "one", "--to", "two", "--to", "three"];
    place.ok(&to);
    place.change("app.db", "DELETE FROM orders WHERE id > 400");
    place.ok(&to);
    for (n, repo) in ["one", "two", "three"].into_iter().enumerate() {
        assert_eq!(place.json(&["list", "--from", repo])["backups"].as_array().unwrap().len(), 2);
        let target = format!("x{n}.db");
        place.ok(&["restore", "latest", "--from", repo, "--to", &target]);
        assert_eq!(place.rows(&target), 400);
        place.ok(&["check", "--read-data", "--from", repo]);
    }
}

#[test]
fn a_storage_that_is_down_does_not_fail_the_others() {
    let place = Place::new();
    place.database("app.db", 50);
    place.write("full/notes.txt", "x");
    for to in [["full", "good"], ["good", "full"]] {
        let ran = place.run(&["backup", "app.db", "--to", to[0], "--to", to[1]]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.contains("backed up to") && ran.out.contains("failed on"), "{ran:?}");
        assert!(ran.err.contains("holds no repository"), "{ran:?}");
    }
    assert_eq!(place.json(&["list", "--from", "good"])["backups"].as_array().unwrap().len(), 2);
}

#[test]
fn a_job_that_fails_does_not_stop_the_rest() {
    let place = Place::new();
    place.database("a.db", 50);
    place.database("c.db", 60);
    place.write(
        "kronos.toml",
        "[storages.main]\nurl = \"repo\"\n[storages.off]\nurl = \"off\"\n\
         [jobs.a]\nsource = \"a.db\"\nkeep = { last = 1 }\n[jobs.b]\nsource = \"b.db\"\n\
         [jobs.\"C d\"]\nsource = \"c.db\"\nstorages = [\"off\"]\nstrategy = \"full\"\n",
    );
    let ran = place.run(&["backup", "--jobs", "3"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("b failed") && ran.err.contains("no such file"), "{ran:?}");
    assert!(ran.out.contains("C d") && ran.out.contains("done"), "{ran:?}");
    let jobs = |repo: &str| {
        let listing = place.json(&["list", "--from", repo]);
        let mut jobs: Vec<String> =
            listing["backups"].as_array().unwrap().iter().map(|b| b["job"].as_str().unwrap().to_owned()).collect();
        jobs.sort_by_key(|job| job.to_lowercase());
        jobs
    };
    assert_eq!((jobs("main"), jobs("off")), (vec!["a".to_owned()], vec!["a".to_owned(), "C d".to_owned()]));
    let ran = place.ok(&["backup", "-n", "a", "-n", "C d"]);
    assert!(ran.err.contains("forgot ") && ran.err.contains("last = 1"), "{ran:?}");
    assert_eq!((jobs("main"), jobs("off")), (vec!["a".into()], vec!["a".into(), "C d".into(), "C d".into()]));
    place.ok(&["backup", "-n", "C d", "-n", "C d"]);
    assert_eq!(jobs("off").len(), 4, "named twice it runs once");
    assert_eq!(place.run(&["backup", "-n", "b"]).code, 5, "a single job fails as its error says");
    place.run(&["list"]).fails(2, "several storages", "main, off");

    let pruned = place.ok(&["prune", "--from", "off"]);
    assert!(pruned.out.contains("kept (last") && pruned.err.contains("C d: left alone"), "{pruned:?}");
}

/// After a backup, each storage that has it lets old ones go by the job's rules; one that is down
/// does so later, once it has been caught up.
#[test]
fn old_backups_go_after_a_new_one() {
    let place = Place::new();
    place.database("a.db", 50);
    place.write(
        "kronos.toml",
        "[storages.main]\nurl = \"repo\"\n[storages.off]\nurl = \"off\"\n\
         [jobs.a]\nsource = \"a.db\"\nkeep = { last = 2 }\n",
    );
    let held = |repo: &str| {
        let listing = place.json(&["list", "--from", repo]);
        // A copy has an id of its own.
        let begun = listing["backups"].as_array().unwrap().iter().map(|b| b["started"].as_str().unwrap().to_owned());
        begun.collect::<Vec<_>>()
    };
    let backup = || place.json(&["backup"])["jobs"][0].clone();
    for _ in 0..2 {
        assert_eq!(backup()["storages"][0]["forgotten"].as_array().unwrap().len(), 0);
    }
    let first = held("repo")[0].clone();
    std::fs::rename(place.path("off"), place.path("away")).unwrap();
    place.write("off", "no directory");
    let ran = place.run(&["backup", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!((held("repo").len(), held("repo").contains(&first)), (2, false));
    std::fs::remove_file(place.path("off")).unwrap();
    std::fs::rename(place.path("away"), place.path("off")).unwrap();
    assert_eq!(held("off").len(), 2, "what is down is left as it was");
    let done = backup();
    assert_eq!(done["storages"][1]["forgotten"].as_array().unwrap().len(), 2, "{done}");
    assert_eq!(held("repo"), held("off"));
    place.ok(&["check", "--read-data", "--from", "off"]);
}

#[test]
fn validate_reports_all_problems_at_once() {
    let place = Place::new();
    place.database("a.db", 5);
    place.write("full/notes.txt", "x");
    place.write(
        "kronos.toml",
        "[storages.main]\nurl = \"repo\"\n[storages.bad]\nurl = \"full\"\n[storages.worse]\nurl = \"ftp://x\"\n\
         [jobs.a]\nsource = \"a.db\"\n[jobs.b]\nsource = \"b.db\"\n",
    );
    let ran = place.run(&["validate"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in ["no such file", "holds no repository", "unknown storage scheme", "3 problems", "connected in"] {
        assert!(ran.out.contains(part), "{part}: {ran:?}");
    }
    let ran = place.run(&["validate", "--offline"]);
    assert!(ran.code == 1 && ran.out.contains("1 problem\n"), "{ran:?}");
    assert!(!place.path("repo").exists(), "what was made to try it is gone again");
    place.ok(&["backup", "a.db", "--to", "repo", "--job", "a"]);
    place.run(&["validate"]);
    assert_eq!(
        fs::read_dir(place.path("repo/probe")).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count(),
        0
    );
    for args in [&["backup", "a.db", "--to", "mian"][..], &["list", "--from", "mian"]] {
        place.run(args).fails(5, "no such storage", "did you mean main?");
        assert!(!place.path("mian").exists());
    }
}

#[test]
fn all_storages_get_the_same_data_and_one_that_was_away_catches_up() {
    let place = Place::new();
    place.database("app.db", 500);
    let to = ["backup", "app.db", "--to", "one", "--to", "two"];
    let shown = place.json(&to);
    let ids = |repo: &str| {
        let listing = place.json(&["list", "--from", repo]);
        let backups = listing["backups"].as_array().unwrap().clone();
        backups.iter().map(|b| b["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("one"), ids("two"));
    let outcomes = |shown: &serde_json::Value| {
        let storages = shown["jobs"][0]["storages"].as_array().unwrap().clone();
        storages
            .iter()
            .map(|s| (s["outcome"].as_str().unwrap().to_owned(), s["caught_up"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&shown), [("backed-up".to_owned(), 0), ("backed-up".to_owned(), 0)]);
    let packs = |repo: &str| {
        let files = place.everything().into_iter();
        files
            .filter_map(|(path, bytes)| {
                let path = path.to_string_lossy().into_owned();
                let at = path.find(&format!("{repo}/jobs/"))?;
                path.contains("/packs/").then(|| (path[at + repo.len()..].to_owned(), bytes))
            })
            .collect::<Vec<_>>()
    };
    assert!(!packs("one").is_empty() && packs("one") == packs("two"));

    place.change("app.db", "DELETE FROM orders WHERE id > 400");
    place.ok(&["backup", "app.db", "--to", "one"]);
    place.change("app.db", "DELETE FROM orders WHERE id > 300");
    assert_eq!(outcomes(&place.json(&to)), [("backed-up".to_owned(), 0), ("backed-up".to_owned(), 1)]);
    place.ok(&["backup", "app.db", "--to", "two"]);
    let ran = place.ok(&to);
    assert!(ran.out.contains("1 backup that it had missed"), "{ran:?}");
    assert_eq!((ids("one").len(), ids("two").len()), (5, 5));
    for repo in ["one", "two"] {
        place.ok(&["check", "--read-data", "--from", repo]);
        place.ok(&["restore", "latest", "--from", repo, "--to", "x.db", "--replace"]);
        assert_eq!(place.rows("x.db"), 300);
    }
}

#[test]
fn a_storage_with_other_keys_gets_a_copy() {
    let place = Place::new();
    place.database("app.db", 50);
    place.ok(&["backup", "app.db", "--to", "one"]);
    place.ok(&["init", "--to", "other"]);
    let to = ["backup", "app.db", "--to", "one", "--to", "other", "--to", "new", "--slow-storage", "drop"];
    let dry = place.ok(&[&to[..], &["--dry-run"]].concat());
    assert!(dry.out.contains("would copy to") && dry.out.matches("would back up to").count() == 2, "{dry:?}");
    let ran = place.ok(&to);
    assert!(ran.out.contains("copied to") && ran.out.matches("backed up to").count() == 2, "{ran:?}");
    place.ok(&["check", "--read-data", "--from", "other"]);
    place.ok(&["restore", "latest", "--from", "other", "--to", "x.db"]);
    assert_eq!(place.rows("x.db"), 50);
}
