//! Keys: passphrases, recipients, writers; and that no secret is ever shown.
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::Place;

#[test]
fn a_passphrase_opens_what_it_was_made_with() {
    let place = Place::new();
    place.database("app.db", 100);
    place.write("one", "first secret\n");
    place.write("two", "second secret\n");
    place.ok(&["backup", "app.db", "--to", "repo", "--passphrase-file", "one"]);
    place.run(&["list", "--from", "repo"]).fails(1, "no key was given", "hint: give --passphrase-file");
    place.run(&["list", "--from", "repo", "--passphrase-file", "two"]).fails(1, "no key", "hint: check the passphrase");
    let with = |variable: &str| place.run_with(&[("KRONOS_PASSPHRASE", variable)], &["list", "--from", "repo"]);
    assert_eq!((with("first secret").code, with("").code), (0, 2));

    place.ok(&["key", "add", "--from", "repo", "--passphrase-file", "one", "--new-passphrase-file", "two"]);
    let keys = place.json(&["key", "list", "--from", "repo", "--passphrase-file", "two"]);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    place.write("three", "third secret\n");
    let args = ["key", "rotate", "--from", "repo", "--passphrase-file", "two", "--new-passphrase-file", "three"];
    assert!(place.ok(&args).err.contains("not revoked"));
    assert_eq!(place.run(&["list", "--from", "repo", "--passphrase-file", "one"]).code, 1);
    let keys = place.json(&["key", "list", "--from", "repo", "--passphrase-file", "three"]);
    let key = keys["keys"][0]["id"].as_str().unwrap();
    let last = place.run(&["key", "remove", key, "--from", "repo", "--passphrase-file", "three"]);
    last.fails(1, "last intact key", "");
}

#[test]
fn a_writer_backs_up_and_only_the_recipient_reads() {
    let place = Place::new();
    place.database("app.db", 100);
    let (identity, recipient) = kronos_core::generate_identity();
    place.write("identity", &format!("# a comment\n{}\n", identity.expose()));
    let write = ["backup", "app.db", "--to", "repo", "--recipient", &recipient, "--writer-key", "writer"];
    place.ok(&write);
    assert_eq!(fs::metadata(place.path("writer")).unwrap().permissions().mode() & 0o777, 0o600);
    place.ok(&write);
    place.ok(&["backup", "app.db", "--to", "repo", "--writer-key", "writer"]);
    assert_eq!(place.run(&["restore", "latest", "--from", "repo", "--writer-key", "writer", "--to", "x.db"]).code, 1);
    assert!(!place.path("x.db").exists());
    place.ok(&["restore", "latest", "--from", "repo", "--identity", "identity", "--to", "x.db"]);
    assert_eq!(place.rows("x.db"), 100);

    place.ok(&["key", "writer", "--from", "repo", "--identity", "identity", "-o", "again"]);
    let read = |name| fs::read_to_string(place.path(name)).unwrap();
    assert_eq!(read("again"), read("writer"));
    assert_eq!(place.ok(&["key", "writer", "--from", "repo", "--identity", "identity"]).out, read("writer"));
    let add = ["key", "add", "--from", "repo", "--identity", "identity", "--new-recipient", &recipient];
    place.run(&add).fails(1, "fixed when it is made", "hint: make a repository for the new recipients");
}

#[test]
fn keys_and_repositories_that_do_not_fit_are_refused() {
    let place = Place::new();
    place.database("app.db", 10);
    place.write("one", "first secret\n");
    let (_, recipient) = kronos_core::generate_identity();
    place.ok(&["backup", "app.db", "--to", "plain"]);
    let plain = ["backup", "app.db", "--to", "plain"];
    place.run(&[&plain[..], &["--passphrase-file", "one"]].concat()).fails(
        2,
        "not encrypted",
        "hint: leave the key out",
    );
    place.run(&[&plain[..], &["--recipient", &recipient]].concat()).fails(
        2,
        "recipients",
        "hint: leave --recipient out",
    );
    let add = ["key", "add", "--from", "plain", "--new-passphrase-file", "one"];
    place.run(&add).fails(1, "not encrypted", "`kronos copy`");
    place.run(&["key", "writer", "--from", "plain"]).fails(1, "only a repository for recipients", "hint: ");
    assert_eq!(place.run(&["init", "--to", "new", "--recipient", "age1nonsense"]).code, 2);
    assert!(!place.path("new").exists());
}

#[test]
fn secrets_are_never_shown() {
    let place = Place::new();
    place.database("app.db", 10);
    place.write("pass", "geheim-in-file\n");
    place.ok(&["backup", "app.db", "--to", "repo", "--passphrase-file", "pass"]);
    let variables = [
        ("KRONOS_PASSPHRASE", "geheim-in-variable"),
        ("KRONOS_STORAGE", "s3://me:geheim-in-storage@bucket?secret_key=geheim-in-query"),
    ];
    place.write(
        "kronos.toml",
        "[jobs.a]\nsource = \"postgrse://me:geheim-in-config@h/db\"\n[storages.s]\nurl = \"s3://k:geheim-in-url@b\"\n",
    );
    for args in [
        &["list"][..],
        &["list", "--help"],
        &["backup", "--help"],
        &["list", "--from", "repo"],
        &["list", "--from", "s3://me:geheim-x@bucket?a=1&a=2&token=geheim-y"],
        &["backup"],
        &["backup", "postgres://me:geheim-z@host/db", "--to", "repo"],
        &["backup", "postgres://me:geheim-z@host:port/db", "--to", "repo"],
        &["backup", "//me:geheim-z@host/db", "--to", "repo"],
        &["backup", "app.db", "--to", "s3://k:geheim-1@b", "--to", "ftp://k:geheim-2@b"],
        &["validate"],
        &["validate", "--json"],
        &["restore", "latest", "--from", "repo", "--to", "mysql://u:geheim-3@h/db", "--passphrase-file", "pass"],
    ] {
        let ran = place.run_with(&variables, args);
        assert!(!ran.out.contains("geheim") && !ran.err.contains("geheim"), "{args:?}: {ran:?}");
    }
}

#[test]
fn an_interrupted_init_does_not_stand_in_the_way() {
    let place = Place::new();
    place.database("app.db", 10);
    place.write("one", "first secret\n");
    let key = ["--passphrase-file", "one"];
    place.ok(&[&["init", "--to", "repo"], &key[..]].concat());
    for file in place.files("repo", ".json") {
        fs::remove_file(file).unwrap();
    }
    let backup = ["backup", "app.db", "--to", "repo", "--accept-new-repository"];
    place.ok(&[&backup, &key[..]].concat());
    place.ok(&[&["restore", "latest", "--from", "repo", "--to", "x.db"], &key[..]].concat());
}
