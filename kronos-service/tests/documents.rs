//! The files that are made from the description of the keys: none of them lags behind it. With
//! `KRONOS_UPDATE=1` they are written.

use std::fs;
use std::path::{Path, PathBuf};

use kronos_service::{Config, Format, json_schema, reference, sample};

fn of_project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn same(name: &str, wanted: &str) {
    let file = of_project(name);
    if std::env::var("KRONOS_UPDATE").is_ok_and(|value| value == "1") {
        fs::write(&file, wanted).expect("a file that can be written");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == wanted, "{name} is not what the description of the keys makes: run this with KRONOS_UPDATE=1");
}

#[test]
fn the_examples_are_the_sample() {
    let mut configs = Vec::new();
    for (name, format) in [("examples/kronos.toml", Format::Toml), ("examples/kronos.yaml", Format::Yaml)] {
        same(name, &sample(format));
        let mut config = Config::load(&of_project(name), &|_| None).unwrap();
        config.files.clear();
        configs.push(config);
    }
    assert_eq!(configs[0], configs[1]);
}

#[test]
fn the_schema_is_that_of_the_keys() {
    let mut text = serde_json::to_string_pretty(&json_schema()).unwrap();
    text.push('\n');
    same("docs/kronos.schema.json", &text);
}

#[test]
fn the_reference_is_that_of_the_keys() {
    const BEGIN: &str = "<!-- made from the description of the keys -->\n\n";
    let text = fs::read_to_string(of_project("docs/configuration.md")).unwrap();
    let (before, _) = text.split_once(BEGIN).expect("the place of the reference");
    same("docs/configuration.md", &format!("{before}{BEGIN}{}\n", reference().trim_end()));
}
