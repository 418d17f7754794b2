//! Every mistake names what is wrong, the key and the line, and where it can what was meant.

use kronos_core::{Error, ErrorKind};
use kronos_service::{Config, Format};

fn error(text: &str, format: Format) -> Error {
    let problems = Config::parse(text, format, &|_| None).expect_err(text).into_errors();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let error = problems.into_iter().next().expect("one");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error
}

/// The text is TOML; the wanted message, key, line and, if any, the nearest name.
#[track_caller]
fn refused(text: &str, message: &str, key: &str, line: &str, near: Option<&str>) {
    let error = error(text, Format::Toml);
    assert!(error.message().contains(message), "{error}");
    assert_eq!((error.context("key"), error.context("line")), (Some(key), Some(line)), "{error}");
    assert_eq!(error.context("did you mean"), near, "{error}");
}

#[test]
fn unknown_keys_name_the_nearest() {
    refused("[databses.a]\n", "unknown key", "databses", "1", Some("databases"));
    refused("\n[databases.mysql]\nhots = 'x'\n", "unknown key", "databases.mysql.hots", "3", Some("host"));
    refused("[storages.a]\nurl = '/b'\nulr = '/c'\n", "unknown key", "storages.a.ulr", "3", Some("url"));
    refused("[jobs.a]\nsource = 'x'\nkeep = { lst = 1 }\n", "unknown key", "jobs.a.keep.lst", "3", Some("last"));
    refused(
        "[encryption]\npassfrase_file = 'x'\n",
        "unknown key",
        "encryption.passfrase_file",
        "2",
        Some("passphrase_file"),
    );
    let strange = error("[jobs.a]\nsource = 'x'\nsomething_else = 1\n", Format::Toml);
    assert!(strange.context("known").unwrap().contains("storages"), "{strange}");
}

#[test]
fn keys_of_later_versions_are_not_ignored() {
    let text = "[jobs.a]\nsource = 'x'\nverify = { schedule = '@weekly' }\n";
    refused(text, "not in this version yet", "jobs.a.verify", "3", None);
}

#[test]
fn all_problems_are_told_at_once() {
    let text = "[databases.mysql]\nport = 'x'\nhots = 'y'\n[storages.main]\nurl = 5\n\
                [jobs.a]\ndatabase = 'mysq'\nkeep = { last = 0 }\nnotify = ['ops']\nschedule = '${WHEN}'\n";
    let problems = Config::parse(text, Format::Toml, &|_| None).expect_err(text);
    let mut keys: Vec<&str> = problems.errors().iter().filter_map(|error| error.context("key")).collect();
    keys.sort_unstable();
    let wanted = [
        "databases.mysql.hots",
        "databases.mysql.port",
        "jobs.a.database",
        "jobs.a.keep.last",
        "jobs.a.notify",
        "jobs.a.schedule",
        "storages.main.url",
    ];
    assert_eq!(keys, wanted, "{problems}");
    assert_eq!(Error::from(problems).context("further problems"), Some("6"));
}

#[test]
fn what_belongs_together_is_checked_together() {
    let job = |lines: &str| format!("[jobs.a]\nsource = 'x'\n{lines}\n");
    refused(&job("jitter = '5m'"), "does nothing without a schedule", "jobs.a.jitter", "3", None);
    refused(&job("schedule = '@daily'\nmissed = 'onec'"), "unknown missed", "jobs.a.missed", "4", Some("once"));
    refused(
        &job("schedule = '@daily'\nblackout = [{ from = '1:00' }]"),
        "a key is missing",
        "jobs.a.blackout",
        "4",
        None,
    );
    refused(&job("hooks = { before = { timeout = '1m' } }"), "a key is missing", "jobs.a.hooks.before", "3", None);
    refused(&job("schedule = '61 * * * *'"), "the minute of the schedule is wrong", "jobs.a.schedule", "3", None);
    refused(&job("timezone = 'Mars/Olympus'"), "unknown time zone", "jobs.a.timezone", "3", None);
    refused(&job("hooks = { after = [] }"), "a program belongs here", "jobs.a.hooks.after", "3", None);
    refused(&job("compression = { level = 20 }"), "out of range", "jobs.a.compression.level", "3", None);
    refused("[notify.ops]\n", "nobody would hear", "notify.ops", "1", None);
    refused("[notify.ops]\nslack = {}\n", "a key is missing", "notify.ops.slack", "2", None);
    refused(
        "[notify.ops]\non = ['failur']\nping = { url = 'x' }\n",
        "unknown on",
        "notify.ops.on",
        "2",
        Some("failure"),
    );
    refused(
        "[notify.ops]\nping = { url = 'x', url_env = 'X' }\n",
        "one place only",
        "notify.ops.ping.url_env",
        "2",
        None,
    );
    refused("[metrics]\nlisten = '9187'\n", "an address and a port", "metrics.listen", "2", None);
    refused(
        "[databases.mysql]\npassword_keyring = 'x'\n",
        "with a slash between",
        "databases.mysql.password_keyring",
        "2",
        None,
    );
}

#[test]
fn wrong_types_and_values() {
    refused(
        "[databases.mysql]\nport = 'x'\n",
        "a whole number belongs here, not a text",
        "databases.mysql.port",
        "2",
        None,
    );
    refused("[databases.mysql]\nport = 70000\n", "out of range", "databases.mysql.port", "2", None);
    refused("[databases.mysql]\nport = 3306.5\n", "not a number with a fraction", "databases.mysql.port", "2", None);
    refused("[databases.mysql]\nhost = 5\n", "a text belongs here, not a number", "databases.mysql.host", "2", None);
    refused(
        "[databases.mysql]\ndatabases = [\n 'a',\n 5,\n]\n",
        "one of texts",
        "databases.mysql.databases",
        "4",
        None,
    );
    refused("[retry]\nattempts = 0\n", "out of range", "retry.attempts", "2", None);
    refused("[retry]\nmax = 30\n", "a time such as", "retry.max", "2", None);
    refused("databases = 5\n", "a table belongs here", "databases", "1", None);
    refused(
        "[jobs.a]\nsource = 'x'\nkeep = { within = '2 moons' }\n",
        "a time such as",
        "jobs.a.keep.within",
        "3",
        None,
    );
    refused(
        "[jobs.a]\nsource = 'x'\nlimits = { memory = 'lots' }\n",
        "a size such as",
        "jobs.a.limits.memory",
        "3",
        None,
    );
    refused("[jobs.a]\nsource = 'x'\nlimits = { parallel = 0 }\n", "out of range", "jobs.a.limits.parallel", "3", None);
    refused("[jobs.a]\nsource = 'x'\nkeep = { last = 0 }\n", "out of range", "jobs.a.keep.last", "3", None);
    let slow = |value| format!("[jobs.a]\nsource = 'x'\nslow_storage = {value}\n");
    refused(&slow("'dorp'"), "unknown slow storage", "jobs.a.slow_storage", "3", Some("drop"));
    refused(&slow("{}"), "a key is missing", "jobs.a.slow_storage", "3", None);
    refused(&slow("{ drop_after = 60 }"), "a time such as", "jobs.a.slow_storage.drop_after", "3", None);
    refused("[jobs.a]\nsource = 'x'\nkeep = {}\n", "nothing would be kept", "jobs.a.keep", "3", None);
    refused(
        "[jobs.a]\nsource = 'x'\nstrategy = 'incremetal'\n",
        "unknown strategy",
        "jobs.a.strategy",
        "3",
        Some("incremental"),
    );
    refused(
        "[jobs.a]\nsource = 'x'\nstrategy = { kind = 'full', full_every = '7d' }\n",
        "full already",
        "jobs.a.strategy.full_every",
        "3",
        None,
    );
    refused("[encryption]\n", "nothing would be encrypted", "encryption", "1", None);
}

#[test]
fn names_that_lead_nowhere() {
    let text = "[databases.shop]\nengine = 'mysql'\n[storages.main]\nurl = '/b'\n[jobs.a]\n";
    refused(&format!("{text}database = 'shpo'\n"), "no such database", "jobs.a.database", "6", Some("shop"));
    refused(
        &format!("{text}database = 'shop'\nstorages = ['mian']\n"),
        "no such storage",
        "jobs.a.storages",
        "7",
        Some("main"),
    );
    refused(&format!("{text}storages = ['main']\n"), "a database or a source", "jobs.a", "5", None);
    refused(&format!("{text}database = 'shop'\nsource = 'x'\n"), "not both", "jobs.a.source", "7", None);
    refused("[databases.shop]\nhost = 'x'\n", "the engine is missing", "databases.shop", "1", None);
    refused("[databases.shop]\nengine = 'My SQL'\n", "not the name of an engine", "databases.shop.engine", "2", None);
    refused("[storages.main]\n", "a key is missing", "storages.main", "1", None);
}

#[test]
fn passwords_and_variables() {
    refused(
        "[databases.mysql]\npassword = 'a'\npassword_env = 'B'\n",
        "one place only",
        "databases.mysql.password_env",
        "3",
        None,
    );
    refused(
        "[databases.mysql]\npassword_command = 'pass show \"a b\"'\n",
        "no shell",
        "databases.mysql.password_command",
        "2",
        None,
    );
    refused("[databases.mysql]\nhost = '${HOST}'\n", "not set", "databases.mysql.host", "2", None);
    refused("[databases.mysql]\nhost = 'a${HOST'\n", "never closed", "databases.mysql.host", "2", None);
}

#[test]
fn yaml_tells_key_and_line_too() {
    for (text, message, key, line) in [
        ("databases:\n  mysql:\n    hots: x\n", "unknown key", "databases.mysql.hots", "3"),
        ("databases:\n  mysql:\n    port: x\n", "a whole number", "databases.mysql.port", "3"),
        ("jobs:\n  a:\n    source: x\n    verify: daily\n", "not in this version yet", "jobs.a.verify", "4"),
        ("jobs:\n  a: 5\n", "a table belongs here", "jobs.a", "2"),
    ] {
        let error = error(text, Format::Yaml);
        assert!(error.message().contains(message), "{error}");
        assert_eq!((error.context("key"), error.context("line")), (Some(key), Some(line)), "{error}");
    }
}

#[test]
fn broken_files_tell_the_line_and_no_secret() {
    for (text, format, line) in [
        ("[databases.mysql]\npassword = \"hunter2", Format::Toml, "2"),
        ("[databases.mysql]\npassword = 'hunter2'\n[databases.", Format::Toml, "3"),
        ("[databases.mysql]\nhost = 'a'\nhost = 'b'\n", Format::Toml, "3"),
        ("databases:\n  mysql:\n    password: \"hunter2", Format::Yaml, "3"),
        ("databases:\n  mysql: {host: a\n", Format::Yaml, "2"),
        ("databases:\n  mysql:\n    host: a\n    host: b\n", Format::Yaml, "4"),
    ] {
        let error = error(text, format);
        assert!(error.message().starts_with("not valid "), "{error}");
        assert_eq!(error.context("line"), Some(line), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn the_file_is_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.yaml");
    std::fs::write(&file, "databses:\n").unwrap();
    let load = |file: &std::path::Path| Error::from(Config::load(file, &|_| None).unwrap_err());
    assert_eq!(load(&file).context("file"), file.to_str());
    let error = load(&place.path().join("none.toml"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = load(&place.path().join("kronos.json"));
    assert_eq!(error.kind(), ErrorKind::Config);
}
