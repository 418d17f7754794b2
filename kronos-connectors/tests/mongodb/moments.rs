//! Writers beside a backup: what is restored is one point in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use kronos_connectors::mongodb::Changes;
use kronos_core::RestoreOptions;
use libtest_mimic::Trial;
use mongodb::bson::{Document, doc, rawdoc};

use crate::proxy::Proxy;
use crate::server::{Database, Server, assert_same, back_up, bring_back, on, repository};

/// Counters that go up one after another, in turn: at no moment is one more than one ahead.
const COUNTERS: i32 = 40;
const ACCOUNTS: i32 = 20;
const EACH: i64 = 1000;

async fn fill(database: &Database) {
    let pad = "x".repeat(3000);
    // So that some are read long after others.
    for name in ["a", "b", "c"] {
        database.insert(name, (0..1500).map(|n| rawdoc! { "_id": 1000 + n, "pad": &*pad }).collect()).await;
    }
    for n in 0..COUNTERS {
        let place = ["a", "b", "c"][usize::try_from(n).unwrap() % 3];
        // At the beginning of one, at the end of another.
        database
            .insert(
                place,
                vec![rawdoc! { "_id": if n % 2 == 0 { n } else { 10_000 + n }, "counter": n, "value": 0_i64 }],
            )
            .await;
    }
    for n in 0..ACCOUNTS {
        let id = if n % 2 == 0 { format!("a{n}") } else { format!("z{n}") };
        database
            .insert(if n % 3 == 0 { "a" } else { "c" }, vec![rawdoc! { "_id": id, "account": n, "sum": EACH }])
            .await;
    }
}

async fn write(database: Database, stop: Arc<AtomicBool>, feed: Changes) -> i64 {
    let client = database.server.client.clone();
    let within = client.database(&database.name);
    let mut round = 0_i64;
    let mut session = client.start_session().await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        let n = i32::try_from(round % i64::from(COUNTERS)).unwrap();
        let place = ["a", "b", "c"][usize::try_from(n).unwrap() % 3];
        let counters = within.collection::<Document>(place);
        count(&counters, if n % 2 == 0 { n } else { 10_000 + n }, feed).await;
        let log = within.collection::<Document>("log");
        log.insert_one(doc! { "_id": round }).await.unwrap();
        if round >= 30 {
            log.delete_one(doc! { "_id": round - 30 }).await.unwrap();
        }
        // And now and then a collection is made, with an index. MongoDB tells of it in its log also where
        // nobody says `create`, `SecantusDB` does not.
        if round % 25 == 0 {
            let name = format!("made_{:04}", round / 25);
            within.run_command(doc! { "create": &name }).await.unwrap();
            within.collection::<Document>(&name).insert_one(doc! { "_id": 1 }).await.unwrap();
            if feed != Changes::Oplog {
                let index = doc! { "key": { "x": 1 }, "name": "by x" };
                within.run_command(doc! { "createIndexes": &name, "indexes": [index] }).await.unwrap();
            }
        }
        if feed == Changes::Oplog {
            transfer(&within, round).await;
            round += 1;
            continue;
        }
        // Money goes from one account to another, in one transaction.
        let (from, to) = (i32::try_from(round % 20).unwrap(), i32::try_from(round * 7 % 20).unwrap());
        session.start_transaction().await.unwrap();
        for (account, sum) in [(from, -5_i64), (to, 5)] {
            let id = if account % 2 == 0 { format!("a{account}") } else { format!("z{account}") };
            let accounts = within.collection::<Document>(if account % 3 == 0 { "a" } else { "c" });
            accounts
                .update_one(doc! { "_id": id }, doc! { "$inc": { "sum": sum } })
                .session(&mut session)
                .await
                .unwrap();
        }
        session.commit_transaction().await.unwrap();
        round += 1;
    }
    round
}

/// The same one after the other: in its oplog `SecantusDB` tells of a transaction as if it were none, and
/// of updates in a form that MongoDB has not; of whole documents as MongoDB does.
async fn transfer(within: &mongodb::Database, round: i64) {
    let (from, to) = (i32::try_from(round % 20).unwrap(), i32::try_from(round * 7 % 20).unwrap());
    for (account, sum) in [(from, -5_i64), (to, 5)] {
        let id = if account % 2 == 0 { format!("a{account}") } else { format!("z{account}") };
        let accounts = within.collection::<Document>(if account % 3 == 0 { "a" } else { "c" });
        let mut one = accounts.find_one(doc! { "_id": &id }).await.unwrap().unwrap();
        let sum = one.get_i64("sum").unwrap() + sum;
        one.insert("sum", sum);
        accounts.replace_one(doc! { "_id": id }, one).await.unwrap();
    }
}

/// Counts one on, by an update or by a new document.
async fn count(counters: &mongodb::Collection<Document>, id: i32, feed: Changes) {
    if feed != Changes::Oplog {
        counters.update_one(doc! { "_id": id }, doc! { "$inc": { "value": 1_i64 } }).await.unwrap();
        return;
    }
    let mut one = counters.find_one(doc! { "_id": id }).await.unwrap().unwrap();
    let value = one.get_i64("value").unwrap() + 1;
    one.insert("value", value);
    counters.replace_one(doc! { "_id": id }, one).await.unwrap();
}

/// What holds at every moment, and which moment it is; so much may be on its way between accounts.
async fn moment(database: &Database, on_its_way: i64) -> Result<i64, String> {
    let within = database.server.client.database(&database.name);
    let (mut counters, mut sum, mut accounts) = (Vec::new(), 0, 0);
    for name in ["a", "b", "c"] {
        let found: Vec<Document> =
            within.collection::<Document>(name).find(doc! {}).await.unwrap().try_collect().await.unwrap();
        for one in found {
            if let Ok(counter) = one.get_i32("counter") {
                counters.push((counter, one.get_i64("value").unwrap()));
            }
            if let Ok(amount) = one.get_i64("sum") {
                sum += amount;
                accounts += 1;
            }
        }
    }
    counters.sort_unstable();
    let steps: i64 = counters.iter().map(|(_, value)| value).sum();
    let expected = |n: i32| (steps + i64::from(COUNTERS) - 1 - i64::from(n)) / i64::from(COUNTERS);
    if let Some(wrong) = counters.iter().find(|(n, value)| *value != expected(*n)) {
        return Err(format!("counter {wrong:?} after {steps} steps"));
    }
    let all = i64::from(ACCOUNTS) * EACH;
    if !(all - on_its_way..=all).contains(&sum) || accounts != ACCOUNTS {
        return Err(format!("{sum} in {accounts} accounts"));
    }
    let log: Vec<Document> = within
        .collection::<Document>("log")
        .find(doc! {})
        .sort(doc! { "_id": 1 })
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let ids: Vec<i64> = log.iter().map(|one| one.get_i64("_id").unwrap()).collect();
    let (first, last) = (ids.first().copied().unwrap_or_default(), ids.last().copied().unwrap_or(-1));
    if ids.iter().copied().ne(first..=last) || (last + 1 - steps).abs() > 1 {
        return Err(format!("log of {first} to {last}, {} entries, after {steps} steps", ids.len()));
    }
    let made: Vec<String> = database.names().await.into_iter().filter(|name| name.starts_with("made_")).collect();
    // Those that are told of by the oplog have none.
    let has_indexes = on_its_way == 0;
    for (n, name) in made.iter().enumerate() {
        let documents = database.documents(name).await.len();
        if *name != format!("made_{n:04}") || (documents, n + 1 < made.len()) == (0, true) {
            return Err(format!("collections {made:?}, {documents} documents in {name}"));
        }
        let indexes = within.collection::<Document>(name).list_index_names().await.unwrap();
        if has_indexes && n + 1 < made.len() && !indexes.iter().any(|index| index == "by x") {
            return Err(format!("{name} has the indexes {indexes:?}"));
        }
    }
    let known = i64::try_from(made.len()).unwrap();
    if ((steps + 24) / 25 - known).abs() > 1 {
        return Err(format!("{known} collections made after {steps} steps"));
    }
    Ok(steps)
}

async fn under_load(server: &Server, changes: Changes) -> Result<i64, String> {
    let source = server.new_database();
    fill(&source).await;
    source.run(doc! { "create": "log" }).await;
    let (stop, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(changes != Changes::Oplog)));
    let (database, stopped, gone) = (server.database_like(&source.name), stop.clone(), go.clone());
    let writer = tokio::spawn(async move {
        while !gone.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        write(database, stopped, changes).await
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let repository = repository().await;
    // `SecantusDB` loses what is written while it opens a cursor on its oplog: it notes where to go on
    // only after it has looked for the first entries. So writers begin with the first read of documents.
    let proxy = Proxy::doing(server.port(), &["hint"], move || go.store(true, Ordering::Relaxed));
    // In many parts, so that the first is read long before the last.
    let from = source.with(|settings| {
        (settings.changes, settings.range) = (changes, 128 << 10);
        if changes == Changes::Oplog {
            settings.hosts = vec![format!("127.0.0.1:{}", proxy.port)];
        }
    });
    let made = back_up(&repository, &from).await;
    stop.store(true, Ordering::Relaxed);
    let rounds = writer.await.unwrap();
    let made = made.unwrap();
    assert_eq!(made.position.is_some(), changes != Changes::None);
    let target = server.new_database();
    bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
    let moment = moment(&target, if changes == Changes::Oplog { 5 } else { 0 }).await?;
    let again = server.new_database();
    bring_back(&repository, &again.source(), &RestoreOptions::new()).await.unwrap();
    assert_same(&again.all().await, &target.all().await, "the same changes applied once more");
    assert!(moment > 0 && moment <= rounds, "{moment} of {rounds}");
    Ok(moment)
}

async fn change_streams(server: Server) {
    under_load(&server, Changes::ChangeStream).await.unwrap();
}

async fn oplog(server: Server) {
    under_load(&server, Changes::Oplog).await.unwrap();
}

async fn auto(server: Server) {
    under_load(&server, Changes::Auto).await.unwrap();
}

/// That the test can tell one moment from several.
async fn without(server: Server) {
    for _ in 0..5 {
        if under_load(&server, Changes::None).await.is_err() {
            return;
        }
    }
    panic!("a backup that follows nothing was of one moment five times");
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on("moments::change_streams", change_streams),
        on("moments::oplog", oplog),
        on("moments::auto", auto),
        on("moments::without", without),
    ]
}
