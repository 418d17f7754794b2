//! Networks that fall silent, forget connections and are slow: no wait is longer than its time, what
//! can go on goes on.

use std::time::{Duration, Instant};

use futures::FutureExt;
use kronos_core::ErrorKind;
use kronos_core::inspect::{HealthStatus, Inspect, PageRequest, PoolSettings, Query};
use libtest_mimic::Trial;

use crate::killed::{end_of, until_active};
use crate::own::{HEARD, Kind, Own, bounds, on_each, read};
use crate::proxy::{Proxy, Trouble};

pub(crate) fn trials() -> Vec<Trial> {
    let mut all = on_each("network::a_network_that_vanishes", |own| vanished(own).boxed());
    all.extend(on_each("network::a_connection_that_falls_silent", |own| silent(own).boxed()));
    all.extend(on_each("network::a_network_that_forgets_idle_connections", |own| forgotten(own).boxed()));
    all.extend(on_each("network::a_slow_network", |own| slow(own).boxed()));
    all
}

/// Beyond its time a call takes no longer than this, also where two processors do a lot else.
const MARGIN: Duration = Duration::from_secs(6);

fn short() -> PoolSettings {
    let mut short = bounds();
    short.query_timeout = Duration::from_secs(3);
    short
}

/// From one moment on, nothing is heard of the server over any connection, and none can be made.
async fn vanished(own: Own) {
    let words = own.words();
    let proxy = Proxy::after_words(own.port(), Trouble::Vanished, &[HEARD]);
    let database = own.database(proxy.port, short());
    // Some connections are idle, one is in a transaction, rows of one are being read.
    let mut rows = database.stream_query(&Query::new(&words.rows)).await.unwrap();
    let mut transaction = database.begin(None, false).await.unwrap();
    for _ in 0..3 {
        assert_eq!(database.health().await.status, HealthStatus::Healthy);
    }
    let begun = Instant::now();
    let error = database.execute_query(&Query::new(&words.sum)).await.unwrap_err();
    assert!(proxy.has_begun(), "it was never said");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    let waited = begun.elapsed();
    assert!(waited > Duration::from_secs(2) && waited < short().query_timeout + MARGIN, "{waited:?}: {error:?}");

    let (_, error) = end_of(&mut rows).await;
    assert_eq!(error.unwrap().kind(), ErrorKind::Timeout);
    assert!(begun.elapsed() < short().query_timeout + MARGIN, "{:?}", begun.elapsed());
    let begun = Instant::now();
    let error = transaction.execute(&Query::new(&words.rows)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(begun.elapsed() < short().query_timeout + MARGIN, "{:?}", begun.elapsed());

    // Whoever comes now gets no connection, and hears so in the time for one and for a statement.
    let begun = Instant::now();
    let error = database.execute_query(&Query::new(&words.sum)).await.unwrap_err();
    let kinds = [ErrorKind::Timeout, ErrorKind::ConnectionFailed];
    assert!(kinds.contains(&error.kind()), "{error:?}");
    let longest = short().acquire_timeout + short().query_timeout + MARGIN;
    assert!(begun.elapsed() < longest, "{:?}: {error:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(database.health().await.status, HealthStatus::Unhealthy);
    assert!(begun.elapsed() < longest, "{:?}", begun.elapsed());
    let begun = Instant::now();
    database.close().await;
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}

/// The others work: the statement is ended on the server, and its place is free again.
async fn silent(own: Own) {
    let words = own.words();
    // All that MongoDB is told is one message, and its answer is not to be heard either.
    let trouble = if own.kind == Kind::Mongodb { Trouble::Forgotten } else { Trouble::Silent };
    let proxy = Proxy::after_words(own.port(), trouble, &[HEARD]);
    let mut single = short();
    single.max_connections = 1;
    single.acquire_timeout = Duration::from_secs(10);
    let database = own.database(proxy.port, single);
    let begun = Instant::now();
    let error = database.execute_query(&Query::new(&words.sum)).await.unwrap_err();
    assert!(proxy.has_begun(), "it was never said");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(begun.elapsed() < short().query_timeout + MARGIN, "{:?}: {error:?}", begun.elapsed());
    // There is but one place, so it is this one.
    assert_eq!(read(&database, &words.sum).await, words.total);
    until_active(&database, 0).await;
    assert!(database.pool().size <= 1 + SPARE, "{:?}", database.pool());
    database.close().await;
}

/// `MongoDB`'s driver opens connections beside those of callers.
const SPARE: u32 = 4;

/// As where a router between forgets what has been idle for long: one call finds out for all.
async fn forgotten(own: Own) {
    let words = own.words();
    let proxy = Proxy::until_told(own.port(), Trouble::Forgotten, Duration::ZERO);
    let database = own.database(proxy.port, short());
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(database.begin(None, false).await.unwrap());
    }
    for transaction in held {
        transaction.rollback().await.unwrap();
    }
    until_active(&database, 0).await;
    proxy.begin();
    let begun = Instant::now();
    assert_eq!(read(&database, &words.sum).await, words.total);
    assert!(begun.elapsed() < short().acquire_timeout + MARGIN, "{:?}", begun.elapsed());
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(read(&database, &words.sum).await, words.total);
    }
    assert!(begun.elapsed() < MARGIN, "{:?}", begun.elapsed());
    database.close().await;
}

/// All is as elsewhere, but for the time it takes.
async fn slow(own: Own) {
    let words = own.words();
    let proxy = Proxy::until_told(own.port(), Trouble::Nothing, Duration::from_millis(60));
    let mut patient = bounds();
    patient.slow = Duration::from_millis(100);
    let database = own.database(proxy.port, patient);
    assert_eq!(read(&database, &words.sum).await, words.total);
    let page = Query::new(&words.rows).page(PageRequest::new(3).size(10));
    let page = database.execute_query(&page).await.unwrap();
    assert!(page.rows.len() == 10 && page.page.has_next, "{:?}", page.page);
    let callers = (0..20).map(|_| {
        let (database, sum) = (database.clone(), words.sum.clone());
        tokio::spawn(async move { read(&database, &sum).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.await.unwrap(), words.total);
    }
    let health = database.health().await;
    assert_eq!(health.status, HealthStatus::Degraded, "{health:?}");
    assert!(health.reason.unwrap().contains("a round trip took"));
    database.close().await;
}
