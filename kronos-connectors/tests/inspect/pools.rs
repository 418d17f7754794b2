//! Pools: bounds, waiting, statements that take too long, callers that go.

use std::time::{Duration, Instant};

use kronos_core::ErrorKind;
use kronos_core::inspect::{HealthStatus, Inspect, Query};

use crate::engines::{Fixture, pool};

pub(crate) async fn a_slow_statement_is_cancelled_on_the_server(fixture: &Fixture) {
    let begun = Instant::now();
    let query = Query::new(fixture.engine.slow()).confirmed().timeout(Duration::from_millis(700));
    let error = fixture.database.execute_query(&query).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    fixture.until_nothing_runs().await;
    assert_eq!(fixture.read("SELECT 1").await, "[[1]]");
    assert_eq!(fixture.database.pool().active, 0);
}

pub(crate) async fn exhaustion(fixture: &Fixture) {
    let mut bounds = pool();
    bounds.max_connections = 2;
    bounds.acquire_timeout = Duration::from_millis(500);
    bounds.health_for = Duration::ZERO;
    let small = fixture.with_pool(bounds);
    let first = small.begin(None, false).await.unwrap();
    let second = small.begin(None, false).await.unwrap();
    let begun = Instant::now();
    let error = small.execute_query(&Query::new("SELECT 1").confirmed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PoolExhausted, "{error:?}");
    assert!(begun.elapsed() < Duration::from_millis(4500), "{:?}", begun.elapsed());
    let statistics = small.pool();
    assert_eq!((statistics.max, statistics.size, statistics.active, statistics.idle), (2, 2, 2, 0));
    assert_eq!(small.health().await.status, HealthStatus::Degraded);
    first.rollback().await.unwrap();
    drop(second);
    small.close().await;
}

/// Whoever waits gets the first connection that becomes free.
pub(crate) async fn turns(fixture: &Fixture) {
    let mut bounds = pool();
    (bounds.max_connections, bounds.min_connections) = (1, 1);
    bounds.acquire_timeout = Duration::from_mins(1);
    let single = fixture.with_pool(bounds);
    let first = single.begin(None, false).await.unwrap();
    let waiting = {
        let single = single.clone();
        tokio::spawn(async move { single.execute_query(&Query::new("SELECT 1").confirmed()).await })
    };
    while single.pool().waiting != 1 {
        assert!(!waiting.is_finished(), "there is nothing to be had: {:?}", waiting.await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    first.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
    single.close().await;
}

pub(crate) async fn two_hundred_callers(fixture: &Fixture) {
    let mut bounds = pool();
    // Everybody waits his turn.
    bounds.acquire_timeout = Duration::from_secs(40);
    let shared = fixture.with_pool(bounds);
    let callers = (0..200_i64).map(|number| {
        let database = shared.clone();
        let text = format!("SELECT total + {number} FROM orders WHERE customer = 1 AND number = 1");
        tokio::spawn(
            async move { database.execute_query(&Query::new(text).confirmed()).await.unwrap().rows[0][0].as_i64() },
        )
    });
    for (number, caller) in (0..).zip(callers.collect::<Vec<_>>()) {
        assert_eq!(caller.await.unwrap(), Some(10 + number));
    }
    let statistics = shared.pool();
    assert!(statistics.size <= 5 && statistics.active == 0 && statistics.waiting == 0, "{statistics:?}");
    shared.close().await;
}

pub(crate) async fn callers_that_go(fixture: &Fixture) {
    for wait in [0, 1, 5, 20, 50, 100, 200] {
        let callers: Vec<_> = (0..5)
            .map(|_| {
                let (database, text) = (fixture.database.clone(), fixture.engine.slow());
                tokio::spawn(async move { database.execute_query(&Query::new(text).confirmed()).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(wait)).await;
        for caller in callers {
            caller.abort();
        }
    }
    fixture.until_nothing_runs().await;
    assert_eq!(fixture.read("SELECT 1").await, "[[1]]");
    for _ in 0..100 {
        if fixture.database.pool().active == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?}", fixture.database.pool());
}

pub(crate) async fn health(fixture: &Fixture) {
    let health = fixture.database.health().await;
    assert_eq!((health.status, health.reason.as_deref()), (HealthStatus::Healthy, None));
    assert!(health.latency.unwrap() < Duration::from_secs(1));
    let report = fixture.database.test_connection().await.unwrap();
    assert!(report.version.is_some(), "{report:?}");
}
