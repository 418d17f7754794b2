//! Wrong input: each gets an error that says what to do, its exit code, and changes nothing.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::common::{Place, Ran};

/// A place with everything that can be got wrong.
fn place() -> Place {
    let place = Place::new();
    place.database("app.db", 50);
    place.write("text.db", "this is no database, however long one looks at it");
    place.write("full/notes.txt", "not a repository");
    place.write("broken.toml", "[storages.main]\nurl = \"/srv");
    place.write("unknown.toml", "[storages.main]\nurl = \"repo\"\n[job.a]\n");
    place.write("broken.yaml", "jobs: [");
    place.write("right", "right\n");
    place.write("wrong", "wrong\n");
    place.write("empty", "\n");
    fs::create_dir(place.path("dir.db")).unwrap();
    place.ok(&["backup", "app.db", "--to", "repo"]);
    place.ok(&["backup", "app.db", "--to", "secret", "--passphrase-file", "right"]);
    place.ok(&["restore", "latest", "--from", "repo", "--to", "there.db"]);
    place.ok(&["init", "--to", "newer"]);
    let header = fs::read_to_string(place.path("newer/kronos.json")).unwrap();
    place.write("newer/kronos.json", &header.replace("\"version\": 1", "\"version\": 99"));
    place
}

#[test]
fn wrong_input_is_explained_and_changes_nothing() {
    let place = place();
    let before = place.everything();
    let cases: &[(&[&str], i32, &str, &str)] = &[
        (&["backup", "nope.db", "--to", "new"], 5, "no such file", "hint: check the spelling"),
        (&["backup", "dir.db", "--to", "new"], 2, "a directory", "hint: "),
        (&["backup", "sqlite:full", "--to", "new"], 2, "a directory", "hint: "),
        (&["backup", "full", "--to", "new"], 2, "not a database's URL", "hint: write ENGINE:"),
        (&["backup", "text.db", "--to", "new"], 2, "not a SQLite database", "hint: check that this is"),
        (&["backup", "sqlite://app.db", "--to", "new"], 2, "has no host", "hint: write sqlite:path"),
        (&["backup", "postgrse://h/db", "--to", "new"], 2, "unknown engine", "hint: "),
        (&["backup", "app.db", "--to", "ftp://host/x"], 2, "unknown storage scheme", "hint: "),
        (&["backup", "app.db", "--to", "memroy:x"], 2, "unknown storage scheme", "hint: did you mean memory?"),
        (&["backup", "app.db", "--to", "app.db"], 2, "a file, not a directory", ""),
        (&["backup", "app.db", "--to", ""], 2, "empty", ""),
        (&["backup", "app.db"], 2, "no storage was given", "hint: give --to"),
        (&["backup"], 2, "no source", "hint: name a database"),
        (&["backup", "app.db", "--to", "full"], 2, "holds no repository", "hint: choose an empty directory"),
        (&["init", "--to", "full"], 2, "holds no repository", "hint: choose an empty directory"),
        (&["init", "--to", "repo"], 1, "there is a repository already", "hint: nothing needs to be done"),
        (&["backup", "app.db", "--to", "newer"], 1, "newer version", "hint: install a newer kronos"),
        (&["backup", "app.db", "--to", "secret"], 1, "no key was given", "hint: give --passphrase-file"),
        (
            &["backup", "app.db", "--to", "secret", "--passphrase-file", "wrong"],
            1,
            "no key",
            "hint: check the passphrase",
        ),
        (&["backup", "app.db", "--to", "new", "--passphrase-file", "empty"], 2, "is empty", "hint: write it"),
        (&["backup", "app.db", "--to", "new", "--passphrase-file", "none"], 5, "cannot be read", "hint: "),
        (
            &["backup", "app.db", "--to", "new", "--identity", "right"],
            2,
            "with an identity",
            "hint: check the location",
        ),
        (&["backup", "app.db", "--to", "new", "--method", "tool"], 1, "tool", "hint: leave --method out"),
        (&["backup", "app.db", "--to", "new", "--job", " "], 2, "visible character", ""),
        (&["backup", "there.db", "--job", "app", "--to", "repo"], 1, "another source", "hint: give the new source"),
        (&["backup", "-n", "x"], 5, "no such job", "hint: "),
        (&["list", "--from", "full"], 2, "holds no repository", "hint: "),
        (&["list", "--from", "nowhere"], 5, "there is no repository", "hint: check the location"),
        (&["list"], 2, "no storage was given", "hint: give --from"),
        (&["list", "ap", "--from", "repo"], 5, "no such job", "hint: "),
        (&["show", "ffffffffff", "--from", "repo"], 5, "no such backup", "hint: `kronos list`"),
        (&["show", "latest~7", "--from", "repo"], 5, "no such backup", "hint: `kronos list`"),
        (&["show", "latest~x", "--from", "repo"], 2, "write latest", ""),
        (&["show", "ap/latest", "--from", "repo"], 5, "no such job", "hint: did you mean app?"),
        (&["forget", "nope", "--from", "repo"], 5, "no such backup", "hint: "),
        (&["restore", "latest", "--from", "repo", "--to", "there.db"], 1, "exists", "hint: --replace"),
        (&["restore", "latest", "--from", "repo", "--to", "no/such/dir/x.db"], 2, "no such directory", ""),
        (
            &["restore", "latest", "--from", "repo", "--to", "x.db", "--only", "zzz"],
            5,
            "such a name",
            "hint: `kronos show`",
        ),
        (&["restore", "latest", "--from", "repo", "--to", "cassandra://h/db"], 2, "unknown engine", "hint: "),
        (&["backup", "mysql://h/db", "--to", "new"], 2, "no user is named", "hint: write the user"),
        (&["export", "latest", "dir.db/../dir.db/a/b", "--from", "repo"], 2, "no such directory", ""),
        (&["prune", "--from", "repo"], 2, "no retention rule", "hint: give at least one"),
        (&["prune", "--from", "repo", "--keep-last", "1", "--job", "x"], 5, "no such job", "hint: "),
        (&["copy", "--from", "repo", "--to", "repo"], 2, "the same repository", "hint: "),
        (&["copy", "nope", "--from", "repo", "--to", "new"], 5, "no such job", "hint: "),
        (&["key", "remove", "ff", "--from", "secret", "--passphrase-file", "right"], 5, "no such key", "hint: "),
        (&["list", "-c", "broken.toml"], 2, "TOML", "hint: correct the file"),
        (&["list", "-c", "broken.yaml"], 2, "YAML", "hint: correct the file"),
        (&["list", "-c", "unknown.toml"], 2, "unknown", "hint: did you mean jobs?"),
        (&["list", "-c", "none.toml"], 5, "no such configuration", "hint: check the spelling"),
        (&["validate"], 5, "no configuration was found", "hint: write ./kronos.toml"),
        (&["generate", "-o", "right"], 2, "is not what a file of this language is called", "hint: give it the ending"),
        (&["generate", "-o", "no/such/dir/kronos.toml"], 5, "could not be written", "hint: make its directory"),
        (&["man", "nope"], 2, "no such command", "hint: "),
        // These are refused by the parser, in its own form.
        (&["backup", "app.db", "--to", "new", "--strategy", "incremantal"], 2, "invalid value", "incremental"),
        (&["backup", "app.db", "--to", "new", "--strategy", ""], 2, "a value is required", "incremental"),
        (&["check", "--from", "repo", "--sample", "0%"], 2, "invalid value", "10%"),
        (&["check", "--from", "repo", "--sample", "5%", "--read-data"], 2, "cannot be used with", ""),
        (&["prune", "--from", "repo", "--keep-within", "48"], 2, "invalid value", "48h"),
        (&["backup", "app.db", "--to", "new", "--tag", "x"], 2, "invalid value", "KEY=VALUE"),
        (&["backup", "app.db", "--to", "new", "--jobs", "0"], 2, "invalid value", ""),
        (&["key", "add", "--from", "secret"], 2, "required", ""),
        (&["verify"], 2, "unrecognized subcommand", ""),
    ];
    for (args, code, error, hint) in cases {
        eprintln!("kronos {args:?}");
        place.run(args).fails(*code, error, hint);
        assert!(place.everything() == before, "kronos {args:?} changed something");
    }
}

#[test]
fn what_may_not_be_read_or_written_is_said() {
    let place = place();
    let allow = |name: &str, mode| fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(place.path("closed")).unwrap();
    for (name, mode) in [("", 0o755), ("app.db", 0o600), ("there.db", 0o644), ("closed", 0o555), ("home", 0o555)] {
        allow(name, mode);
    }
    // Nothing is forbidden to root, and what a user owns could be allowed again: run as somebody else.
    let forbidden = |args: &[&str]| {
        let mut command = place.command(args);
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        } else {
            allow("app.db", 0);
        }
        Ran::of(&command.output().unwrap())
    };
    forbidden(&["backup", "app.db", "--to", "new"]).fails(1, "permission", "hint: run kronos as a user");
    forbidden(&["restore", "latest", "--from", "closed", "--to", "x.db"]).fails(5, "no repository", "hint: ");
    forbidden(&["init", "--to", "closed/new"]).fails(1, "", "hint: run kronos as a user");
}

#[test]
fn an_error_is_one_line_then_causes_then_a_hint() {
    let place = place();
    let err = place.run(&["backup", "app.db", "--to", "new", "--passphrase-file", "none"]).err;
    let starts: Vec<&str> = err.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(starts, ["error", "caused by", "hint"], "{err}");
}
