//! `kronos inspect` and `kronos query`: what they show, what they refuse, how they end.
use crate::common::Place;

fn shop() -> Place {
    let place = Place::new();
    place.database("app.db", 25);
    place.change("app.db", "CREATE TABLE parts (a INTEGER REFERENCES orders (id), b TEXT); CREATE VIEW v AS SELECT 1");
    place
}

#[test]
fn a_source_is_looked_into() {
    let place = shop();
    let tables = place.json(&["inspect", "app.db"]);
    let names: Vec<&str> = tables["tables"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!((names, tables["schema"].as_str()), (vec!["orders", "parts", "v"], Some("kronos.inspect/1")));
    let table = place.json(&["inspect", "app.db", "orders", "--exact"]);
    assert_eq!(table["table"]["columns"][0]["name"], "id");
    assert_eq!(table["table"]["count"], serde_json::json!({"kind": "exact", "rows": 25}));
    let text = place.ok(&["inspect", "app.db", "parts"]).out;
    assert!(text.contains("(a) -> orders (id)"), "{text}");
    let ran = place.run(&["inspect", "app.db", "absent"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    let ran = place.run(&["inspect", "absent.db"]);
    assert_eq!((ran.code, place.path("absent.db").exists()), (5, false), "{}", ran.err);
    assert_eq!(place.run(&["inspect", "app.db", "a..b"]).code, 2);
}

#[test]
fn a_statement_reads_unless_it_is_told_otherwise() {
    let place = shop();
    let shown = place.json(&["query", "app.db", "SELECT id FROM orders WHERE id > ? ORDER BY id", "--param", "20"]);
    assert_eq!(shown["rows"], serde_json::json!([[21], [22], [23], [24], [25]]));
    assert_eq!((shown["schema"].as_str(), shown["page"]["total"].as_u64()), (Some("kronos.query/1"), Some(5)));
    let before = place.everything();
    for (args, code, told) in [
        (&["UPDATE orders SET note = 'x' WHERE id = 1"][..], 1, "--write"),
        (&["DELETE FROM orders"], 2, "--yes"),
        (&["DELETE FROM orders", "--write"], 2, "--yes"),
        (&["SELECT load_extension('x')"], 2, "--yes"),
        (&["DROP TABLE parts", "--yes"], 1, "--write"),
        (&["SELECT 1; DELETE FROM orders", "--write", "--yes"], 2, "one statement"),
        (&["SELECT 1", "--page", "0"], 2, "from 1"),
        (&["SELECT * FROM absent"], 5, "inspect"),
        (&["SELEC"], 2, ""),
    ] {
        let ran = place.run(&[&["query", "app.db"], args].concat());
        assert!(ran.code == code && ran.err.contains(told) && ran.out.is_empty(), "{args:?}: {} {}", ran.code, ran.err);
    }
    assert_eq!(place.everything(), before);
    let ran = place.ok(&["query", "app.db", "UPDATE orders SET note = 'x' WHERE id <= 3", "--write"]);
    assert_eq!(ran.out, "3 rows changed\n");
    place.ok(&["query", "app.db", "DELETE FROM orders", "--write", "--yes"]);
    assert_eq!(place.rows("app.db"), 0);
}

#[test]
fn pages_of_a_table_go_on_where_the_last_one_ended() {
    let place = shop();
    let (mut after, mut seen) = (None::<String>, Vec::new());
    loop {
        let mut args = vec!["query", "app.db", "--table", "orders", "--page-size", "10"];
        if let Some(place) = &after {
            args.extend(["--after", place]);
        }
        let shown = place.json(&args);
        seen.extend(shown["rows"].as_array().unwrap().iter().map(|row| row[0].as_u64().unwrap()));
        match shown["page"]["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen, (1..=25).collect::<Vec<u64>>());
    let ran = place.ok(&["query", "app.db", "--table", "orders", "--page-size", "10"]);
    assert!(ran.err.contains("--after '[10]'"), "{}", ran.err);
}

#[test]
fn a_source_can_come_from_the_configuration_or_the_environment() {
    let place = shop();
    place.write(
        "kronos.toml",
        "[databases.shop]\nengine = \"sqlite\"\nhost = \".\"\ndatabases = [\"app.db\"]\n\
         [storages.main]\nurl = \"repo\"\n[pool]\nmax_connections = 3\nquery_timeout = \"5s\"\n",
    );
    assert_eq!(place.ok(&["query", "shop", "SELECT count(*) FROM orders", "-q"]).out.trim_end(), "count(*)\n      25");
    let ran = place.run_with(&[("DATABASE_URL", "sqlite:app.db")], &["inspect", "DATABASE_URL"]);
    assert!(ran.code == 0 && ran.out.contains("orders"), "{}", ran.err);
    assert_eq!(place.run(&["inspect", "DATABASE_URL"]).code, 2);
    for (name, value) in [("MAX_DB_CONNECTIONS", "0"), ("MIN_DB_CONNECTIONS", "4"), ("DB_ACQUIRE_TIMEOUT", "soon")] {
        let ran = place.run_with(&[(name, value)], &["inspect", "shop"]);
        assert!(ran.code == 2 && ran.err.contains(name), "{}", ran.err);
    }
    // By itself there are two at the least, and that gives way.
    assert_eq!(place.run_with(&[("MAX_DB_CONNECTIONS", "1")], &["inspect", "shop"]).code, 0);
}

#[test]
fn a_statement_that_takes_too_long_is_cancelled() {
    let place = shop();
    let slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    place.run(&["query", "app.db", slow, "--timeout", "0s"]).fails(2, "in no time nothing is done", "30s");
    let ran = place.run(&["query", "app.db", slow, "--timeout", "1s"]);
    assert!(ran.code == 1 && ran.err.contains("took too long"), "{} {}", ran.code, ran.err);
}

/// Another program would write the log into the file and delete it, even if it only reads.
#[test]
fn the_log_of_a_program_that_died_stays_as_it_is() {
    let place = shop();
    place.change("app.db", "PRAGMA journal_mode = WAL");
    let writer = rusqlite::Connection::open(place.path("app.db")).unwrap();
    writer.execute_batch("INSERT INTO orders (note) VALUES ('in the log only')").unwrap();
    for end in ["", "-wal"] {
        std::fs::copy(place.path(&format!("app.db{end}")), place.path(&format!("dead.db{end}"))).unwrap();
    }
    drop(writer);
    let files = || ["", "-wal"].map(|end| std::fs::read(place.path(&format!("dead.db{end}"))).unwrap());
    let before = files();
    let shown = place.json(&["query", "dead.db", "SELECT count(*) FROM orders"]);
    assert_eq!(shown["rows"], serde_json::json!([[26]]));
    assert!(files() == before, "a query has changed a database that it read");
}
