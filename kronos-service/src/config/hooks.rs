//! `hooks` of a job: commands before and after a run.

use super::schema::{Key, Kind, Table};
use super::section::Section;
use super::tree::Value;
use crate::hooks::{Hook, HookCommand, HookSettings};

static HOOK: Table = Table::new(
    "One hook.",
    &[
        Key::new("command", Kind::Command, "A line for `/bin/sh`, or a list of a program and its arguments.")
            .example("\"/usr/local/bin/before-backup\""),
        Key::new("timeout", Kind::Duration, "How long it may take.").default("\"60s\""),
    ],
);

pub(super) static TABLE: Table = Table::new(
    "Commands around a run. Each is a line for `/bin/sh`, a list of a program and its arguments, or a table with \
     `command` and `timeout`. It gets a report of the run as JSON on its standard input.",
    &[
        Key::new("before", Kind::CommandOr(&HOOK), "Before the run, which does not begin if this fails.")
            .example("\"systemctl stop app\""),
        Key::new("after", Kind::CommandOr(&HOOK), "After a run that did not fail.").example("\"systemctl start app\""),
        Key::new("on_failure", Kind::CommandOr(&HOOK), "After a run that failed or was stopped.")
            .example("[\"/usr/local/bin/alarm\", \"kronos\"]"),
        Key::new("env", Kind::Texts, "Variables that hooks get beside PATH, HOME, LANG and those of Kronos.")
            .example("[\"DOCKER_HOST\"]"),
    ],
);

pub(super) fn from_section(section: &Section<'_>) -> HookSettings {
    HookSettings {
        before: hook(section, "before"),
        after: hook(section, "after"),
        on_failure: hook(section, "on_failure"),
        env: section.texts("env").unwrap_or_default(),
    }
}

fn hook(section: &Section<'_>, name: &str) -> Option<Hook> {
    let Some(table) = section.section(name) else {
        return Some(Hook { command: command(section, name)?, timeout: Hook::TIMEOUT });
    };
    if table.find("command").is_none() {
        table.tell(table.wrong("a key is missing").with("missing", "command"));
    }
    let timeout = table.duration("timeout").unwrap_or(Hook::TIMEOUT);
    Some(Hook { command: command(&table, "command")?, timeout })
}

fn command(section: &Section<'_>, name: &str) -> Option<HookCommand> {
    let is_line = matches!(section.find(name)?.node.value, Value::Text { .. });
    if is_line { section.text(name).map(HookCommand::Shell) } else { section.texts(name).map(HookCommand::Program) }
}
