//! What lies in `packaging/` fits the program: no dashboard and no alert names a metric that is not
//! there, and every metric is shown.

mod figures;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use figures::full;
use serde_json::Value;

fn packaging(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every name of a metric in a text.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("kronos_") && *word != "kronos_job").map(str::to_owned).collect()
}

/// Every name in front of a value, of a process and of a textfile.
async fn exposed() -> BTreeSet<String> {
    let metrics = full().await;
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("kronos.prom");
    let mut file = kronos_service::metrics::Textfile::new(&path);
    file.update(&metrics.snapshot(), None, figures::at(1)).expect("a textfile");
    let text = metrics.page().expect("a page") + &std::fs::read_to_string(path).expect("a textfile");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

fn expressions(value: &Value, into: &mut String) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if ["expr", "query", "definition"].contains(&key.as_str()) => {
                        into.push_str(text);
                        into.push(' ');
                    }
                    _ => expressions(value, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, into)),
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_shows_every_metric_and_no_other() {
    let dashboard: Value = serde_json::from_str(&packaging("grafana/kronos.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "every panel has an id of its own");
    assert!(panels.iter().all(|panel| panel["title"].as_str().is_some_and(|title| !title.is_empty())));
    let mut text = String::new();
    expressions(&dashboard, &mut text);
    let (named, exposed) = (named(&text), exposed().await);
    assert_eq!(named.difference(&exposed).collect::<Vec<_>>(), Vec::<&String>::new(), "there are no such metrics");
    // Of a histogram the buckets are enough; what nobody would draw is looked up when it is needed.
    let shown = |name: &&String| !name.ends_with("_sum") && !name.ends_with("_count") && !rare(name);
    assert_eq!(exposed.difference(&named).filter(shown).collect::<Vec<_>>(), Vec::<&String>::new(), "not shown");
}

/// Figures of runs that only some installations have, all built like those of backups.
fn rare(name: &str) -> bool {
    let seldom = ["kronos_restore_", "kronos_prune_", "kronos_catch_up_", "kronos_verify_"];
    seldom.iter().any(|start| name.starts_with(start))
}

#[tokio::test]
async fn alerts_name_metrics_that_are_there() {
    let rules: Value = serde_saphyr::from_str(&packaging("prometheus/kronos.rules.yaml")).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() >= 10);
    let mut alerts = BTreeSet::new();
    for rule in rules {
        let alert = rule["alert"].as_str().unwrap();
        assert!(alerts.insert(alert), "{alert} twice");
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{alert}");
        assert!(
            rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string(),
            "{alert}"
        );
        let named = named(rule["expr"].as_str().unwrap());
        let exposed = exposed().await;
        assert_eq!(named.difference(&exposed).collect::<Vec<_>>(), Vec::<&String>::new(), "{alert}");
    }
    let _: Value = serde_saphyr::from_str(&packaging("prometheus/kronos.test.yaml")).unwrap();
}

#[tokio::test]
async fn the_documentation_has_every_metric() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring.md")).unwrap();
    let mut documented = named(&text);
    // Those of operations are written once, with the operation left open.
    for end in text.split("kronos_OPERATION_").skip(1) {
        let end: String = end.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        for operation in ["backup", "restore", "verify", "prune", "catch_up"] {
            documented.insert(format!("kronos_{operation}_{end}"));
        }
    }
    let missing: Vec<String> = (exposed().await.into_iter())
        .filter(|name| {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            !documented.contains(name) && !documented.contains(family)
        })
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}
