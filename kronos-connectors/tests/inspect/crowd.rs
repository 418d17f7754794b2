//! Many callers on a pool, half of them gone at some moment: the server has no connection more than the
//! pool may have, none of them at work, and none at all when the handle is closed.

use std::time::Duration;

use futures::FutureExt;
use kronos_connectors::inspect::AnyDatabase;
use kronos_core::inspect::{Inspect, Query, Value};
use kronos_core::{ErrorKind, Result};
use libtest_mimic::Trial;

use crate::killed::until_active;
use crate::own::{Kind, Own, Words, bounds, on_each_but};
use crate::proxy::scattered;

pub(crate) fn trials() -> Vec<Trial> {
    on_each_but("crowd::two_hundred_callers_of_whom_half_go", against, |own| crowd(own).boxed())
}

fn against(kind: Kind) -> Option<&'static str> {
    let is_it = |command: String| kind == Kind::Mongodb && command.contains("secantus");
    let is_slow = std::env::var("KRONOS_TEST_MONGODB_COMMAND").is_ok_and(is_it);
    is_slow.then_some("this server does one thing at a time, and takes minutes for so many")
}

const MOST: u32 = 20;

async fn crowd(own: Own) {
    let words = words(&own);
    let mut many = bounds();
    many.max_connections = MOST;
    // Everybody waits his turn.
    many.acquire_timeout = Duration::from_mins(1);
    many.query_timeout = Duration::from_mins(1);
    let database = own.database(own.port(), many);
    let counter = Counter::new(&own).await;
    for round in 0..3_u64 {
        let callers: Vec<_> = (0..200_u64)
            .map(|number| {
                let (database, words) = (database.clone(), self::words(&own));
                tokio::spawn(async move {
                    match (number % 2, number % 3) {
                        // These go, so that what they ask for may be long.
                        (0, 0) => database.execute_query(&short(words.slow)).await.map(drop),
                        (0, 1) => read_some(&database, words.rows).await,
                        (0, _) => hold(&database, &words.sum).await,
                        (_, 0) => database.execute_query(&Query::new(words.rows)).await.map(drop),
                        _ => database.execute_query(&Query::new(words.sum)).await.map(drop),
                    }
                })
            })
            .collect();
        let mut staying = Vec::new();
        for (number, caller) in (0..).zip(callers) {
            if number % 2 == 0 {
                let moment = Duration::from_millis(scattered(number + 1000 * round, 1500));
                tokio::spawn(async move {
                    tokio::time::sleep(moment).await;
                    caller.abort();
                });
            } else {
                staying.push(caller);
            }
        }
        for caller in staying {
            caller.await.unwrap().unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        }
        until_active(&database, 0).await;
        let statistics = database.pool();
        assert!(statistics.size <= MOST + spare(own.kind) && statistics.waiting == 0, "{statistics:?}");
        let most = i64::from(MOST + spare(own.kind));
        counter.until("no more than the pool may have, and none at work", |all, busy| all <= most && busy == 0).await;
        // All places are there again.
        let mut held = Vec::new();
        for _ in 0..MOST {
            held.push(database.begin(None, false).await.unwrap());
        }
        assert_eq!(database.pool().active, MOST);
    }
    crate::own::read(&database, &words.sum).await;
    database.close().await;
    let closed = database.execute_query(&Query::new(&words.sum)).await.unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::ConnectionFailed, "{closed:?}");
    counter.until("none", |all, _| all <= 0).await;
}

/// `MongoDB`'s driver has some for itself: they look after the server, and end what runs.
fn spare(kind: Kind) -> u32 {
    if kind == Kind::Mongodb { 6 } else { 0 }
}

async fn read_some(database: &AnyDatabase, rows: String) -> Result<()> {
    use futures::StreamExt;
    let mut rows = database.stream_query(&Query::new(rows)).await?;
    while let Some(row) = rows.next().await {
        row?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn hold(database: &AnyDatabase, statement: &str) -> Result<()> {
    let mut transaction = database.begin(None, false).await?;
    transaction.execute(&Query::new(statement)).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    transaction.rollback().await
}

fn words(own: &Own) -> Words {
    let mut words = own.words();
    if own.kind == Kind::Mongodb {
        r#"{"find": "t", "sort": {"_id": 1}, "limit": 20, "batchSize": 5}"#.clone_into(&mut words.rows);
        r#"{"count": "t"}"#.clone_into(&mut words.sum);
    }
    words
}

/// Where a server cannot end what runs, its own limit does.
fn short(statement: String) -> Query {
    Query::new(statement).confirmed().timeout(Duration::from_secs(3))
}

/// What the server itself counts.
struct Counter {
    database: AnyDatabase,
    kind: Kind,
    /// The counter's own.
    own: i64,
}

impl Counter {
    async fn new(own: &Own) -> Self {
        let mut one = bounds();
        (one.max_connections, one.min_connections) = (1, 1);
        let mut made = Self { database: own.database(own.port(), one), kind: own.kind, own: 0 };
        made.own = made.count().await.0;
        made
    }

    /// Waits until the connections of others, and those at work, are so many.
    async fn until(&self, what: &str, good: impl Fn(i64, i64) -> bool) {
        let mut counted = (0, 0);
        for _ in 0..100 {
            counted = self.count().await;
            if good(counted.0, counted.1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} connections of which {} are at work, and not {what}", counted.0, counted.1);
    }

    /// The connections of others, and of these the ones at work, as far as the server tells.
    async fn count(&self) -> (i64, i64) {
        let statement = match self.kind {
            Kind::Postgres => {
                "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity \
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            }
            Kind::Mariadb | Kind::Mysql => {
                "SELECT COUNT(*), COUNT(CASE WHEN command <> 'Sleep' THEN 1 END) FROM information_schema.processlist \
                 WHERE user = 'root' AND id <> CONNECTION_ID()"
            }
            Kind::Mongodb => r#"{"serverStatus": 1}"#,
        };
        let found = self.database.execute_query(&Query::new(statement).confirmed()).await.unwrap();
        let (all, busy) = match &found.rows[0][0] {
            Value::Json(status) => {
                let status: serde_json::Value = serde_json::from_str(status).unwrap();
                let current = &status["connections"]["current"];
                let current = current.get("$numberInt").or(current.get("$numberLong")).unwrap();
                (current.as_str().unwrap().parse().unwrap(), 0)
            }
            number => (number.as_i64().unwrap(), found.rows[0][1].as_i64().unwrap()),
        };
        (all - self.own, busy)
    }
}
