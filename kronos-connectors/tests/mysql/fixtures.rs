//! Databases that several tests back up, and what they restore over.

use std::fmt::Write as _;

use crate::server::{Database, Server};

pub(crate) fn large(server: &Server) -> Database {
    server.database(
        "CREATE TABLE t(id INT PRIMARY KEY, v LONGTEXT); INSERT INTO t WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 300) \
         SELECT n, REPEAT(SHA2(n, 512), 1000) FROM s; CREATE TABLE u(x INT); INSERT INTO u VALUES (1)",
    )
}

pub(crate) const OLD: &str = "CREATE TABLE t(old INT); INSERT INTO t VALUES (1); CREATE TABLE gone(x INT); CREATE VIEW v AS SELECT old FROM t; \
    CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.old = 1; CREATE PROCEDURE p() SELECT 'old'; \
    CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SET @x = 1";

pub(crate) fn new(server: &Server) -> Database {
    let mut many = String::new();
    for n in 0..4 {
        let _ = write!(many, "CREATE TABLE m{n}(id INT PRIMARY KEY, x INT, KEY (x)); INSERT INTO m{n} VALUES (1, 2);");
    }
    server.database(&format!(
        "CREATE TABLE t(id INT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'new'); CREATE VIEW v AS SELECT v FROM t; {many} \
         CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW SET @x = 1; CREATE PROCEDURE p() SELECT 'new'; CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; \
         CREATE VIEW w AS SELECT f() AS x; CREATE EVENT e2 ON SCHEDULE EVERY 1 DAY DISABLE DO SET @x = 1"
    ))
}

/// A restore has left no database of its own.
#[track_caller]
pub(crate) fn assert_nothing_beside(target: &Database, what: &str) {
    let names = target.server.databases();
    let left: Vec<&String> = names.iter().filter(|name| name.starts_with(&format!("{}_kronos", target.name))).collect();
    assert!(left.is_empty(), "{what}: {left:?}");
}
