//! A repository that was put in the place of another is noticed.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::Place;

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
