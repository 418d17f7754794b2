//! Configurations that load, and what comes of them.

use std::time::Duration;

use kronos_core::{BackupKind, Engine, SlowStorage};
use kronos_service::{Config, Format, JobSource, Keep, Retries, SecretFrom, StrategyChoice};

const TOML: &str = r#"
[databases.shop]
engine = "postgresql"
host = "db.internal"
port = 5432
user = "backup"
password_env = "SHOP_DB_PASSWORD"
databases = ["shop", "billing"]

[databases.sqlite]
host = "${DATA:-/var/lib/app}"
databases = ["app.db", "users.db"]

[storages.main]
url = "/srv/backups"
[storages.offsite]
url = "${OFFSITE}"

[encryption]
passphrase_file = "/etc/kronos/passphrase"
recipients = ["age1abc"]

[retry]
attempts = 12
base = "250ms"
max = "1m"

[jobs.shop]
database = "shop"
storages = ["main", "offsite"]
strategy = { kind = "incremental", full_every = "7d" }
keep = { last = 3, daily = 7, weekly = 5, monthly = 12, within = "48h" }
exclude = ["shop.audit_*"]
limits = { memory = "256MiB", parallel = 4 }
slow_storage = { drop_after = "5m" }

[jobs."Größe / Täglich 1"]
source = "sqlite:/srv/app.db"
strategy = "full"
"#;

const YAML: &str = r#"
databases:
  shop:
    engine: postgresql
    host: db.internal
    port: 5432
    user: backup
    password_env: SHOP_DB_PASSWORD
    databases: [shop, billing]
  sqlite:
    host: ${DATA:-/var/lib/app}
    databases:
      - app.db
      - users.db
storages:
  main: { url: /srv/backups }
  offsite:
    url: "${OFFSITE}"
encryption:
  passphrase_file: /etc/kronos/passphrase
  recipients: [age1abc]
retry: { attempts: 12, base: 250ms, max: 1m }
jobs:
  shop:
    database: shop
    storages: [main, offsite]
    strategy: { kind: incremental, full_every: 7d }
    keep: { last: 3, daily: 7, weekly: 5, monthly: 12, within: 48h }
    exclude: ["shop.audit_*"]
    limits: { memory: 256MiB, parallel: 4 }
    slow_storage: { drop_after: 5m }
  "Größe / Täglich 1":
    source: sqlite:/srv/app.db
    strategy: full
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "OFFSITE" => Some("/mnt/offsite".to_owned()),
        "PORT" => Some("3307".to_owned()),
        "SHOP_DB_PASSWORD" => Some("geheim".to_owned()),
        _ => None,
    }
}

fn toml(text: &str) -> Config {
    Config::parse(text, Format::Toml, &environment).expect(text)
}

#[test]
fn both_languages_say_the_same() {
    let config = toml(TOML);
    assert_eq!(config, Config::parse(YAML, Format::Yaml, &environment).unwrap());
    assert_eq!(config.databases["shop"].engine, Engine::POSTGRES);
    assert_eq!(config.databases["shop"].port, Some(5432));
    assert_eq!(config.databases["sqlite"].host.as_deref(), Some("/var/lib/app"));
    assert_eq!(config.storages["offsite"].url, "/mnt/offsite");
    let (base, max) = (Duration::from_millis(250), Duration::from_mins(1));
    assert_eq!(config.retry, Retries { attempts: Some(12), base: Some(base), max: Some(max) });
    let shop = &config.jobs["shop"];
    assert_eq!(shop.source, JobSource::Database("shop".to_owned()));
    assert_eq!(shop.storages, ["main", "offsite"]);
    let week = Duration::from_hours(7 * 24);
    let strategy = shop.strategy.unwrap();
    assert_eq!(strategy, StrategyChoice { kind: BackupKind::Incremental, full_every: Some(week) });
    assert_eq!(strategy.strategy().name(), "incremental");
    let keep = Keep {
        last: Some(3),
        daily: Some(7),
        weekly: Some(5),
        monthly: Some(12),
        within: Some(Duration::from_hours(48)),
        ..Keep::default()
    };
    assert_eq!(shop.keep, Some(keep));
    assert_eq!((shop.limits.memory, shop.limits.parallel), (Some(256 << 20), Some(4)));
    assert_eq!(shop.slow_storage, Some(SlowStorage::Drop { after: Duration::from_mins(5) }));
    let other = &config.jobs["Größe / Täglich 1"];
    assert!(matches!(&other.source, JobSource::Url(url) if url.expose() == "sqlite:/srv/app.db"));
    assert_eq!(other.storages, ["main", "offsite"], "all, when none is named");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn a_slow_storage_is_waited_for_or_dropped() {
    for (value, slow) in [("wait", SlowStorage::Wait), ("drop", SlowStorage::DROP)] {
        let config = toml(&format!("[storages.a]\nurl = '/a'\n[jobs.a]\nsource = 'x'\nslow_storage = '{value}'\n"));
        assert_eq!(config.jobs["a"].slow_storage, Some(slow));
    }
}

#[test]
fn the_plainest_file_makes_one_job_of_each_database() {
    let mut text: String = [("mysql", "3306"), ("postgres", "5432"), ("mongodb", "\"${PORT}\"")]
        .map(|(engine, port)| {
            let login = "host = \"localhost\"\nuser = \"u\"\npassword = \"hunter2\"\ndatabases = [\"a\"]";
            format!("[databases.{engine}]\nport = {port}\n{login}\n")
        })
        .concat();
    text += "[databases.sqlite]\nhost = \"/srv\"\ndatabases = [\"a.db\"]\n";
    let config = toml(&text);
    assert_eq!(config.jobs.keys().collect::<Vec<_>>(), ["mongodb", "mysql", "postgres", "sqlite"]);
    for (name, job) in &config.jobs {
        assert_eq!(job.source, JobSource::Database(name.clone()));
        assert_eq!(config.databases[name].engine.as_str(), name);
        assert!(job.storages.is_empty(), "left to the command line");
    }
    assert_eq!(config.databases["mongodb"].port, Some(3307), "a variable may stand for a number");
    assert_eq!(config.warnings.len(), 3);
    assert!(!format!("{config:?}").contains("hunter2"), "a secret is never shown");
    assert!(config.warnings.iter().all(|warning| !warning.contains("hunter2")));
}

#[test]
fn passwords_come_from_where_they_are_said_to_be() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("password");
    std::fs::write(&file, "from file\nsecond line\n").unwrap();
    let read = |line: &str| {
        let config = toml(&format!("[databases.mysql]\n{line}\n"));
        config.databases["mysql"].settings(&environment).map(|s| s.password.map(|p| p.expose().to_owned()))
    };
    assert_eq!(read("").unwrap(), None);
    assert_eq!(read("password = 'plain'").unwrap().unwrap(), "plain");
    assert_eq!(read("password_env = 'SHOP_DB_PASSWORD'").unwrap().unwrap(), "geheim");
    assert_eq!(read(&format!("password_file = '{}'", file.display())).unwrap().unwrap(), "from file");
    assert_eq!(read("password_command = 'echo from command'").unwrap().unwrap(), "from command");
    assert_eq!(read("password_command = ['echo', 'a  \"b\" $c']").unwrap().unwrap(), "a  \"b\" $c");
    assert_eq!(read("password_env = 'MISSING'").unwrap_err().context("variable"), Some("MISSING"));
    assert_eq!(read("password_file = '/no/such'").unwrap_err().context("path"), Some("/no/such"));
    assert_eq!(read("password_command = 'false'").unwrap_err().kind(), kronos_core::ErrorKind::ToolFailed);
    assert_eq!(read("password_command = 'no-such-program-1'").unwrap_err().kind(), kronos_core::ErrorKind::ToolMissing);
}

#[test]
fn secrets_of_storages_in_the_file_are_warned_of() {
    for (line, wanted) in [
        ("url = 's3://b/p?secret_access_key=hunter2'", 1),
        ("url = 's3://b/p'\nsecret_access_key = 'hunter2'", 1),
        ("url = 's3://b/p'\nsecret_access_key = '${SHOP_DB_PASSWORD}'", 0),
        ("url = 's3://b/p'\nsecret_access_key_env = 'SHOP_DB_PASSWORD'", 0),
        ("url = 's3://b/p?secret_access_key_file=/k'", 0),
    ] {
        let config = toml(&format!("[storages.a]\n{line}\n"));
        assert_eq!(config.warnings.len(), wanted, "{line}: {:?}", config.warnings);
        assert!(config.warnings.iter().all(|warning| !warning.contains("hunter2")), "{:?}", config.warnings);
    }
}

#[test]
fn a_command_is_not_run_by_loading() {
    let place = tempfile::tempdir().unwrap();
    let trace = place.path().join("trace");
    let config = toml(&format!("[databases.mysql]\npassword_command = ['touch', '{}']\n", trace.display()));
    assert!(matches!(config.databases["mysql"].password, Some(SecretFrom::Command(_))));
    assert!(!trace.exists());
}

#[cfg(unix)]
#[test]
fn a_password_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("kronos.toml");
    std::fs::write(&file, "[databases.mysql]\npassword = 'hunter2'\n").unwrap();
    for (mode, wanted) in [(0o600, 1), (0o644, 2), (0o640, 2)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::load(&file, &environment).unwrap();
        assert_eq!(config.warnings.len(), wanted, "{mode:o}: {:?}", config.warnings);
        assert_eq!(config.files, std::slice::from_ref(&file));
    }
    let url =
        toml("[jobs.a]\nsource = 'postgres://user:hunter2@host/db'\n[jobs.b]\nsource = 'postgres://user@host/db'\n");
    assert_eq!(url.warnings.len(), 1, "{:?}", url.warnings);
    assert!(!format!("{url:?}").contains("hunter2"));
}

#[test]
fn an_empty_file_is_an_empty_configuration() {
    assert_eq!(toml(""), Config::default());
    assert_eq!(Config::parse("", Format::Yaml, &environment).unwrap(), Config::default());
    assert_eq!(Config::parse("databases:\njobs:\n", Format::Yaml, &environment).unwrap(), Config::default());
}
