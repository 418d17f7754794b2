//! MongoDB: what the tables of the other engines are, collections are here.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use kronos_connectors::inspect::AnyDatabase;
use kronos_core::inspect::{
    ConstraintKind, HealthStatus, Inspect, PageRequest, PoolSettings, Query, RowCount, Scope, TableKind, TableName,
    Value,
};
use kronos_core::{ErrorKind, Secret, SourceSettings};
use libtest_mimic::{Failed, Trial};

use crate::engines::pool;
use crate::secrets::Said;

/// A database of its own, and the service that looks into it.
struct Shop {
    database: AnyDatabase,
    name: String,
    settings: SourceSettings,
}

fn address(url: &str) -> String {
    url.split("://").nth(1).unwrap().split(['/', '?']).next().unwrap().to_owned()
}

impl Shop {
    fn open(pool: PoolSettings) -> Self {
        let name =
            format!("kronos_inspect_{}_{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], "_");
        let settings = SourceSettings {
            host: Some(address(&std::env::var("KRONOS_TEST_MONGODB_URL").unwrap())),
            databases: vec![name.clone()],
            options: [("directConnection".to_owned(), "true".to_owned())].into(),
            ..SourceSettings::default()
        };
        Self { database: AnyDatabase::open("mongodb", &settings, pool).unwrap(), name, settings }
    }

    async fn filled() -> Self {
        let shop = Self::open(pool());
        shop.write(r#"{"create": "orders", "validator": {"total": {"$gte": 0}}}"#).await;
        let orders: Vec<String> = (1..=25)
            .map(|n| {
                if n % 5 == 0 {
                    format!(r#"{{"_id": "s{n:02}", "total": {n}}}"#)
                } else {
                    format!(
                        r#"{{"_id": {n}, "total": {n}.5, "b": 1, "a": {{"z": 1, "y": [1, {{"$numberLong": "2"}}]}}}}"#
                    )
                }
            })
            .collect();
        shop.write(&format!(r#"{{"insert": "orders", "documents": [{}]}}"#, orders.join(","))).await;
        shop.write(
            r#"{"createIndexes": "orders", "indexes": [{"key": {"total": 1}, "name": "total", "unique": true}]}"#,
        )
        .await;
        shop.write(r#"{"create": "big", "viewOn": "orders", "pipeline": [{"$match": {"total": {"$gt": 20}}}]}"#).await;
        shop
    }

    async fn write(&self, command: &str) -> kronos_core::inspect::QueryResult {
        let query = Query::new(command).writing().confirmed();
        self.database.execute_query(&query).await.unwrap_or_else(|error| panic!("{command}: {error:?}"))
    }

    async fn refused(&self, query: Query) -> kronos_core::Error {
        let text = format!("{:?}", query.text);
        match self.database.execute_query(&query).await {
            Err(error) => error,
            Ok(_) => panic!("{text} was not refused"),
        }
    }

    async fn remove(self) {
        self.write(r#"{"dropDatabase": 1}"#).await;
        self.database.close().await;
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    let required = std::env::var_os("KRONOS_TEST_REQUIRE").is_some();
    let on = |variable: &'static str, name: &str, case: fn() -> futures::future::BoxFuture<'static, ()>| {
        let (there, name) = (std::env::var_os(variable).is_some(), format!("mongodb::{name}"));
        if !there && !required {
            return Trial::test(format!("{name} (no server: scripts/servers)"), || Ok(())).with_ignored_flag(true);
        }
        Trial::test(name, move || {
            if !there {
                return Err(Failed::from(format!("{variable} is not set: scripts/servers")));
            }
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async { tokio::time::timeout(Duration::from_mins(1), case()).await.expect("it hangs") });
            Ok(())
        })
    };
    let trial = |name: &str, case| on("KRONOS_TEST_MONGODB_URL", name, case);
    vec![
        trial("collections_are_tables", || Box::pin(collections())),
        trial("commands", || Box::pin(commands())),
        trial("what_writes_is_refused", || Box::pin(reading())),
        trial("pages_by_id_of_every_type", || Box::pin(pages())),
        trial("exhaustion_and_health", || Box::pin(exhaustion())),
        trial("connections_have_an_age", || Box::pin(age())),
        trial("a_slow_command_is_ended", || Box::pin(slow())),
        on("KRONOS_TEST_MONGODBAUTH_URL", "secrets_and_logins", || Box::pin(secrets())),
    ]
}

async fn collections() {
    let shop = Shop::filled().await;
    let names: Vec<String> =
        shop.database.list_databases(&Scope::new()).await.unwrap().into_iter().map(|d| d.name).collect();
    assert!(names.contains(&shop.name) && names.is_sorted() && !names.contains(&"admin".to_owned()), "{names:?}");
    let tables = shop.database.list_tables(&Scope::new()).await.unwrap();
    let tables: Vec<_> = tables.iter().map(|table| (table.name.as_str(), table.kind)).collect();
    assert_eq!(tables, [("big", TableKind::View), ("orders", TableKind::Collection)]);
    let info = shop.database.get_table_info(&TableName::new("orders"), true).await.unwrap();
    assert_eq!(info.count, RowCount::Exact(25));
    let id = &info.columns[0];
    assert_eq!((id.name.as_str(), id.data_type.as_str(), id.nullable, id.key), ("_id", "int | string", false, Some(1)));
    let b = info.columns.iter().find(|column| column.name == "b").unwrap();
    assert_eq!((b.data_type.as_str(), b.nullable, b.frequency), ("int", true, Some(0.8)));
    let index = info.indexes.iter().find(|index| index.name == "total").unwrap();
    assert!(index.unique && !index.primary && index.columns == ["total"], "{index:?}");
    assert!(info.indexes.iter().any(|index| index.primary));
    assert_eq!(info.constraints[0].kind, ConstraintKind::Validator);
    let view = shop.database.get_table_info(&TableName::new("big"), true).await.unwrap();
    assert!(view.definition.unwrap().contains("orders") && view.count == RowCount::Exact(5));
    let error = shop.database.get_table_info(&TableName::new("absent"), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    shop.remove().await;
}

async fn commands() {
    let shop = Shop::filled().await;
    let find = r#"{"find": "orders", "filter": {"_id": 1}}"#;
    let found = shop.database.execute_query(&Query::new(find)).await.unwrap();
    // Fields stay in their order, numbers have their types.
    let expected = r#"{"_id":{"$numberInt":"1"},"total":{"$numberDouble":"1.5"},"b":{"$numberInt":"1"},"a":{"z":{"$numberInt":"1"},"y":[{"$numberInt":"1"},{"$numberLong":"2"}]}}"#;
    assert_eq!(found.rows, [vec![Value::Json(expected.to_owned())]]);
    assert_eq!(found.rows_affected, None);
    let count = shop.database.execute_query(&Query::new(r#"{"count": "orders"}"#)).await.unwrap();
    assert!(matches!(&count.rows[0][0], Value::Json(text) if text.contains("25")), "{count:?}");
    let page = Query::new(r#"{"find": "orders", "sort": {"total": 1}}"#).page(PageRequest::new(3).size(10));
    let page = shop.database.execute_query(&page).await.unwrap();
    assert_eq!((page.rows.len(), page.page.has_next, page.page.total), (5, false, Some(25)));
    let all = shop.database.stream_query(&Query::new(r#"{"find": "orders", "batchSize": 3}"#)).await.unwrap();
    assert_eq!(all.try_collect::<Vec<_>>().await.unwrap().len(), 25);
    let update = r#"{"update": "orders", "updates": [{"q": {"b": 1}, "u": {"$set": {"c": 1}}, "multi": true}]}"#;
    assert_eq!(shop.write(update).await.rows_affected, Some(20));
    for (text, kind) in [
        ("find orders", ErrorKind::InvalidQuery),
        (r#"{"noSuchCommand": 1}"#, ErrorKind::InvalidQuery),
        (r#"{"find": "orders", "filter": {"$no": 1}}"#, ErrorKind::InvalidQuery),
        (r#"{"insert": "orders", "documents": [{"_id": 1}]}"#, ErrorKind::QueryFailed),
    ] {
        let error = shop.refused(Query::new(text).writing().confirmed()).await;
        assert_eq!(error.kind(), kind, "{text}: {error:?}");
    }
    assert_eq!(shop.refused(Query::new(find).bind(1)).await.kind(), ErrorKind::InvalidQuery);
    shop.remove().await;
}

async fn reading() {
    let shop = Shop::filled().await;
    for command in [
        r#"{"insert": "orders", "documents": [{"_id": 99}]}"#,
        r#"{"update": "orders", "updates": [{"q": {"_id": 1}, "u": {"$set": {"c": 1}}}]}"#,
        r#"{"delete": "orders", "deletes": [{"q": {"_id": 1}, "limit": 1}]}"#,
        r#"{"drop": "orders"}"#,
        r#"{"aggregate": "orders", "pipeline": [{"$out": "copy"}], "cursor": {}}"#,
        r#"{"aggregate": "orders", "pipeline": [{"$merge": {"into": "copy"}}], "cursor": {}}"#,
        r#"{"findAndModify": "orders", "query": {"_id": 1}, "remove": true}"#,
        r#"{"create": "more"}"#,
        r#"{"dropDatabase": 1}"#,
    ] {
        let error = shop.refused(Query::new(command).confirmed()).await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{command}: {error:?}");
    }
    let error = shop.refused(Query::new(r#"{"drop": "orders"}"#).writing()).await;
    assert_eq!(error.kind(), ErrorKind::InvalidQuery, "it needs a confirmation: {error:?}");
    let tables = shop.database.list_tables(&Scope::new()).await.unwrap();
    assert_eq!(tables.len(), 2);
    let info = shop.database.get_table_info(&TableName::new("orders"), true).await.unwrap();
    assert_eq!(info.count, RowCount::Exact(25));
    shop.remove().await;
}

async fn pages() {
    let shop = Shop::filled().await;
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let mut page = PageRequest::default().size(4);
        page.after = after;
        let result = shop.database.execute_query(&Query::table(TableName::new("orders")).page(page)).await.unwrap();
        seen.extend(result.rows.into_iter().map(|mut row| row.remove(0)));
        after = result.page.next;
        if after.is_none() {
            break;
        }
        // The place itself goes, too: the fourth, and no more of those that are left.
        shop.write(r#"{"delete": "orders", "deletes": [{"q": {"_id": 4}, "limit": 1}]}"#).await;
    }
    assert_eq!(seen.len(), 25);
    let of = |text: &Value| match text {
        Value::Json(text) => serde_json::from_str::<serde_json::Value>(text).unwrap()["_id"].to_string(),
        other => panic!("{other:?}"),
    };
    let ids: std::collections::BTreeSet<String> = seen.iter().map(of).collect();
    assert_eq!(ids.len(), 25);
    let counted = Query::table(TableName::new("orders")).page(PageRequest::default().size(4).with_total());
    assert_eq!(shop.database.execute_query(&counted).await.unwrap().page.total, Some(24));
    for wrong in ["", "5", "{}", r#"{"a": 1}"#] {
        let query = Query::table(TableName::new("orders")).page(PageRequest::default().after(wrong));
        assert_eq!(shop.refused(query).await.kind(), ErrorKind::Config, "{wrong}");
    }
    shop.remove().await;
}

async fn exhaustion() {
    let mut bounds = pool();
    bounds.max_connections = 2;
    bounds.acquire_timeout = Duration::from_millis(500);
    bounds.health_for = Duration::ZERO;
    let shop = Shop::open(bounds);
    let ping = Query::new(r#"{"ping": 1}"#);
    assert_eq!(shop.database.health().await.status, HealthStatus::Healthy);
    let first = shop.database.begin(None, false).await.unwrap();
    let second = shop.database.begin(None, false).await.unwrap();
    assert_eq!(shop.refused(ping.clone()).await.kind(), ErrorKind::PoolExhausted);
    assert_eq!(shop.database.health().await.status, HealthStatus::Degraded);
    assert_eq!((shop.database.pool().active, shop.database.pool().max), (2, 2));
    drop((first, second));
    for _ in 0..100 {
        if shop.database.pool().active == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let callers = (0..200).map(|_| {
        let (database, ping) = (shop.database.clone(), ping.clone());
        tokio::spawn(async move { database.execute_query(&ping).await.map(drop) })
    });
    let mut good = 0;
    for caller in callers.collect::<Vec<_>>() {
        match caller.await.unwrap() {
            Ok(()) => good += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::PoolExhausted, "{error:?}"),
        }
    }
    assert!(good > 0 && shop.database.pool().active == 0);
    shop.database.close().await;
}

async fn slow() {
    let shop = Shop::filled().await;
    // A product of all with all, several times.
    let lookup = r#"{"$lookup": {"from": "orders", "pipeline": [], "as": "x"}}, {"$unwind": "$x"}"#;
    let command = format!(
        r#"{{"aggregate": "orders", "pipeline": [{lookup}, {lookup}, {lookup}, {lookup}, {lookup}, {{"$count": "n"}}], "cursor": {{}}}}"#
    );
    let begun = Instant::now();
    let error = shop.refused(Query::new(command).confirmed().timeout(Duration::from_millis(500))).await;
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    shop.remove().await;
}

/// Where the server sees the connection.
async fn place(database: &AnyDatabase) -> String {
    let told = database.execute_query(&Query::new(r#"{"whatsmyuri": 1}"#)).await.unwrap();
    serde_json::to_string(&told.rows).unwrap()
}

/// The driver knows no limit of age; the pool keeps it.
async fn age() {
    let mut bounds = pool();
    (bounds.min_connections, bounds.max_lifetime) = (0, Duration::from_secs(3));
    let shop = Shop::open(bounds);
    let begun = Instant::now();
    let young = [place(&shop.database).await, place(&shop.database).await];
    assert!(begun.elapsed() > Duration::from_secs(2) || young[0] == young[1], "{young:?}");
    let held = shop.database.begin(None, false).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let new = place(&shop.database).await;
    assert!(!young.contains(&new), "{new} is as old as {young:?}");
    // Whoever has one of the old ones keeps it.
    held.rollback().await.unwrap();
    for _ in 0..100 {
        if shop.database.pool().size <= 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(shop.database.pool().size <= 1, "the old ones are still there: {:?}", shop.database.pool());
    shop.database.close().await;
}

async fn secrets() {
    let [url, user, password] =
        ["URL", "USER", "PASSWORD"].map(|what| std::env::var(format!("KRONOS_TEST_MONGODBAUTH_{what}")).unwrap());
    let mut said = Said::default();
    said.known_secret(&password);
    let (wrong, text) = (said.secret(), said.secret());
    let mut settings = Shop::open(pool()).settings;
    settings.host = Some(address(&url));
    settings.user = Some(user);
    settings.password = Some(Secret::new(&password));
    let database = AnyDatabase::open("mongodb", &settings, pool()).unwrap();
    database.execute_query(&Query::new(r#"{"ping": 1}"#)).await.unwrap();
    said.debug("a database", &database);
    said.debug("a database", &database.describe());
    said.debug("a transaction", &database.begin(None, false).await.unwrap());
    said.debug("settings", &settings);
    said.debug("settings", &kronos_connectors::mongodb::MongodbSettings::from_source(&settings).unwrap());
    said.debug("a source", &kronos_connectors::mongodb::MongodbSource::from_source(&settings).unwrap());
    for command in [
        r#"{"find": "orders", "filter": {"a": "?"}"#,
        r#"{"find": "orders", "filter": {"a": ?}}"#,
        r#"{"find": "orders", "filter": {"_id": {"$oid": "?"}}}"#,
        r#"{"find": "orders", "filter": {"a": {"$date": "?"}}}"#,
        r#"{"find": "orders", "filter": {"a": {"$no": "?"}}}"#,
        r#"{"find": "orders", "filter": "?"}"#,
        r#"{"find": "orders", "sort": {"a": "?"}}"#,
        r#"{"aggregate": "orders", "pipeline": [{"$no": "?"}], "cursor": {}}"#,
        r#"{"aggregate": "orders", "pipeline": [{"$project": {"a": {"$toInt": "?"}}}], "cursor": {}}"#,
        r#"{"aggregate": "orders", "pipeline": "?", "cursor": {}}"#,
        r#"{"insert": "orders", "documents": [{"_id": "?"}, {"_id": "?"}]}"#,
        r#"{"update": "orders", "updates": [{"q": {"_id": "?"}, "u": {"$no": "?"}}]}"#,
        r#"{"noSuchCommand": "?"}"#,
        r#"{"createUser": "nobody", "pwd": "?", "roles": "?"}"#,
    ] {
        let text = command.replace('?', &text);
        said.debug(command, &database.judge(&text));
        for query in [Query::new(&text), Query::new(&text).confirmed(), Query::new(&text).confirmed().writing()] {
            let done = database.execute_query(&query).await;
            said.outcome(command, done);
        }
    }
    database.execute_query(&Query::new(r#"{"dropDatabase": 1}"#).confirmed().writing()).await.unwrap();
    settings.password = Some(Secret::new(&wrong));
    let refused = AnyDatabase::open("mongodb", &settings, pool()).unwrap();
    said.debug("a wrong password", &refused);
    let done = refused.execute_query(&Query::new(r#"{"ping": 1}"#)).await;
    assert_eq!(said.outcome("a wrong password", done), Some(ErrorKind::Authentication));
    said.debug("a wrong password", &refused.health().await);
    let tls = ("tls".to_owned(), "require".to_owned());
    for (what, port, tls) in [("an unreachable server", Some(1), None), ("a server without TLS", None, Some(tls))] {
        let mut settings = settings.clone();
        settings.options.extend(tls);
        if let Some(port) = port {
            settings.host = Some(format!("127.0.0.1:{port}"));
        }
        let mut bounds = pool();
        bounds.acquire_timeout = Duration::from_secs(1);
        let away = AnyDatabase::open("mongodb", &settings, bounds).unwrap();
        let done = away.execute_query(&Query::new(r#"{"ping": 1}"#)).await;
        assert!(said.outcome(what, done).is_some(), "{what}");
        said.debug(what, &away.health().await);
    }
    said.search();
}
