//! The mock of the database service, as the tests of a program use it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod errors;
mod fixtures;
mod scripts;
mod time;

use kronos_connectors::mock::{MockBuilder, MockDatabase};
use kronos_core::inspect::{Inspect, Query};

/// Two accounts.
fn bank() -> MockBuilder {
    MockDatabase::builder().name("bank").seed(
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, cents INTEGER NOT NULL CHECK (cents >= 0));
         INSERT INTO accounts VALUES (1, 'Ada', 1000), (2, 'Grace', 0);",
    )
}

/// What an account has.
async fn cents(database: &dyn Inspect, id: i64) -> i64 {
    let query = Query::new("SELECT cents FROM accounts WHERE id = ?").bind(id);
    database.execute_query(&query).await.unwrap().rows[0][0].as_i64().unwrap()
}

fn pay(id: i64, cents: i64) -> Query {
    Query::new("UPDATE accounts SET cents = cents + ? WHERE id = ?").bind(cents).bind(id).writing()
}
