//! Errors on purpose, and what programs may count on after them.

use kronos_connectors::mock::{MockDatabase, MockError, MockErrorConfig, MockMatch, MockOperation};
use kronos_core::inspect::{HealthStatus, Inspect, Query, RetryPolicy, Scope, with_retry};
use kronos_core::{ConnectionStatus, ErrorKind, Result, Retry};

use crate::{bank, cents, pay};

fn failing(error: MockError) -> MockDatabase {
    bank().errors(MockErrorConfig::new().error(error)).build().unwrap()
}

/// Moves money, as a program would.
async fn transfer(bank: &dyn Inspect, amount: i64) -> Result<()> {
    let mut transaction = bank.begin(None, true).await?;
    transaction.execute(&pay(1, -amount)).await?;
    transaction.execute(&pay(2, amount)).await?;
    transaction.commit().await
}

#[tokio::test(start_paused = true)]
async fn what_is_passing_is_tried_again() {
    for kind in [ErrorKind::ConnectionFailed, ErrorKind::PoolExhausted, ErrorKind::Locked] {
        let query = Query::new("SELECT 1");
        let bank = failing(MockError::new(kind).times(3));
        with_retry(&RetryPolicy::default(), || bank.execute_query(&query)).await.unwrap();
        assert_eq!(bank.calls().len(), 4);
        let write = pay(1, 1);
        let bank = failing(MockError::new(kind).times(9));
        let error = with_retry(&RetryPolicy::default(), || bank.execute_query(&write)).await.unwrap_err();
        assert_eq!((error.kind(), error.retry(), bank.calls().len()), (kind, Retry::Exhausted, 5));
    }
    let bank = failing(MockError::new(ErrorKind::QueryFailed));
    let query = Query::new("SELECT 1");
    assert!(with_retry(&RetryPolicy::default(), || bank.execute_query(&query)).await.is_err());
    assert_eq!(bank.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_has_rolled_back() {
    for kind in [ErrorKind::ConnectionFailed, ErrorKind::Timeout, ErrorKind::QueryFailed, ErrorKind::Conflict] {
        let bank = failing(MockError::new(kind).on(MockOperation::Commit).nth(1));
        let error = transfer(&bank, 300).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!((cents(&bank, 1).await, cents(&bank, 2).await), (1000, 0), "{kind:?}");
        // Whether a commit that was cut off has happened, no program can know.
        let known = !matches!(kind, ErrorKind::ConnectionFailed | ErrorKind::Timeout);
        assert_eq!(error.retry() == Retry::Never, kind == ErrorKind::QueryFailed || !known, "{error:?}");
        assert_eq!(error.context("note").is_none(), known, "{error:?}");
        // The next one is not in its way.
        transfer(&bank, 300).await.unwrap();
        assert_eq!((cents(&bank, 1).await, cents(&bank, 2).await), (700, 300));
        assert_eq!(bank.pool().active, 0);
    }
    let bank = failing(MockError::new(ErrorKind::Conflict).on(MockOperation::Commit).times(2));
    with_retry(&RetryPolicy::default(), || transfer(&bank, 300)).await.unwrap();
    assert_eq!((cents(&bank, 1).await, cents(&bank, 2).await), (700, 300));
}

#[tokio::test]
async fn an_answer_that_is_lost_comes_after_the_deed() {
    let lost = |operation| failing(MockError::new(ErrorKind::ConnectionFailed).on(operation).late().nth(1));
    let bank = lost(MockOperation::Commit);
    let error = transfer(&bank, 300).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ConnectionFailed, Retry::Never));
    assert_eq!((cents(&bank, 1).await, cents(&bank, 2).await), (700, 300));
    let bank = lost(MockOperation::Query);
    let error = bank.execute_query(&pay(1, 5)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::ConnectionFailed, Retry::Never));
    assert_eq!(cents(&bank, 1).await, 1005);
}

#[tokio::test]
async fn in_a_transaction_an_error_of_the_connection_ends_it() {
    let second = MockError::new(ErrorKind::ConnectionFailed).of(MockMatch::pattern("UPDATE *")).nth(2);
    let bank = failing(second);
    let mut transaction = bank.begin(None, true).await.unwrap();
    transaction.execute(&pay(1, -300)).await.unwrap();
    let error = transaction.execute(&pay(2, 300)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionFailed);
    assert_eq!(transaction.execute(&pay(2, 300)).await.unwrap_err().kind(), ErrorKind::InvalidQuery);
    assert!(transaction.commit().await.is_err());
    assert_eq!(cents(&bank, 1).await, 1000);
    // One of the statement does not.
    let bank = failing(MockError::new(ErrorKind::QueryFailed).of(MockMatch::pattern("UPDATE *")).nth(2));
    let mut transaction = bank.begin(None, true).await.unwrap();
    transaction.execute(&pay(1, -300)).await.unwrap();
    transaction.execute(&pay(2, 300)).await.unwrap_err();
    transaction.execute(&pay(2, 300)).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((cents(&bank, 1).await, cents(&bank, 2).await), (700, 300));
}

#[tokio::test]
async fn every_operation_can_fail() {
    use MockOperation as Op;
    let kinds = [ErrorKind::ConnectionFailed, ErrorKind::Timeout, ErrorKind::PermissionDenied];
    for kind in kinds {
        let only = |operation| failing(MockError::new(kind).on(operation).nth(1));
        let (scope, table) = (Scope::new(), kronos_core::inspect::TableName::new("accounts"));
        let of = |error: kronos_core::Error| assert_eq!(error.kind(), kind);
        of(only(Op::ListDatabases).list_databases(&scope).await.unwrap_err());
        of(only(Op::ListSchemas).list_schemas(&scope).await.unwrap_err());
        of(only(Op::ListTables).list_tables(&scope).await.unwrap_err());
        of(only(Op::TableInfo).get_table_info(&table, true).await.unwrap_err());
        of(only(Op::Query).execute_query(&Query::table(table.clone())).await.unwrap_err());
        of(only(Op::Begin).begin(None, true).await.unwrap_err());
        let bank = only(Op::Stream);
        of(bank.stream_query(&Query::new("SELECT 1")).await.unwrap_err());
        assert_eq!(bank.list_tables(&scope).await.unwrap().len(), 1);
        let report = only(Op::TestConnection).test_connection().await.unwrap();
        let gone = matches!(kind, ErrorKind::ConnectionFailed | ErrorKind::Timeout);
        assert_eq!(report.status, if gone { ConnectionStatus::Disconnected } else { ConnectionStatus::Error });
        assert_eq!(only(Op::Health).health().await.status, HealthStatus::Unhealthy);
        let bank = only(Op::Savepoint);
        let mut transaction = bank.begin(None, true).await.unwrap();
        of(transaction.savepoint("a").await.unwrap_err());
        drop(transaction);
        let bank = only(Op::Rollback);
        let mut transaction = bank.begin(None, true).await.unwrap();
        transaction.execute(&pay(1, 1)).await.unwrap();
        of(transaction.rollback().await.unwrap_err());
        assert_eq!(cents(&bank, 1).await, 1000);
    }
}

#[tokio::test]
async fn a_server_goes_and_comes_back() {
    let bank = bank().build().unwrap();
    let down = MockErrorConfig::new().error(MockError::new(ErrorKind::ConnectionFailed).message("connection refused"));
    bank.set_errors(down).unwrap();
    let error = bank.list_tables(&Scope::new()).await.unwrap_err();
    assert_eq!((error.message(), error.retry()), ("connection refused", Retry::Later));
    bank.set_errors(MockErrorConfig::new()).unwrap();
    assert_eq!(bank.list_tables(&Scope::new()).await.unwrap().len(), 1);
    let wrong = MockErrorConfig::new().probability(2.0, ErrorKind::Timeout);
    assert_eq!(bank.set_errors(wrong).unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn by_chance_the_same_calls_fail_each_time() {
    let run = async |seed| {
        let errors = MockErrorConfig::new().with_seed(seed).probability(0.3, ErrorKind::QueryFailed);
        let bank = bank().errors(errors).build().unwrap();
        for _ in 0..40 {
            let _ = bank.execute_query(&Query::new("SELECT 1")).await;
        }
        bank.calls().iter().map(|call| call.outcome.unwrap().is_ok()).collect::<Vec<_>>()
    };
    let (first, again, other) = (run(1).await, run(1).await, run(2).await);
    assert!(first == again && first != other);
    assert!(first.contains(&true) && first.contains(&false));
}
