//! Each test its own data.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;

use futures::FutureExt;
use kronos_connectors::inspect::AnyDatabase;
use kronos_connectors::mock::{MockDatabase, MockTable, MockTestData, rolled_back};
use kronos_core::ErrorKind;
use kronos_core::inspect::{Inspect, Query, RowCount, TableName, Value};

use crate::{bank, cents, pay};

/// Made once for all tests.
static SHOP: LazyLock<MockDatabase> =
    LazyLock::new(|| MockDatabase::builder().name("shop").data(MockTestData::new(1).orders(500)).build().unwrap());

async fn orders(database: &dyn Inspect) -> RowCount {
    database.get_table_info(&TableName::new("orders"), true).await.unwrap().count
}

#[tokio::test]
async fn whatever_becomes_of_a_test_is_undone() {
    let bank = bank().build().unwrap();
    let seen = rolled_back(&bank, async |inside| {
        inside.execute(&pay(1, 7)).await.unwrap();
        let query = Query::new("SELECT cents FROM accounts WHERE id = 1");
        inside.execute(&query).await.unwrap().rows[0][0].as_i64()
    });
    assert_eq!(seen.await.unwrap(), Some(1007));
    assert_eq!(cents(&bank, 1).await, 1000);
    let panics = rolled_back(&bank, async |inside| {
        inside.execute(&pay(1, 7)).await.unwrap();
        panic!("as it should");
    });
    let panic = AssertUnwindSafe(panics).catch_unwind().await.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"as it should"));
    assert_eq!((cents(&bank, 1).await, bank.pool().active), (1000, 0));
    bank.execute_query(&pay(1, 7)).await.unwrap();
}

#[tokio::test]
async fn forks_do_not_see_each_other() {
    let (one, other) = (SHOP.fork(), SHOP.fork());
    let delete = Query::new("DELETE FROM orders").writing().confirmed();
    assert_eq!(one.execute_query(&delete).await.unwrap().rows_affected, Some(500));
    assert_eq!(orders(&one).await, RowCount::Exact(0));
    assert_eq!(orders(&other).await, RowCount::Exact(500));
    assert_eq!(orders(&*SHOP).await, RowCount::Exact(500));
    assert_eq!(orders(&one.fork()).await, RowCount::Exact(0));
    let more = SHOP.to_builder().seed("CREATE TABLE notes (text)").build().unwrap();
    assert_eq!(more.list_tables(&kronos_core::inspect::Scope::new()).await.unwrap().len(), 6);
}

#[tokio::test]
async fn generated_data_is_data() {
    let shop = AnyDatabase::Mock(SHOP.fork());
    let info = shop.get_table_info(&TableName::new("order_items"), true).await.unwrap();
    assert_eq!(info.foreign_keys.len(), 2);
    let items = MockTestData::new(1).orders(500).rows(MockTable::OrderItems).count();
    assert_eq!(info.count, RowCount::Exact(items as u64));
    for table in MockTable::ALL {
        let info = shop.get_table_info(&TableName::new(table.name()), false).await.unwrap();
        let columns: Vec<&str> = info.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(columns, table.columns());
        let mut query = Query::table(TableName::new(table.name()));
        query.page.size = 10_000;
        let rows = shop.execute_query(&query).await.unwrap().rows;
        assert_eq!(rows, MockTestData::new(1).orders(500).rows(table).collect::<Vec<_>>());
    }
    // Its keys hold.
    let orphan = Query::new("UPDATE orders SET user_id = 999 WHERE id = 1").writing();
    assert_eq!(shop.execute_query(&orphan).await.unwrap_err().kind(), ErrorKind::QueryFailed);
    let dear = Query::new(
        "SELECT users.name, sum(quantity) AS pieces FROM users JOIN orders ON orders.user_id = users.id \
         JOIN order_items ON order_id = orders.id GROUP BY users.id ORDER BY pieces DESC LIMIT 3",
    );
    let found = shop.execute_query(&dear).await.unwrap();
    assert!(found.rows.len() == 3 && found.rows[0][1].as_i64() >= found.rows[2][1].as_i64());
}

#[tokio::test]
async fn an_empty_one_can_be_filled() {
    let empty = MockDatabase::builder().build().unwrap();
    assert!(empty.list_tables(&kronos_core::inspect::Scope::new()).await.unwrap().is_empty());
    empty.execute_query(&Query::new("CREATE TABLE t (a INTEGER PRIMARY KEY, b)").writing()).await.unwrap();
    let insert = Query::new("INSERT INTO t (b) VALUES (?)").bind("x").writing();
    for _ in 0..3 {
        empty.execute_query(&insert).await.unwrap();
    }
    let found = empty.execute_query(&Query::new("SELECT max(a) FROM t")).await.unwrap();
    assert_eq!(found.rows, [[Value::Int(3)]]);
}

#[tokio::test]
async fn judged_and_guarded_as_sqlite_is() {
    let bank = bank().build().unwrap();
    let drop = Query::new("DROP TABLE accounts");
    assert!(bank.judge("DROP TABLE accounts").is_dangerous);
    assert_eq!(bank.execute_query(&drop).await.unwrap_err().kind(), ErrorKind::InvalidQuery);
    assert_eq!(bank.execute_query(&drop.confirmed()).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let error = bank.execute_query(&Query::new("SELECT 1").database("other")).await.unwrap_err();
    assert_eq!((error.kind(), error.context("known")), (ErrorKind::NotFound, Some("bank")));
    // A statement that fails by half leaves what SQLite leaves.
    let half =
        Query::new("INSERT OR FAIL INTO accounts VALUES (3, 'Edsger', 1), (1, 'twice', 1)").writing().confirmed();
    assert_eq!(bank.execute_query(&half).await.unwrap_err().kind(), ErrorKind::QueryFailed);
    assert_eq!(cents(&bank, 3).await, 1);
    bank.close().await;
    assert_eq!(bank.execute_query(&Query::new("SELECT 1")).await.unwrap_err().kind(), ErrorKind::ConnectionFailed);
}
