//! The configuration with the real program: made, layered, shown, checked.
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::Place;

#[test]
fn what_is_generated_is_valid_and_nothing_is_overwritten() {
    let place = Place::new();
    for (file, format) in [("kronos.toml", "toml"), ("other.yaml", "yaml"), ("third.yml", "yaml")] {
        place.ok(&["generate", "-o", file]);
        let text = fs::read_to_string(place.path(file)).unwrap();
        assert_eq!(text, place.ok(&["generate", "--format", format]).out, "{file}");
        assert_eq!(fs::metadata(place.path(file)).unwrap().permissions().mode() & 0o077, 0, "{file}");
        let ran = place.ok(&["validate", "--offline", "-c", file]);
        assert!(ran.out.contains("no problems") && ran.out.contains("next due "), "{ran:?}");
        place.write(file, "# mine\n");
        place.run(&["generate", "-o", file]).fails(1, "could not be written", "--replace");
        assert_eq!(fs::read_to_string(place.path(file)).unwrap(), "# mine\n");
        place.ok(&["generate", "-o", file, "--replace"]);
        assert_eq!(fs::read_to_string(place.path(file)).unwrap(), text);
    }
    let schema: serde_json::Value =
        serde_json::from_str(&place.ok(&["generate", "--format", "json-schema"]).out).unwrap();
    assert!(schema["properties"]["jobs"].is_object(), "{schema}");
}

#[test]
fn layers_go_over_each_other_and_a_named_file_is_alone() {
    let place = Place::new();
    place.database("app.db", 5);
    place
        .write("home/.config/kronos/kronos.toml", "[storages.main]\nurl = \"repo\"\n[jobs.app]\nsource = \"app.db\"\n");
    place.write("kronos.yaml", "jobs:\n  app: { keep: { last: 3 } }\n");
    let limit = [("KRONOS__JOBS__APP__LIMITS__PARALLEL", "7")];
    let shown = place.run_with(&limit, &["config", "show", "--origin"]);
    for part in [
        "source = \"app.db\"  # ",
        "home/.config/kronos/kronos.toml:4",
        "last = 3  # ./kronos.yaml:2",
        "parallel = 7  # KRONOS__JOBS__APP__LIMITS__PARALLEL",
        "#timezone = \"UTC\"  # default",
    ] {
        assert!(shown.out.contains(part), "no {part} in\n{}", shown.out);
    }
    assert!(!place.ok(&["config", "show"]).out.contains("kronos.yaml:2"));
    place.ok(&["backup"]);
    assert!(place.path("repo").exists(), "the storage of one file, the job of two");
    let settings = place.json(&["config", "show"])["settings"].clone();
    let last = settings.as_array().unwrap().iter().find(|setting| setting["key"] == "jobs.app.keep.last").unwrap();
    assert_eq!((last["value"].as_i64(), last["origin"]["layer"].as_str()), (Some(3), Some("project")));

    place.write("alone.toml", "[storages.other]\nurl = \"other\"\n");
    let alone = place.ok(&["config", "show", "-c", "alone.toml"]).out;
    assert!(alone.contains("[storages.other]") && !alone.contains("storages.main"), "{alone}");
    place.run_with(&[("KRONOS__JBOS__A__SOURCE", "x")], &["config", "show"]).fails(
        2,
        "unknown key",
        "did you mean jobs?",
    );
}

#[test]
fn all_that_is_wrong_with_a_configuration_is_told_at_once() {
    let place = Place::new();
    place.write("home/.config/kronos/kronos.toml", "[log]\nlevel = \"loud\"\n");
    place.write("kronos.toml", "[storages.main]\nulr = \"repo\"\n[jobs.a]\nsource = \"a.db\"\nschedule = \"never\"\n");
    for args in [&["validate"][..], &["list"], &["config", "show"]] {
        let ran = place.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        for part in ["unknown level", "did you mean url?", "a schedule of 1 fields", "./kronos.toml", "home/.config"] {
            assert!(ran.err.contains(part), "no {part} in\n{}", ran.err);
        }
        assert_eq!(ran.err.matches("error: ").count(), 3, "{}", ran.err);
    }
}

#[test]
fn secrets_come_from_programs_and_are_shown_nowhere() {
    let place = Place::new();
    place.database("app.db", 5);
    place.write(
        "kronos.toml",
        "[storages.main]\nurl = \"repo\"\n[encryption]\npassphrase_command = [\"echo\", \"hunter2\"]\n\
         [jobs.app]\nsource = \"app.db\"\ncompression = { level = 9 }\ntags = { team = \"shop\" }\n",
    );
    place.ok(&["backup"]);
    let list = place.json(&["list"]);
    assert_eq!(list["backups"][0]["tags"]["team"], "shop", "{list}");
    place.run_with(&[("KRONOS__ENCRYPTION__PASSPHRASE", "wrong")], &["list"]).fails(1, "no key", "hint: check");
    let shown = place.run_with(&[("KRONOS__ENCRYPTION__PASSPHRASE", "hunter3")], &["config", "show", "--json"]);
    assert!(shown.code == 0 && !shown.out.contains("hunter3") && shown.out.contains("***"), "{shown:?}");
    place.run_with(&[("KRONOS__ENCRYPTION__PASSPHRASE_KEYRING", "kronos/x")], &["list"]).fails(
        1,
        "key store",
        "hint: ",
    );
}

#[test]
fn validate_looks_at_what_the_configuration_needs_of_the_machine() {
    let place = Place::new();
    place.database("app.db", 5);
    place.write("hook", "#!/bin/sh\n");
    let at = place.path("");
    let at = at.display();
    place.write(
        "kronos.toml",
        &format!(
            "[databases.unused]\nengine = \"sqlite\"\nhost = \"{at}\"\ndatabases = [\"none.db\"]\n\
             [storages.main]\nurl = \"repo\"\n[log]\nfile = \"{at}none/kronos.log\"\n\
             [jobs.app]\nsource = \"app.db\"\nhooks = {{ before = [\"{at}hook\"] }}\nnotify = []\n\
             [notify.ops]\nslack = {{ webhook_env = \"NOT_SET\" }}\n\
             [notify.good]\nemail = {{ smtp = \"smtp://localhost\", from = \"a@b\", to = [\"c@d\"] }}\n"
        ),
    );
    let ran = place.run(&["validate"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in [
        "problem: database unused",
        "problem: log",
        "problem: hooks app: before",
        "problem: notify ops: ",
        "notify good: by email",
        "4 problems",
        "can be written and read",
    ] {
        assert!(ran.out.contains(part), "no {part} in\n{}", ran.out);
    }
    assert!(place.files("repo", "probe").is_empty(), "the throw-away objects are gone");
    place.run(&["list"]).fails(5, "no repository", "");
    place.run(&["backup"]).fails(1, "a hook could not be started", "");
    let mut permissions = fs::metadata(place.path("hook")).unwrap().permissions();
    permissions.set_mode(0o755);
    fs::set_permissions(place.path("hook"), permissions).unwrap();
    let ran = place.run(&["backup"]);
    assert!(ran.code == 3 && ran.err.contains("warning: log: "), "a log costs no backup: {ran:?}");
}
