//! A repository that was put in the place of another is noticed.
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::Place;

#[test]
fn another_repository_in_its_place_is_refused_until_it_is_accepted() {
    let place = Place::new();
    place.database("app.db", 50);
    place.ok(&["backup", "app.db", "--to", "repo"]);
    let known = place.path("home/.local/state/kronos/known.json");
    assert_eq!(fs::metadata(&known).unwrap().permissions().mode() & 0o777, 0o600);
    place.ok(&["init", "--to", "other"]);
    fs::remove_dir_all(place.path("repo")).unwrap();
    fs::rename(place.path("other"), place.path("repo")).unwrap();
    let backup = ["backup", "app.db", "--to", "repo"];
    place.run(&backup).fails(1, "another repository", "--accept-new-repository");
    place.ok(&[&backup[..], &["--accept-new-repository"]].concat());
    place.ok(&backup);
}

#[test]
fn a_repository_that_is_gone_is_not_made_anew_by_itself() {
    let place = Place::new();
    place.database("app.db", 50);
    let backup = ["backup", "app.db", "--to", "disk/repo"];
    place.ok(&backup);
    fs::rename(place.path("disk"), place.path("unmounted")).unwrap();
    for args in
        [&backup[..], &["init", "--to", "disk/repo"], &["copy", "--from", "unmounted/repo", "--to", "disk/repo"]]
    {
        place.run(args).fails(1, "is gone", "hint: check that its disk is mounted");
        assert!(!place.path("disk").exists(), "{args:?}");
    }
    place.ok(&[&backup[..], &["--accept-new-repository"]].concat());
}

#[test]
fn without_a_home_nothing_is_remembered_and_all_works() {
    let place = Place::new();
    place.database("app.db", 50);
    for home in ["/proc/nonexistent", "", "relative"] {
        let ran = place.run_with(&[("HOME", home)], &["backup", "app.db", "--to", "repo"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    place.write("home/.local/state/kronos/known.json", "{ damaged");
    place.ok(&["list", "--from", "repo"]);
}
