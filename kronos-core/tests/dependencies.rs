//! The core knows no database, no cloud and no command line; only one TLS and crypto stack is in
//! the whole workspace.

use std::process::Command;

fn tree(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--offline", "--edges", "normal,build", "--prefix", "none"]).args(arguments);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

fn has(tree: &str, name: &str) -> bool {
    tree.lines().any(|line| line.split(' ').next() == Some(name))
}

#[test]
fn the_core_knows_no_database_no_cloud_and_no_command_line() {
    let tree = tree(&["-p", "kronos-core", "--all-features"]);
    assert!(has(&tree, "tokio"), "the listing is not what this test takes it for: {tree}");
    for name in [
        "object_store",
        "rusqlite",
        "libsqlite3-sys",
        "sqlx",
        "mysql_async",
        "mongodb",
        "clap",
        "reqwest",
        "kronos-connectors",
        "kronos-storage",
        "kronos-service",
    ] {
        assert!(!has(&tree, name), "kronos-core depends on {name}");
    }
}

#[test]
fn dependencies_point_one_way() {
    for (member, unknown) in [
        ("kronos-connectors", &["kronos-storage", "kronos-service", "kronos-cli", "object_store", "clap"][..]),
        ("kronos-storage", &["kronos-connectors", "kronos-service", "kronos-cli", "rusqlite", "clap"]),
        // Its job store is a SQLite file of its own.
        ("kronos-service", &["kronos-connectors", "kronos-storage", "kronos-cli", "object_store", "clap"]),
    ] {
        let tree = tree(&["-p", member, "--all-features"]);
        for name in unknown {
            assert!(!has(&tree, name), "{member} depends on {name}");
        }
    }
}

#[test]
fn one_crypto_stack() {
    let tree = tree(&["--workspace", "--all-features"]);
    for name in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"] {
        assert!(!has(&tree, name), "{name} is in the tree");
    }
}
