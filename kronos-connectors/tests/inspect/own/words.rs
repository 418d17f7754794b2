//! What is said to each kind of server.

use super::{DATABASE, Kind};

/// Statements that do the same everywhere.
pub(crate) struct Words {
    /// Makes the database, and the one that it is said in.
    pub(crate) make: Option<String>,
    pub(crate) before: Option<&'static str>,
    /// Fills it: a table `t` with the numbers from 1 to `many`, and so much beside them that they do not
    /// all fit into what lies between a server and its reader.
    pub(crate) fill: Vec<String>,
    pub(crate) many: usize,
    /// Takes a long time.
    pub(crate) slow: String,
    /// Writes, and takes a long time before it has.
    pub(crate) slow_write: String,
    /// All rows of `t`, in their order.
    pub(crate) rows: String,
    /// The sum of all numbers, as one row; a word to be heard on the way is in it.
    pub(crate) sum: String,
    /// What is in the only row of it.
    pub(crate) total: &'static str,
    /// Adds a row that changes the sum.
    pub(crate) add: String,
}

/// A word that only `sum` has.
pub(crate) const HEARD: &str = "kronos_heard";

impl Words {
    pub(crate) fn of(kind: Kind) -> Self {
        if kind == Kind::Mongodb { Self::of_documents() } else { Self::in_sql(kind) }
    }

    fn in_sql(kind: Kind) -> Self {
        let (numbers, wait, long) = match kind {
            Kind::Postgres => ("SELECT i FROM generate_series(1, 20000) AS i", "pg_sleep(60) IS NULL", "pg_sleep(60)"),
            Kind::Mariadb => ("SELECT seq FROM seq_1_to_20000", "SLEEP(60) = 7", "SLEEP(60)"),
            Kind::Mysql => (
                "SELECT n FROM JSON_TABLE(CONCAT('[1', REPEAT(',1', 19999), ']'), '$[*]' COLUMNS (n FOR ORDINALITY)) AS x",
                "SLEEP(60) = 7",
                "SLEEP(60)",
            ),
            Kind::Mongodb => unreachable!("it speaks no SQL"),
        };
        let own = if kind == Kind::Postgres { "postgres" } else { "information_schema" };
        let text = if kind == Kind::Postgres { "repeat('x', 2000)" } else { "REPEAT('x', 2000)" };
        let engine = if kind == Kind::Postgres { "" } else { " ENGINE = InnoDB" };
        Self {
            make: Some(format!("CREATE DATABASE {DATABASE}")),
            before: Some(own),
            many: 20_000,
            fill: vec![
                format!("CREATE TABLE t (a integer PRIMARY KEY, b text){engine}"),
                format!("INSERT INTO t SELECT n.*, {text} FROM ({numbers}) AS n"),
            ],
            slow: format!("SELECT {long}"),
            slow_write: format!("UPDATE t SET a = -a WHERE a = 1 AND {wait}"),
            rows: "SELECT a, b FROM t ORDER BY a".to_owned(),
            sum: format!("SELECT CONCAT('{HEARD} ', SUM(a)) FROM t"),
            total: r#"[["kronos_heard 200010000"]]"#,
            add: "INSERT INTO t VALUES (20001, NULL)".to_owned(),
        }
    }

    fn of_documents() -> Self {
        let documents = |from: u32| {
            let all: Vec<String> =
                (from..from + 50).map(|n| format!(r#"{{"_id": {n}, "b": "{}"}}"#, "x".repeat(10_000))).collect();
            format!(r#"{{"insert": "t", "documents": [{}]}}"#, all.join(","))
        };
        // It takes the processor and no memory.
        let work = r#"{"$project": {"x": {"$reduce": {"input": {"$range": [0, 500]}, "initialValue": 0, "in": {"$add": ["$$value", 1]}}}}}"#;
        let slow = |end: &str| format!(r#"{{"aggregate": "t", "pipeline": [{work}, {end}], "cursor": {{}}}}"#);
        Self {
            make: None,
            before: None,
            many: 2000,
            fill: (0..40).map(|part| documents(part * 50 + 1)).collect(),
            slow: slow(r#"{"$group": {"_id": null, "n": {"$sum": "$x"}}}"#),
            slow_write: slow(r#"{"$out": "copied"}"#),
            rows: r#"{"find": "t", "sort": {"_id": 1}, "batchSize": 20}"#.to_owned(),
            sum: format!(
                r#"{{"aggregate": "t", "pipeline": [{{"$group": {{"_id": "{HEARD}", "sum": {{"$sum": "$_id"}}}}}}], "cursor": {{}}}}"#
            ),
            total: r#"[[{"_id":"kronos_heard","sum":{"$numberInt":"2001000"}}]]"#,
            add: r#"{"insert": "t", "documents": [{"_id": 2001}]}"#.to_owned(),
        }
    }
}
