//! Transactions on a held connection.

use std::time::Duration;

use kronos_core::ErrorKind;
use kronos_core::inspect::{Inspect, Query};

use crate::engines::Fixture;

fn set(note: &str) -> Query {
    Query::new(format!("UPDATE customers SET note = '{note}' WHERE id = 1")).confirmed()
}

const NOTE: &str = "SELECT note FROM customers WHERE id = 1";

pub(crate) async fn commit_rollback_and_savepoints(fixture: &Fixture) {
    let mut transaction = fixture.database.begin(None, true).await.unwrap();
    assert_eq!(transaction.execute(&set("one")).await.unwrap().rows_affected, Some(1));
    transaction.savepoint("a \"mark\"").await.unwrap();
    transaction.execute(&set("two")).await.unwrap();
    let inside = transaction.execute(&Query::new(NOTE).confirmed()).await.unwrap();
    assert_eq!(inside.rows[0][0].as_str(), Some("two"));
    transaction.rollback_to("a \"mark\"").await.unwrap();
    transaction.release("a \"mark\"").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(fixture.read(NOTE).await, r#"[["one"]]"#);

    let mut transaction = fixture.database.begin(None, true).await.unwrap();
    transaction.execute(&set("three")).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(fixture.read(NOTE).await, r#"[["one"]]"#);

    let mut reading = fixture.database.begin(None, false).await.unwrap();
    let error = reading.execute(&set("four")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    reading.rollback().await.unwrap();
    assert_eq!(fixture.database.pool().active, 0);
}

pub(crate) async fn dropped(fixture: &Fixture) {
    let mut transaction = fixture.database.begin(None, true).await.unwrap();
    transaction.execute(&set("lost")).await.unwrap();
    drop(transaction);
    // One whose statement is left in its middle.
    let mut transaction = fixture.database.begin(None, true).await.unwrap_or_else(|error| panic!("{error:?}"));
    transaction.execute(&set("lost")).await.unwrap();
    let slow = Query::new(fixture.engine.slow()).confirmed();
    assert!(tokio::time::timeout(Duration::from_millis(300), transaction.execute(&slow)).await.is_err());
    let error = transaction.execute(&Query::new(NOTE).confirmed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    drop(transaction);
    fixture.until_nothing_runs().await;
    fixture.write("UPDATE customers SET note = 'kept' WHERE id = 1").await;
    assert_eq!(fixture.read(NOTE).await, r#"[["kept"]]"#);
}
