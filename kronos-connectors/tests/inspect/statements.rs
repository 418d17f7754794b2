//! Statements: values, errors, and what is refused.

use kronos_core::ErrorKind;
use kronos_core::inspect::{Inspect, Query, Value};

use crate::engines::{Engine, Fixture};

pub(crate) async fn values_come_back_as_they_went(fixture: &Fixture) {
    let (bytes, float) = match fixture.engine {
        Engine::Postgres => ("bytea", "double precision"),
        Engine::Sqlite | Engine::Mock => ("BLOB", "REAL"),
        Engine::Mariadb | Engine::Mysql => ("blob", "double"),
    };
    let last = if fixture.engine.is_mysql() { " CHARACTER SET utf8mb4" } else { "" };
    fixture
        .write(&format!("CREATE TABLE vals (id integer PRIMARY KEY, i bigint, f {float}, t text, b {bytes}){last}"))
        .await;
    let texts = ["", "it's", "\\", "a\nb", "\"; DROP TABLE orders; --", "ü€😀", "$1 ?", "%s"];
    let rows: Vec<[Value; 4]> = texts
        .iter()
        .zip([0, 1, -1, i64::MAX, i64::MIN, 7, 8, 9])
        .map(|(text, number)| {
            [Value::Int(number), Value::Float(0.1), Value::from(*text), Value::Bytes(vec![0, 39, 92, 255])]
        })
        .chain([[Value::Null, Value::Null, Value::Null, Value::Null]])
        .collect();
    let places: Vec<String> = (1..=5).map(|number| fixture.engine.parameter(number)).collect();
    let insert = format!("INSERT INTO vals VALUES ({})", places.join(", "));
    for (id, row) in (1_i64..).zip(&rows) {
        let mut query = Query::new(insert.clone()).writing().confirmed().bind(id);
        query.parameters.extend(row.iter().cloned());
        let result = fixture.database.execute_query(&query).await.unwrap();
        assert_eq!(result.rows_affected, Some(1));
    }
    let select = format!("SELECT i, f, t, b FROM vals WHERE id = {}", fixture.engine.parameter(1));
    for (id, row) in (1_i64..).zip(&rows) {
        let result = fixture.database.execute_query(&Query::new(select.clone()).confirmed().bind(id)).await.unwrap();
        assert_eq!(result.rows, [row.to_vec()]);
        assert_eq!(result.columns.len(), 4);
        assert_eq!(result.columns[0].name, "i");
        // Without a parameter as well.
        let plain = select.replace(&fixture.engine.parameter(1), &id.to_string());
        let result = fixture.database.execute_query(&Query::new(plain).confirmed()).await.unwrap();
        assert_eq!(result.rows, [row.to_vec()]);
    }
    assert_eq!(fixture.read("SELECT count(*) FROM orders").await, "[[5]]");
}

pub(crate) async fn what_writes_is_refused_by_the_database(fixture: &Fixture) {
    let mut statements = vec![
        "INSERT INTO customers (id, name) VALUES (9, 'x')",
        "UPDATE customers SET name = 'x'",
        "DELETE FROM items",
        "DROP TABLE items",
        "CREATE TABLE more (a integer)",
        "ALTER TABLE items ADD COLUMN c integer",
    ];
    match fixture.engine {
        Engine::Postgres => statements.extend([
            "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
            "TRUNCATE orders CASCADE",
            "SELECT setval('customers_id_seq', 100)",
            "SELECT * INTO copied FROM orders",
            "GRANT ALL ON orders TO PUBLIC",
            "VACUUM FULL orders",
        ]),
        Engine::Mariadb | Engine::Mysql => statements.extend([
            "TRUNCATE items",
            "RENAME TABLE items TO others",
            "GRANT ALL ON *.* TO root@localhost",
            "OPTIMIZE TABLE orders",
            "CREATE DATABASE kronos_more",
        ]),
        Engine::Sqlite | Engine::Mock => statements.extend([
            "PRAGMA user_version = 5",
            "PRAGMA query_only = OFF",
            "PRAGMA writable_schema = ON",
            "ATTACH 'other.db' AS other",
            "VACUUM INTO 'copy.db'",
            "VACUUM",
            "REINDEX",
            "CREATE TEMP TABLE more (a integer)",
            "REPLACE INTO customers (id, name) VALUES (1, 'x')",
        ]),
    }
    for statement in statements {
        let done = fixture.database.execute_query(&Query::new(statement).confirmed()).await;
        let error = done.map_or_else(|error| error, |_| panic!("{statement} was not refused"));
        // Some are refused as they are in a transaction.
        let expected = [ErrorKind::PermissionDenied, ErrorKind::QueryFailed, ErrorKind::InvalidQuery];
        assert!(expected.contains(&error.kind()), "{statement}: {error:?}");
    }
    assert_eq!(
        fixture.read("SELECT id, name FROM customers ORDER BY id").await,
        r#"[[1,"Ada"],[2,"Grace"],[3,"Edsger"]]"#
    );
    assert_eq!(fixture.read("SELECT count(*) FROM orders").await, "[[5]]");
    // The same connections write again when they are asked to.
    fixture.write("UPDATE customers SET note = 'x' WHERE id = 1").await;
}

pub(crate) async fn one_statement_at_a_time(fixture: &Fixture) {
    for statement in
        ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE items", "", "  ", "-- nothing", "BEGIN", "COMMIT", "ROLLBACK"]
    {
        for query in [Query::new(statement).confirmed(), Query::new(statement).confirmed().writing()] {
            let error = fixture.database.execute_query(&query).await.unwrap_err();
            let expected = [ErrorKind::InvalidQuery, ErrorKind::QueryFailed, ErrorKind::PermissionDenied];
            assert!(expected.contains(&error.kind()), "{statement}: {error:?}");
        }
    }
    assert_eq!(fixture.read("SELECT count(*) FROM items").await, "[[0]]");
    assert_eq!(fixture.read("SELECT 1;").await, "[[1]]");
    assert_eq!(fixture.read("SELECT 1 -- one").await, "[[1]]");
    assert_eq!(fixture.read("/* one; */ SELECT ';' ; -- ;").await, "[[\";\"]]");
}

pub(crate) async fn errors_have_kinds(fixture: &Fixture) {
    for (statement, kind) in [
        ("SELEC 1", ErrorKind::InvalidQuery),
        ("SELECT nothing FROM orders", ErrorKind::InvalidQuery),
        ("SELECT * FROM absent", ErrorKind::NotFound),
    ] {
        let error = fixture.database.execute_query(&Query::new(statement).confirmed()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{statement}: {error:?}");
    }
    let twice = Query::new("INSERT INTO customers (id, name) VALUES (1, 'x')").writing().confirmed();
    let error = fixture.database.execute_query(&twice).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueryFailed, "{error:?}");
    let elsewhere = Query::new("SELECT 1").confirmed().database("no_such_database");
    let error = fixture.database.execute_query(&elsewhere).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}

pub(crate) async fn writes_tell_how_many_rows(fixture: &Fixture) {
    assert_eq!(fixture.write("UPDATE orders SET total = 1 WHERE customer = 1").await.rows_affected, Some(2));
    // What goes with a row by a foreign key is not counted.
    assert_eq!(fixture.write("DELETE FROM customers WHERE id = 3").await.rows_affected, Some(1));
    assert_eq!(fixture.read("SELECT count(*) FROM orders").await, "[[4]]");
    // MySQL's DELETE gives none back.
    if fixture.engine == Engine::Mysql {
        return;
    }
    let returned = fixture.write("DELETE FROM orders WHERE customer = 2 RETURNING number").await;
    assert_eq!((returned.rows.len(), returned.rows_affected), (2, Some(2)));
    let read = fixture.database.execute_query(&Query::new("SELECT * FROM orders").confirmed()).await.unwrap();
    assert_eq!((read.rows.len(), read.rows_affected), (2, None));
}
