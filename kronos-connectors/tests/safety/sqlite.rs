//! The cases of SQLite, on the library that is built in.

use std::fmt::Write as _;

use kronos_core::Engine;
use libtest_mimic::Trial;
use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::types::Value;

use crate::run::{self, Bench};

pub(crate) fn trials() -> Vec<Trial> {
    let test = |name: &str, test: fn(&Engine, &mut dyn Bench)| {
        Trial::test(format!("sqlite::{name}"), move || {
            test(&Engine::SQLITE, &mut Sqlite::new());
            Ok(())
        })
    };
    vec![
        test("what_is_safe_changes_nothing", run::safe_ones_change_nothing),
        test("what_is_not_safe_can_be_seen", run::others_can_be_seen),
    ]
}

struct Sqlite {
    directory: tempfile::TempDir,
    session: Connection,
}

impl Sqlite {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), session: Connection::open_in_memory().unwrap() }
    }
}

impl Bench for Sqlite {
    fn renew(&mut self) {
        *self = Self::new();
        self.session = Connection::open(self.directory.path().join("corpus.db")).unwrap();
        self.session.execute_batch(include_str!("corpus/sqlite.sql")).unwrap();
    }

    fn run(&mut self, text: &str) -> Result<(), String> {
        // As a program would that runs each statement to its end.
        let mut batch = rusqlite::Batch::new(&self.session, text);
        while let Some(mut statement) = batch.next().map_err(|error| error.to_string())? {
            let mut rows = statement.raw_query();
            while rows.next().map_err(|error| error.to_string())?.is_some() {}
        }
        Ok(())
    }

    fn state(&mut self) -> String {
        let other = Connection::open(self.directory.path().join("corpus.db")).unwrap();
        let rows = |sql: &str| -> Vec<Vec<Value>> {
            let mut statement = other.prepare(sql).unwrap();
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let schema = rows("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY 1, 2");
        let mut state = format!("{schema:?}");
        for table in &schema {
            if let [Value::Text(kind), Value::Text(name), ..] = table.as_slice()
                && kind == "table"
            {
                writeln!(state, "{name}: {:?}", rows(&format!("SELECT * FROM \"{name}\""))).unwrap();
            }
        }
        for pragma in ["user_version", "application_id", "schema_version", "journal_mode", "page_size"] {
            writeln!(state, "{pragma}: {:?}", rows(&format!("PRAGMA {pragma}"))).unwrap();
        }
        state
    }
}
