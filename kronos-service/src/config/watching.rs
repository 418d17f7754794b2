//! `[metrics]` and `[log]`: what can be seen of Kronos from outside.

use std::path::PathBuf;

use super::schema::{Key, Kind, Table};
use super::section::Section;
use crate::logs::{LogFormat, LogSettings, Rotate};
use crate::metrics::MetricsSettings;

pub(super) static METRICS: Table = Table::new(
    "Figures for Prometheus. Off, unless one of these is set.",
    &[
        Key::new("listen", Kind::Text, "The address where `kronos daemon` gives them, with `/healthz` and `/readyz`.")
            .otherwise("off")
            .example("\"127.0.0.1:9187\""),
        Key::new("textfile", Kind::Text, "The file that every run writes them to, for the node exporter.")
            .otherwise("off")
            .example("\"/var/lib/node_exporter/kronos.prom\""),
    ],
);

pub(super) static LOG: Table = Table::new(
    "What is told of runs. The variable RUST_LOG wins over `level`.",
    &[
        Key::new("level", Kind::Choice(&["off", "error", "warn", "info", "debug", "trace"]), "How much is told.")
            .default("\"info\""),
        Key::new("format", Kind::Choice(&["text", "json"]), "For people, or for programs.").default("\"text\""),
        Key::new("file", Kind::Text, "A file, instead of standard error.").example("\"/var/log/kronos/kronos.log\""),
        Key::new("rotate", Kind::Choice(&["daily", "hourly", "never"]), "When a new file is begun.")
            .default("\"daily\""),
        Key::new("keep", Kind::Integer { least: 1, most: 100_000 }, "How many files are kept.").default("14"),
    ],
);

pub(super) fn metrics(section: &Section<'_>) -> MetricsSettings {
    let listen = section.text("listen").and_then(|text| {
        let address = text.parse().ok();
        if address.is_none() {
            let error = section.at_key("listen", "an address and a port belong here").with("value", &text);
            section.tell(error.with("hint", "such as \"127.0.0.1:9187\", or \"[::]:9187\" for all there are"));
        }
        address
    });
    MetricsSettings { listen, textfile: section.text("textfile").map(PathBuf::from) }
}

pub(super) fn log(section: &Section<'_>) -> LogSettings {
    let default = LogSettings::default();
    LogSettings {
        format: match section.text("format").as_deref() {
            Some("json") => LogFormat::Json,
            _ => default.format,
        },
        file: section.text("file").map(PathBuf::from),
        rotate: match section.text("rotate").as_deref() {
            Some("hourly") => Rotate::Hourly,
            Some("never") => Rotate::Never,
            _ => default.rotate,
        },
        keep: section.number("keep").unwrap_or(default.keep),
        level: section.text("level").unwrap_or(default.level),
    }
}
