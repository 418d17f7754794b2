//! A server that is killed while statements run, rows stream and a transaction is open, and that comes
//! back: errors tell what happened, nobody waits, and the same handle goes on.

use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use kronos_connectors::inspect::AnyDatabase;
use kronos_core::inspect::{HealthStatus, Inspect, Query, RowStream};
use kronos_core::{Error, ErrorKind, Retry};
use libtest_mimic::Trial;

use crate::own::{Kind, Own, bounds, on_each, read};

pub(crate) fn trials() -> Vec<Trial> {
    on_each("killed::a_server_that_is_killed_and_comes_back", |own| killed(own).boxed())
}

/// A broken connection is noticed within this time.
const SOON: Duration = Duration::from_secs(10);

async fn killed(mut own: Own) {
    let (bounds, words) = (bounds(), own.words());
    let database = own.database(own.port(), bounds.clone());
    for round in 0..2 {
        assert_eq!(read(&database, &words.sum).await, words.total, "round {round}");
        let slow = run(&database, Query::new(&words.slow).confirmed());
        let writing = run(&database, Query::new(&words.slow_write).writing().confirmed());
        let mut rows = database.stream_query(&Query::new(&words.rows)).await.unwrap();
        let mut transaction = database.begin(None, true).await.unwrap();
        let add = Query::new(&words.add).confirmed();
        transaction.execute(&add).await.unwrap();
        assert_eq!(rows.next().await.unwrap().unwrap().len(), rows.columns().len());
        until_active(&database, 4).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!slow.is_finished() && !writing.is_finished());

        own = tokio::task::spawn_blocking(|| {
            let mut own = own;
            own.kill();
            own
        })
        .await
        .unwrap();
        let begun = Instant::now();
        let lost = slow.await.unwrap().unwrap_err();
        assert_eq!((lost.kind(), lost.retry()), (ErrorKind::ConnectionFailed, Retry::Later), "{lost:?}");
        let lost = writing.await.unwrap().unwrap_err();
        assert_eq!((lost.kind(), lost.retry()), (ErrorKind::ConnectionFailed, Retry::Never), "{lost:?}");
        assert!(lost.context("note").unwrap().contains("not known"), "{lost:?}");
        let (read_on, lost) = end_of(&mut rows).await;
        assert_eq!(lost.unwrap().kind(), ErrorKind::ConnectionFailed);
        assert!(read_on < words.many - 1, "all was read before the server was killed");
        assert!(rows.next().await.is_none(), "an error is the end");
        let lost = transaction.execute(&add).await.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::ConnectionFailed, "{lost:?}");
        assert_eq!(transaction.execute(&add).await.unwrap_err().kind(), ErrorKind::InvalidQuery);
        // MongoDB's driver looks for the server again, for as long as it may for a connection.
        let looking = if own.kind == Kind::Mongodb { 2 * bounds.acquire_timeout } else { Duration::ZERO };
        assert!(begun.elapsed() < SOON + looking, "{:?}", begun.elapsed());

        // As long as it is away, that is what is told, in the time for a connection.
        let begun = Instant::now();
        let away = database.execute_query(&Query::new(&words.sum)).await.unwrap_err();
        assert_eq!((away.kind(), away.retry()), (ErrorKind::ConnectionFailed, Retry::Later), "{away:?}");
        assert!(begun.elapsed() < bounds.acquire_timeout + Duration::from_secs(6), "{:?}", begun.elapsed());
        let health = database.health().await;
        assert_eq!(health.status, HealthStatus::Unhealthy, "{health:?}");
        until_active(&database, 0).await;

        own = tokio::task::spawn_blocking(|| {
            let mut own = own;
            own.start();
            own
        })
        .await
        .unwrap();
    }
    // Nothing that was not committed is there.
    assert_eq!(read(&database, &words.sum).await, words.total);
    assert_eq!(database.health().await.status, HealthStatus::Healthy);
    until_active(&database, 0).await;
    database.close().await;
}

fn run(database: &AnyDatabase, query: Query) -> tokio::task::JoinHandle<Result<(), Error>> {
    let database = database.clone();
    tokio::spawn(async move { database.execute_query(&query).await.map(drop) })
}

/// How many rows came, and how it ended.
pub(crate) async fn end_of(rows: &mut RowStream) -> (usize, Option<Error>) {
    let mut read = 0;
    loop {
        match rows.next().await {
            Some(Ok(_)) => read += 1,
            Some(Err(error)) => return (read, Some(error)),
            None => return (read, None),
        }
    }
}

/// Waits until so many connections are in use.
pub(crate) async fn until_active(database: &AnyDatabase, number: u32) {
    for _ in 0..200 {
        if database.pool().active == number {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?} and not {number}", database.pool());
}
