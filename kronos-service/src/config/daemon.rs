//! `[daemon]` and `[audit]`: the program that runs jobs by itself, and what it keeps.

use std::path::PathBuf;
use std::time::Duration;

use super::schema::{Key, Kind, Table};
use super::section::Section;

pub(super) static TABLE: Table = Table::new(
    "`kronos daemon`, which runs the jobs by their schedules.",
    &[
        Key::new("parallel", Kind::Integer { least: 1, most: 1_000 }, "Jobs that run at a time.").default("2"),
        Key::new("per_source", Kind::Integer { least: 1, most: 1_000 }, "Jobs of one source that run at a time.")
            .default("1"),
        Key::new(
            "stop_within",
            Kind::Duration,
            "How long a stop waits for runs to end. What has not ended is stopped, and resumes.",
        )
        .default("\"30s\""),
        Key::new("state", Kind::Text, "The directory of what is remembered: runs, messages, the audit log.")
            .otherwise(
                "`$XDG_STATE_HOME/kronos`, else `/var/lib/kronos` for root and its owner, else `~/.local/state/kronos`",
            )
            .example("\"/var/lib/kronos\""),
    ],
);

pub(super) static AUDIT: Table = Table::new(
    "The audit log: who did what.",
    &[Key::new("directory", Kind::Text, "The directory of its files.")
        .otherwise("that of `daemon.state`")
        .example("\"/var/log/kronos/audit\"")],
);

/// How the daemon runs jobs; `None` is the default of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Jobs at a time.
    pub parallel: usize,
    /// Jobs of one source at a time.
    pub per_source: usize,
    /// How long a stop waits for runs to end before it stops them.
    pub stop_within: Duration,
    /// The directory of what is remembered; `None` is for the program to choose.
    pub state: Option<PathBuf>,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self { parallel: 2, per_source: 1, stop_within: Duration::from_secs(30), state: None }
    }
}

impl DaemonConfig {
    pub(super) fn from_section(section: &Section<'_>) -> Self {
        let default = Self::default();
        Self {
            parallel: section.number("parallel").unwrap_or(default.parallel),
            per_source: section.number("per_source").unwrap_or(default.per_source),
            stop_within: section.duration("stop_within").unwrap_or(default.stop_within),
            state: section.text("state").map(PathBuf::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::assert_default;

    #[test]
    fn the_defaults_are_those_that_are_described() {
        let read = DaemonConfig::default();
        assert_eq!(TABLE.find("parallel").unwrap().0.default, Some(read.parallel.to_string().as_str()));
        assert_eq!(TABLE.find("per_source").unwrap().0.default, Some(read.per_source.to_string().as_str()));
        assert_default(&TABLE, "stop_within", read.stop_within);
    }
}
