//! Calls that take time, by a clock that a test has in its hand.

use std::time::Duration;

use kronos_connectors::mock::{MockAnswer, MockDatabase, MockLatency, MockOperation};
use kronos_core::ErrorKind;
use kronos_core::inspect::{HealthStatus, Inspect, PoolSettings, Query, Scope};
use tokio::time::Instant;

use crate::{bank, cents, pay};

#[tokio::test(start_paused = true)]
async fn an_hour_passes_in_no_time() {
    let hour = Duration::from_hours(1);
    let mut pool = PoolSettings::default();
    pool.query_timeout = 2 * hour;
    let bank = bank().pool(pool).latency(MockLatency::new(hour).on(MockOperation::Query)).build().unwrap();
    let (real, begun) = (std::time::Instant::now(), Instant::now());
    assert_eq!(cents(&bank, 1).await, 1000);
    assert!(begun.elapsed() >= hour && real.elapsed() < hour / 60);
    let begun = Instant::now();
    bank.list_tables(&Scope::new()).await.unwrap();
    assert!(begun.elapsed() < hour);
}

#[tokio::test(start_paused = true)]
async fn too_long_is_a_timeout_and_nothing_has_happened() {
    let bank = bank().latency(Duration::from_mins(1)).build().unwrap();
    let begun = Instant::now();
    let error = bank.execute_query(&pay(1, 5).timeout(Duration::from_secs(10))).await.unwrap_err();
    assert_eq!((error.kind(), error.context("after")), (ErrorKind::Timeout, Some("10.0 s")));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(bank.pool().active, 0);
    assert_eq!(bank.begin(None, true).await.unwrap_err().kind(), ErrorKind::Timeout);
    bank.set_latency(Duration::ZERO).unwrap();
    assert_eq!(cents(&bank, 1).await, 1000);
    // In a commit as well.
    bank.set_latency(MockLatency::new(Duration::from_mins(1)).on(MockOperation::Commit)).unwrap();
    let mut transaction = bank.begin(None, true).await.unwrap();
    transaction.execute(&pay(1, 5)).await.unwrap();
    assert_eq!(transaction.commit().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(cents(&bank, 1).await, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_script_takes_its_time() {
    let bank =
        bank().script("SELECT slowly()", MockAnswer::affected(0).after(Duration::from_secs(20))).build().unwrap();
    let query = Query::new("SELECT slowly()").writing();
    let begun = Instant::now();
    bank.execute_query(&query).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(20));
    let error = bank.execute_query(&query.timeout(Duration::from_secs(5))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_use_up_the_pool() {
    let mut pool = PoolSettings::default();
    pool.max_connections = 2;
    let bank = bank().pool(pool).latency(Duration::from_secs(20)).build().unwrap();
    let caller = |bank: MockDatabase| tokio::spawn(async move { bank.execute_query(&Query::new("SELECT 1")).await });
    let callers: Vec<_> = (0..3).map(|_| caller(bank.clone())).collect();
    let mut kinds = Vec::new();
    for caller in callers {
        kinds.push(caller.await.unwrap().map(drop).map_err(|error| error.kind()));
    }
    assert_eq!(kinds, [Ok(()), Ok(()), Err(ErrorKind::PoolExhausted)]);
    let held = bank.begin(None, false).await.unwrap();
    assert_eq!((bank.pool().active, bank.pool().max), (1, 2));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn health_sees_a_slow_server() {
    let bank = bank().build().unwrap();
    assert_eq!(bank.health().await.status, HealthStatus::Healthy);
    bank.set_latency(MockLatency::new(Duration::from_millis(800)).on(MockOperation::Health)).unwrap();
    assert_eq!(bank.health().await.status, HealthStatus::Healthy, "it is kept for a moment");
    tokio::time::advance(Duration::from_secs(2)).await;
    let health = bank.health().await;
    assert_eq!(health.status, HealthStatus::Degraded, "{health:?}");
    assert!(health.latency.unwrap() >= Duration::from_millis(800));
    assert_eq!(bank.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_writer_at_a_time_and_readers_who_wait_for_nobody() {
    let bank = bank().build().unwrap();
    let mut first = bank.begin(None, true).await.unwrap();
    first.execute(&pay(1, 5)).await.unwrap();
    let begun = Instant::now();
    assert_eq!(cents(&bank, 1).await, 1000, "what is not committed is seen");
    assert!(begun.elapsed() < Duration::from_secs(1));
    let error = bank.execute_query(&pay(1, 5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    // A reader keeps its moment.
    let mut reader = bank.begin(None, false).await.unwrap();
    first.commit().await.unwrap();
    let query = Query::new("SELECT cents FROM accounts WHERE id = 1");
    assert_eq!(reader.execute(&query).await.unwrap().rows[0][0].as_i64(), Some(1000));
    assert_eq!(cents(&bank, 1).await, 1005);
    bank.execute_query(&pay(1, 5)).await.unwrap();
}
