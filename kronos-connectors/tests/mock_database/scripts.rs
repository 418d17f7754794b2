//! Answers that a test writes, and what was asked for.

use futures::TryStreamExt;
use kronos_connectors::mock::{MockAnswer, MockDatabase, MockMatch, MockOperation, MockRows};
use kronos_core::inspect::{Inspect, PageRequest, Query, TableName, Value};
use kronos_core::{Engine, Error, ErrorKind, Retry};

use crate::{bank, cents, pay};

fn one(value: impl Into<Value>) -> MockRows {
    MockRows::new(["value"]).row([value.into()])
}

/// The only value of what a statement gives.
async fn ask(database: &dyn Inspect, statement: &str) -> kronos_core::Result<Value> {
    database.execute_query(&Query::new(statement)).await.map(|result| result.rows[0][0].clone())
}

#[tokio::test]
async fn statements_of_any_language_are_answered() {
    let bank = bank()
        .script("SELECT pg_is_in_recovery()", one(false))
        .script(MockMatch::pattern("SELECT setting FROM pg_settings WHERE name = *"), one("on"))
        .script(MockMatch::when(|query| query.parameters == [Value::Int(7)]), one("seven"))
        .build()
        .unwrap();
    assert_eq!(ask(&bank, "select pg_is_in_recovery()").await.unwrap_err().kind(), ErrorKind::InvalidQuery);
    assert_eq!(ask(&bank, "SELECT\n  pg_is_in_recovery();").await.unwrap(), Value::Bool(false));
    assert_eq!(ask(&bank, "SELECT setting FROM pg_settings WHERE name = 'fsync'").await.unwrap(), "on".into());
    let seven = bank.execute_query(&Query::new("ANY $1").bind(7)).await.unwrap();
    assert_eq!((seven.columns[0].name.as_str(), seven.rows), ("value", vec![vec!["seven".into()]]));
    // What has no script is data.
    assert_eq!(cents(&bank, 1).await, 1000);
    assert_eq!(bank.engine(), Engine::SQLITE);
}

#[tokio::test]
async fn scripts_follow_each_other_and_are_counted() {
    let bank = bank()
        .script("SELECT cents", MockAnswer::error(ErrorKind::ConnectionFailed).once())
        .script("SELECT cents", MockAnswer::rows(one(1)).times(2))
        .script("SELECT cents", one(2))
        .script("SELECT never", one(0))
        .build()
        .unwrap();
    let error = ask(&bank, "SELECT cents").await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ConnectionFailed, Retry::Later));
    let error = bank.verify().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("SELECT cents (0 of 2)"), "{error}");
    for expected in [1, 1, 2, 2, 2] {
        assert_eq!(ask(&bank, "SELECT cents").await.unwrap(), Value::Int(expected));
    }
    let error = bank.verify().unwrap_err().to_string();
    assert!(error.contains("SELECT never (0 of at least 1)") && !error.contains("SELECT cents"), "{error}");
    ask(&bank, "SELECT never").await.unwrap();
    bank.verify().unwrap();
    bank.script("SELECT more", one(3)).unwrap();
    assert_eq!(ask(&bank, "SELECT more").await.unwrap(), Value::Int(3));
}

#[tokio::test]
async fn scripted_rows_come_in_pages_and_streams() {
    let rows = (1..=25).fold(MockRows::new(["n", "t"]).types(["int4", "text"]), |rows, n| {
        rows.row([n.into(), format!("row {n}").into()])
    });
    let bank = bank().script("SELECT n, t FROM far_away", rows).build().unwrap();
    let query = |page| Query::new("SELECT n, t FROM far_away").page(page);
    let first = bank.execute_query(&query(PageRequest::new(1).size(10).with_total())).await.unwrap();
    assert_eq!((first.rows.len(), first.page.has_next, first.page.total), (10, true, Some(25)));
    assert_eq!(first.columns[1].data_type, "text");
    let last = bank.execute_query(&query(PageRequest::new(3).size(10))).await.unwrap();
    assert_eq!((last.rows.len(), last.page.has_next, last.page.total), (5, false, Some(25)));
    assert_eq!(last.rows[0][0], Value::Int(21));
    let wrong = bank.execute_query(&query(PageRequest::new(0))).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Config);
    let rows: Vec<_> = bank.stream_query(&query(PageRequest::default())).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.len(), 25);
    let mut transaction = bank.begin(None, false).await.unwrap();
    let inside = transaction.execute(&query(PageRequest::new(2).size(20).with_total())).await.unwrap();
    assert_eq!((inside.rows.len(), inside.page.total), (5, Some(25)));
    transaction.rollback().await.unwrap();
    assert_eq!(bank.pool().active, 0);
}

#[tokio::test]
async fn scripted_writes_need_a_session_that_writes() {
    let bank = bank()
        .script("CALL close_year(?)", MockAnswer::affected(3))
        .script(MockMatch::pattern("MERGE *"), one(5).with_affected(1))
        .build()
        .unwrap();
    let call = Query::new("CALL close_year(?)").bind(2026);
    assert_eq!(bank.execute_query(&call).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(bank.execute_query(&call.clone().writing()).await.unwrap().rows_affected, Some(3));
    let merged = bank.execute_query(&Query::new("MERGE INTO accounts RETURNING id").writing()).await.unwrap();
    assert_eq!((merged.rows_affected, merged.rows.len()), (Some(1), 1));
    let mut reading = bank.begin(None, false).await.unwrap();
    assert_eq!(reading.execute(&call).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    drop(reading);
    let mut writing = bank.begin(None, true).await.unwrap();
    assert_eq!(writing.execute(&call).await.unwrap().rows_affected, Some(3));
    writing.commit().await.unwrap();
    assert_eq!(cents(&bank, 1).await, 1000);
}

#[tokio::test]
async fn functions_answer_by_parameters() {
    let answer = MockAnswer::with(|query| match query.parameters.first() {
        Some(Value::Int(id)) if *id > 0 => Ok(one(id * 10)),
        _ => Err(Error::new(ErrorKind::QueryFailed, "no such id").with("sqlstate", "P0001")),
    });
    let bank = bank().script("SELECT f($1)", answer).build().unwrap();
    let found = bank.execute_query(&Query::new("SELECT f($1)").bind(4)).await.unwrap();
    assert_eq!(found.rows[0][0], Value::Int(40));
    let error = bank.execute_query(&Query::new("SELECT f($1)")).await.unwrap_err();
    assert_eq!((error.kind(), error.context("sqlstate")), (ErrorKind::QueryFailed, Some("P0001")));
}

#[tokio::test]
async fn only_what_is_scripted() {
    let bank = bank().script("SELECT 1", one(1)).scripted_only().build().unwrap();
    assert_eq!(ask(&bank, "SELECT 1").await.unwrap(), Value::Int(1));
    let error = ask(&bank, "SELECT 2").await.unwrap_err();
    assert_eq!(error.message(), "no script answers the statement");
    let table = bank.execute_query(&Query::table(TableName::new("accounts"))).await.unwrap();
    assert_eq!(table.rows.len(), 2);
}

#[test]
fn what_cannot_be_answered_is_refused() {
    for answer in [MockAnswer::rows(MockRows::new(["a", "b"]).row([Value::Null])), MockAnswer::affected(1).times(0)] {
        let error = bank().script("SELECT 1", answer).build().unwrap_err();
        assert_eq!((error.kind(), error.context("script")), (ErrorKind::Config, Some("SELECT 1")));
    }
    let error = bank().seed("INSERT INTO accounts VALUES (1, 'Ada', 0)").build().unwrap_err();
    assert_eq!((error.kind(), error.context("seed")), (ErrorKind::QueryFailed, Some("2")), "{error:?}");
}

#[tokio::test]
async fn calls_are_noted() {
    use MockOperation::{Begin, Commit, Query as Asked, Savepoint, TableInfo};
    let bank = bank().script("SELECT now()", one("2026-03-01")).build().unwrap();
    ask(&bank, "SELECT now()").await.unwrap();
    ask(&bank, "SELEC").await.unwrap_err();
    let mut transaction = bank.begin(Some("bank"), true).await.unwrap();
    transaction.execute(&pay(1, 5)).await.unwrap();
    transaction.savepoint("here").await.unwrap();
    transaction.commit().await.unwrap();
    bank.get_table_info(&TableName::new("accounts"), false).await.unwrap();
    let calls = bank.calls();
    let operations: Vec<_> = calls.iter().map(|call| call.operation).collect();
    assert_eq!(operations, [Asked, Asked, Begin, Asked, Savepoint, Commit, TableInfo]);
    let outcomes: Vec<_> = calls.iter().map(|call| call.outcome.unwrap()).collect();
    assert_eq!(outcomes[1], Err(ErrorKind::InvalidQuery));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 6);
    assert!(calls[0].scripted && !calls[1].scripted);
    assert_eq!((calls[2].number, calls[2].database.as_deref(), calls[2].write), (3, Some("bank"), true));
    assert_eq!((calls[3].parameters.as_slice(), calls[3].transaction), (&[5.into(), 1.into()][..], Some(3)));
    assert_eq!(calls[4].statement.as_deref(), Some("SAVEPOINT \"here\""));
    assert_eq!(calls[6].table.as_ref().unwrap().name, "accounts");
    let statements = ["SELECT now()", "SELEC", "UPDATE accounts SET cents = cents + ? WHERE id = ?"];
    assert_eq!(bank.statements(), statements);
    let other: MockDatabase = bank.fork();
    assert!(other.calls().is_empty());
}
