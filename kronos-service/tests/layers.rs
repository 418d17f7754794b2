//! Layers over each other, and where each value is said to come from.

use std::fs;

use kronos_core::Error;
use kronos_service::{Format, LayerKind, Layers, Loaded, SecretFrom};

const SYSTEM: &str = r#"
[databases.shop]
engine = "postgres"
host = "db.internal"
password_env = "SYSTEM_PASSWORD"
databases = ["shop", "billing"]
[storages.main]
url = "/srv/backups"
[jobs."Über / Täglich"]
source = "sqlite:/srv/a.db"
[jobs.shop]
keep = { last = 3, daily = 7 }
schedule = "@daily"
"#;

const PROJECT: &str = r"
databases:
  shop:
    port: 5433
    password_file: /etc/shop
    databases: [shop]
jobs:
  shop:
    keep: { daily: 14 }
";

fn layers() -> Layers {
    let layers = Layers::new().with_text(LayerKind::Project, PROJECT, Format::Yaml).expect("YAML");
    layers.with_text(LayerKind::System, SYSTEM, Format::Toml).expect("TOML")
}

fn with(variables: &[(&str, &str)]) -> Layers {
    layers().with_variables(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn load(layers: Layers) -> Loaded {
    layers.load(&|name| (name == "TOKEN").then(|| "hunter2".to_owned())).expect("a good configuration")
}

fn refused(layers: Layers) -> Error {
    let problems = layers.load(&|_| None).expect_err("a bad configuration");
    assert_eq!(problems.errors().len(), 1, "{problems}");
    problems.into()
}

/// Where a value comes from and what it is.
fn origin(loaded: &Loaded, key: &str) -> (String, String) {
    let settings = loaded.effective.settings();
    let found = settings.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("no {key}"));
    (found.origin.describe(), found.value.to_string())
}

#[test]
fn tables_are_merged_key_by_key_and_all_else_is_replaced() {
    let loaded = load(layers());
    let shop = &loaded.config.databases["shop"];
    assert_eq!((shop.host.as_deref(), shop.port), (Some("db.internal"), Some(5433)));
    assert_eq!(shop.databases, ["shop"], "lists are not put together");
    assert_eq!(shop.password, Some(SecretFrom::File("/etc/shop".into())), "a secret has one place");
    let keep = loaded.config.jobs["shop"].keep.unwrap();
    assert_eq!((keep.last, keep.daily), (Some(3), Some(14)));
    assert_eq!(origin(&loaded, "databases.shop.port"), ("line 4".to_owned(), "5433".to_owned()));
    assert_eq!(origin(&loaded, "jobs.shop.keep.last").0, "line 12");
    assert_eq!(origin(&loaded, "jobs.shop.keep.daily").0, "line 9");
}

#[test]
fn variables_find_names_whatever_their_case_and_signs() {
    let loaded = load(with(&[
        ("KRONOS__JOBS__SHOP__SCHEDULE", "0 4 * * *"),
        ("KRONOS__JOBS__ÜBER_TÄGLICH__LIMITS__PARALLEL", "9"),
        ("KRONOS__JOBS__SHOP__STRATEGY", "{ kind = 'incremental', full_every = '7d' }"),
        ("KRONOS__JOBS__SHOP__EXCLUDE", "['a_*', 'b']"),
        ("KRONOS__JOBS__SHOP__STORAGES", "main"),
        ("KRONOS__DATABASES__SHOP__PASSWORD", "12345 ${TOKEN}"),
        ("KRONOS__DATABASES__SHOP__PORT", "5434"),
        ("KRONOS__STORAGES__OFFSITE__URL", "s3://b/p"),
        ("KRONOS__STORAGES__OFFSITE__PATH_STYLE", "true"),
        ("KRONOS__LOG__LEVEL", "debug"),
        ("KRONOS_CONFIG", "not one of them"),
    ]));
    let config = &loaded.config;
    let shop = &config.jobs["shop"];
    assert_eq!(shop.schedule.as_ref().unwrap().cron, "0 4 * * *");
    assert_eq!(shop.strategy.unwrap().full_every, Some(std::time::Duration::from_hours(168)));
    assert_eq!(
        (shop.exclude.as_slice(), shop.storages.as_slice()),
        (&["a_*", "b"].map(str::to_owned)[..], &["main".to_owned()][..])
    );
    assert_eq!(config.databases["shop"].port, Some(5434));
    let password = config.databases["shop"].settings(&|_| None).unwrap().password.unwrap();
    assert_eq!(password.expose(), "12345 ${TOKEN}", "taken as it is");
    assert_eq!(config.storages["offsite"].url, "s3://b/p?path_style=true");
    assert_eq!(config.log.level, "debug");
    assert!(config.warnings.is_empty(), "no file holds a secret: {:?}", config.warnings);
    assert_eq!(origin(&loaded, "jobs.shop.schedule").0, "KRONOS__JOBS__SHOP__SCHEDULE");
    assert_eq!(origin(&loaded, "databases.shop.password").1, "\"***\"");
}

#[test]
fn what_is_given_for_one_run_wins() {
    let layers = with(&[("KRONOS__LOG__LEVEL", "debug")]).with_setting("log.level", "trace");
    let loaded = load(layers.with_setting("jobs.\"Über / Täglich\".limits.parallel", "2"));
    assert_eq!(loaded.config.log.level, "trace");
    assert_eq!(loaded.config.jobs["Über / Täglich"].limits.parallel, Some(2));
    assert_eq!(origin(&loaded, "log.level").0, "log.level");
}

#[test]
fn wrong_variables_are_named() {
    let error = refused(with(&[("KRONOS__JBOS__SHOP__SCHEDULE", "x")]));
    assert_eq!(error.context("variable"), Some("KRONOS__JBOS__SHOP__SCHEDULE"));
    assert_eq!(error.context("did you mean"), Some("jobs"));
    let error = refused(with(&[("KRONOS__DATABASES__SHOP__PORT", "many")]));
    assert_eq!(error.context("variable"), Some("KRONOS__DATABASES__SHOP__PORT"));
    assert_eq!(error.context("key"), Some("databases.shop.port"));
    let twins = "[storages.a-b]\nurl = '/1'\n[storages.a_b]\nurl = '/2'\n";
    let layers = Layers::new().with_text(LayerKind::User, twins, Format::Toml).unwrap();
    let error = refused(layers.with_variables([("KRONOS__STORAGES__A_B__URL".to_owned(), "/3".to_owned())]));
    assert!(error.message().contains("two names"), "{error}");
    let error = refused(layers_with_setting("jobs..x"));
    assert!(error.message().contains("not a key"), "{error}");
}

fn layers_with_setting(key: &str) -> Layers {
    layers().with_setting(key, "1")
}

#[test]
fn an_error_names_the_file_that_has_it() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::write(at("system.toml"), "[log]\nkeep = 0\n").unwrap();
    fs::write(at("user.yaml"), "log:\n  level: loud\n").unwrap();
    fs::write(at("broken.toml"), "[log\n").unwrap();
    let layers = || {
        let layers = Layers::new().with_file(LayerKind::System, &at("system.toml")).unwrap();
        layers.with_file(LayerKind::User, &at("user.yaml")).unwrap()
    };
    let problems = layers().load(&|_| None).unwrap_err();
    let found: Vec<_> =
        problems.errors().iter().map(|e| (e.context("file").unwrap(), e.context("line").unwrap())).collect();
    let wanted = [(at("system.toml"), "2"), (at("user.yaml"), "2")];
    assert_eq!(found.len(), 2, "{problems}");
    for (file, line) in wanted {
        assert!(found.contains(&(file.to_str().unwrap(), line)), "{found:?}");
    }
    let broken = layers().with_file(LayerKind::Project, &at("broken.toml")).unwrap();
    let error = Error::from(broken.load(&|_| None).unwrap_err());
    assert_eq!(error.context("file"), at("broken.toml").to_str());
}

#[test]
fn what_is_shown_can_be_read_again_and_holds_no_secret() {
    let text = r#"
[databases.shop]
engine = "postgres"
password = "hunter2"
host = "${HOST:-db}"
[storages.main]
url = "s3://me:hunter2@bucket/p?secret_access_key=hunter2"
[notify.ops]
slack = { webhook = "https://hooks.example.com/hunter2" }
webhook = { url_env = "ALARM", headers = { authorization = "Bearer hunter2" } }
[jobs.shop]
hooks = { before = "curl -H ${TOKEN}" }
blackout = [{ from = "08:00", to = "18:00" }]
schedule = "@daily"
[jobs."a \"b\""]
source = "postgres://u:hunter2@h/d"
strategy = { kind = "full" }
"#;
    let loaded = load(Layers::new().with_text(LayerKind::User, text, Format::Toml).unwrap());
    for origins in [false, true] {
        let shown = loaded.effective.to_toml(origins);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("curl -H ${TOKEN}"), "{shown}");
        assert_eq!(shown.contains("host = \"db\"  # line 5"), origins, "{shown}");
        assert!(shown.contains("#parallel = 4  # default"), "{shown}");
        let again = Layers::new().with_text(LayerKind::User, &shown, Format::Toml).expect(&shown);
        let again = again.load(&|_| Some("x".to_owned())).expect(&shown);
        assert_eq!(again.config.jobs.keys().collect::<Vec<_>>(), loaded.config.jobs.keys().collect::<Vec<_>>());
        assert_eq!(again.config.jobs["shop"].schedule, loaded.config.jobs["shop"].schedule);
    }
    let json = serde_json::to_string(&loaded.effective.settings()).unwrap();
    assert!(!json.contains("hunter2") && !format!("{:?}", loaded.effective).contains("hunter2"), "{json}");
    let config = &loaded.config;
    let debug = format!("{:?}{:?}{:?}", config.databases, config.storages, config.notify);
    assert!(!debug.contains("hunter2"), "{debug}");
}

#[test]
fn thousands_of_jobs_are_read_quickly() {
    let mut text = "[storages.main]\nurl = '/b'\n".to_owned();
    for n in 0..2_000 {
        let job = "source = 'a.db'\nschedule = '@daily'\nkeep = { last = 3 }\n";
        text.extend(["[jobs.j", &n.to_string(), "]\n", job]);
    }
    let begun = std::time::Instant::now();
    assert_eq!(load(Layers::new().with_text(LayerKind::User, &text, Format::Toml).unwrap()).config.jobs.len(), 2_000);
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}
