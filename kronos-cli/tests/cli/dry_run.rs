//! `--dry-run` changes nothing, anywhere.
use crate::common::Place;

#[test]
fn a_dry_run_changes_nothing() {
    let place = Place::new();
    place.database("app.db", 500);
    place.write("one", "first secret\n");
    place.write("two", "second secret\n");
    let key = ["--passphrase-file", "one"];
    for _ in 0..3 {
        place.ok(&[&["backup", "app.db", "--to", "repo"], &key[..]].concat());
    }
    place.ok(&[&["hold", "latest~1", "--from", "repo"], &key[..]].concat());
    let before = place.everything();
    let cases: &[(&[&str], &str)] = &[
        (&["backup", "app.db", "--to", "new"], "full"),
        (&["backup", "app.db", "--to", "repo", "--to", "new"], "incremental"),
        (&["backup", "app.db", "--to", "repo", "--strategy", "differential"], "parent"),
        (&["init", "--to", "new"], "can be made"),
        (&["restore", "latest", "--from", "repo", "--to", "x.db"], "free"),
        (&["export", "latest", "out", "--from", "repo"], "app.db"),
        (&["prune", "--keep-last", "1", "--from", "repo", "--grace", "0"], "would be forgotten"),
        (&["forget", "latest", "--from", "repo"], "would forget"),
        (&["hold", "latest", "--from", "repo"], "would hold"),
        (&["release", "latest~1", "--from", "repo"], "would release"),
        (&["copy", "--from", "repo", "--to", "new"], "up to 3 backups"),
        (&["key", "add", "--from", "repo", "--new-passphrase-file", "two"], "would add"),
        (&["key", "rotate", "--from", "repo", "--new-passphrase-file", "two"], "remove 1 key"),
    ];
    for (args, says) in cases {
        let ran = place.ok(&[args, &key[..], &["--dry-run"]].concat());
        assert!(ran.out.contains(says), "{args:?}: {ran:?}");
        assert!(place.everything() == before, "{args:?} changed something");
    }
}
