//! What `--json` shows: one object with a schema, for every command that shows something.
use crate::common::Place;
use serde_json::Value;

#[test]
fn every_command_shows_its_schema_and_nothing_else_on_stdout() {
    let place = Place::new();
    place.database("app.db", 50);
    place.write("one", "first secret\n");
    place.write("two", "second secret\n");
    place.write(
        "kronos.toml",
        "[databases.sqlite]\nhost = \".\"\ndatabases = [\"app.db\"]\n[storages.main]\nurl = \"repo\"\n",
    );
    let key = ["--passphrase-file", "one"];
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("init", &["init", "--to", "repo"], &["storage", "mode", "repository"]),
        ("backup", &["backup", "app.db", "--job", "app"], &["dry_run", "jobs"]),
        ("backup", &["backup", "app.db", "--job", "app", "--dry-run"], &["dry_run", "jobs"]),
        ("list", &["list"], &["backups", "warnings"]),
        ("show", &["show", "latest"], &["id", "stream_list", "packs"]),
        ("diff", &["diff", "latest", "latest"], &["before", "after", "changed", "unchanged"]),
        ("check", &["check"], &["problems", "notes", "backups", "damaged_backups"]),
        ("restore", &["restore", "latest", "--to", "x.db", "--dry-run"], &["plan", "target"]),
        ("restore", &["restore", "latest", "--to", "x.db"], &["report", "target"]),
        ("export", &["export", "latest", "out"], &["report", "target"]),
        ("hold", &["hold", "latest"], &["backups"]),
        ("release", &["release", "latest"], &["backups"]),
        ("copy", &["copy", "--to", "second", "--dry-run"], &["backups", "jobs"]),
        ("copy", &["copy", "--to", "second"], &["jobs"]),
        ("prune", &["prune", "--keep-last", "1"], &["jobs"]),
        ("key-list", &["key", "list"], &["mode", "keys"]),
        ("key-add", &["key", "add", "--new-passphrase-file", "two"], &["added"]),
        ("validate", &["validate"], &["file", "findings", "problems"]),
        ("config-show", &["config", "show"], &["files", "settings"]),
        ("forget", &["forget", "latest"], &["backups"]),
        ("key-rotate", &["key", "rotate", "--new-passphrase-file", "two"], &["added", "removed"]),
    ];
    for (name, args, fields) in cases {
        let shown = place.json(&[args, &key[..]].concat());
        assert_eq!(shown["schema"], format!("kronos.{name}/1"), "{args:?}");
        for field in *fields {
            assert!(shown.get(field).is_some(), "{args:?} has no {field}: {shown}");
        }
    }
}

#[test]
fn a_list_has_what_is_promised() {
    let place = Place::new();
    place.database("app.db", 50);
    place.ok(&["backup", "app.db", "--to", "repo"]);
    let listing = place.json(&["list", "--from", "repo"]);
    let promised = "id job engine strategy started finished bytes_read bytes_stored parent held warnings";
    for field in promised.split(' ') {
        assert!(listing["backups"][0].get(field).is_some(), "{field}");
    }
}

#[test]
fn every_schema_is_documented() {
    let documented = include_str!("../../../docs/json.md");
    for name in
        "init backup restore list show diff check prune forget hold release copy export validate config-show key-list \
                 key-add key-remove key-rotate schedule schedule-next schedule-change notify-test audit run"
            .split_whitespace()
    {
        assert!(documented.contains(&format!("`kronos.{name}/1`")), "{name}");
    }
}

#[test]
fn a_failed_storage_is_in_the_json_too() {
    let place = Place::new();
    place.database("app.db", 50);
    let ran = place.run(&["backup", "app.db", "--to", "ftp://x", "--to", "repo", "--json"]);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.code, 1);
    assert_eq!(shown["jobs"][0]["storages"][0]["outcome"], "failed");
    assert_eq!(shown["jobs"][0]["storages"][1]["outcome"], "backed-up");
}
