//! Help, completions and the manual page show what there is.
use crate::common::Place;

const COMMANDS: [&str; 27] = [
    "init",
    "backup",
    "restore",
    "list",
    "show",
    "diff",
    "check",
    "prune",
    "forget",
    "hold",
    "release",
    "copy",
    "key",
    "export",
    "inspect",
    "query",
    "generate",
    "validate",
    "config",
    "daemon",
    "schedule",
    "notify",
    "audit",
    "doctor",
    "completions",
    "man",
    "help",
];

#[test]
fn help_lists_only_what_exists() {
    let place = Place::new();
    let help = place.ok(&["--help"]).out;
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(listed, COMMANDS);
    for command in COMMANDS.iter().filter(|name| **name != "help") {
        assert!(place.ok(&[command, "--help"]).out.contains("Usage: kronos"), "{command}");
    }
}

#[test]
fn completions_and_the_manual_are_there() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.ok(&["completions", shell]).out.contains("restore"), "{shell}");
    }
    let all = place.ok(&["man"]).out;
    for part in [".TH KRONOS", ".TH KRONOS-BACKUP", ".TH KRONOS-KEY-ROTATE", "keep\\-daily"] {
        assert!(all.contains(part), "{part}");
    }
    let one = place.ok(&["man", "key", "add"]).out;
    assert!(one.contains("new\\-recipient") && !one.contains("keep\\-daily"));
    assert_eq!(place.ok(&["--version"]).out, format!("kronos {}\n", env!("CARGO_PKG_VERSION")));
}
