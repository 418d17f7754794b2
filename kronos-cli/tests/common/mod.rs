//! A directory of its own for each test, and the real program run in it.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod bank;
pub mod receiver;
pub mod small;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

/// A place to work in, with a home of its own.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
}

/// What a run of the program left.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, with nothing of this machine's environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kronos"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("home/.local/state"));
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    pub fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Ran {
        Ran::of(&self.command(args).envs(variables.iter().copied()).output().unwrap())
    }

    /// Runs the program, which must succeed.
    pub fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "kronos {args:?}\n{}\n{}", ran.out, ran.err);
        ran
    }

    /// The JSON that the program shows, which must succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let ran = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{args:?}: {e}\n{}", ran.out))
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A database with a table of so many rows.
    pub fn database(&self, name: &str, rows: u32) {
        let mut db = Connection::open(self.path(name)).unwrap();
        db.execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)").unwrap();
        let all = db.transaction().unwrap();
        for n in 0..rows {
            all.execute("INSERT INTO orders (note) VALUES (?1)", [format!("order {n} {}", n * 7919)]).unwrap();
        }
        all.commit().unwrap();
    }

    pub fn change(&self, name: &str, sql: &str) {
        Connection::open(self.path(name)).unwrap().execute_batch(sql).unwrap();
    }

    pub fn rows(&self, name: &str) -> u32 {
        let db = Connection::open(self.path(name)).unwrap();
        db.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap()
    }

    /// Every file but those of the home, with its content.
    pub fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.dir.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true if path.ends_with("home") => {}
                    true => {
                        found.insert(path.clone(), Vec::new());
                        open.push(path);
                    }
                    false => {
                        found.insert(path.clone(), fs::read(&path).unwrap_or_default());
                    }
                }
            }
        }
        found
    }

    /// Files below a directory whose path within it holds `part`. None is opened: SQLite's locks
    /// of this process would go with that.
    pub fn files(&self, directory: &str, part: &str) -> Vec<PathBuf> {
        let below = self.path(directory);
        let (mut found, mut open) = (Vec::new(), vec![below.clone()]);
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.strip_prefix(&below).unwrap().to_string_lossy().contains(part) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks the form of a failure: its code, its error, and a hint.
    #[track_caller]
    pub fn fails(&self, code: i32, error: &str, hint: &str) {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        let first = self.err.lines().find(|line| line.starts_with("error: "));
        assert!(first.is_some_and(|line| line.contains(error)), "no `{error}` in:\n{}", self.err);
        assert!(self.err.contains(hint), "no `{hint}` in:\n{}", self.err);
        assert!(self.out.is_empty(), "a failure shows no result:\n{}", self.out);
    }
}

/// Turns a bit of a file over.
pub fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    // What is there twice is hit in both of its halves.
    bytes[length / 4] ^= 0x10;
    bytes[length * 3 / 4] ^= 0x10;
    fs::write(path, bytes).unwrap();
}
