//! Two restores at once, collections that go while they are read.

use kronos_connectors::mongodb::MongodbSettings;
use kronos_core::{ErrorKind, RestoreOptions};
use libtest_mimic::Trial;
use mongodb::bson::{doc, rawdoc};

use crate::proxy::Proxy;
use crate::server::{Database, Server, assert_same, back_up, bring_back, on, repository};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on("failures::two_restores_at_once", two_at_once),
        on("failures::one_that_was_taken_for_dead_moves_nothing", taken_for_dead),
        on("failures::what_goes_while_it_is_read", gone_meanwhile),
    ]
}

/// Some megabytes in many documents.
pub(crate) async fn large(server: &Server) -> Database {
    let source = server.new_database();
    for name in ["a", "b"] {
        let body = |n: i32| format!("{:?}", kronos_core::Digest::of(format!("{name}{n}").as_bytes())).repeat(20);
        source.insert(name, (0..1200).map(|n| rawdoc! { "_id": n, "body": body(n) }).collect()).await;
    }
    source
}

/// Of everything that moves in another way.
pub(crate) async fn new(server: &Server) -> Database {
    let source = server.new_database();
    for name in ["a", "b", "c"] {
        source.insert(name, (0..20).map(|n| rawdoc! { "_id": n, "new": name }).collect()).await;
    }
    source.run(doc! { "createIndexes": "a", "indexes": [{ "key": { "new": 1 }, "name": "new" }] }).await;
    source.run(doc! { "create": "v", "viewOn": "a", "pipeline": [] }).await;
    source.run(doc! { "create": "w", "viewOn": "v", "pipeline": [] }).await;
    source
}

/// What was there before.
pub(crate) async fn old(server: &Server) -> Database {
    let target = server.new_database();
    for name in ["a", "c", "gone"] {
        target.insert(name, vec![rawdoc! { "_id": 1, "old": name }]).await;
    }
    target.run(doc! { "create": "v", "viewOn": "gone", "pipeline": [] }).await;
    target
}

#[track_caller]
pub(crate) fn assert_nothing_beside(target: &Database, what: &str) -> impl Future<Output = ()> {
    let at = std::panic::Location::caller();
    async move {
        let left: Vec<String> =
            target.names().await.into_iter().filter(|name| name.starts_with("kronos-restore.")).collect();
        assert!(left.is_empty(), "{at}: {what}: {left:?}");
    }
}

fn through(proxy: &Proxy) -> impl Fn(&mut MongodbSettings) + use<> {
    let port = proxy.port;
    move |settings| settings.hosts = vec![format!("127.0.0.1:{port}")]
}

/// The second is refused, before it makes anything or when it sees the first; nothing is mixed.
async fn two_at_once(server: Server) {
    let (one, two) = (new(&server).await, large(&server).await);
    let (first, second) = (repository().await, repository().await);
    back_up(&first, &one.source()).await.unwrap();
    back_up(&second, &two.source()).await.unwrap();
    let options = RestoreOptions::new().with_replace();
    // While the first writes, and while it moves things, another one begins.
    for word in ["createIndexes", "renameCollection"] {
        let target = old(&server).await;
        let (proxy, moment) = Proxy::waiting(server.port(), &[word]);
        let to = target.with(through(&proxy));
        let also = target.source();
        let other = moment.meanwhile(bring_back(&second, &also, &options));
        let (done, refused) = tokio::join!(bring_back(&first, &to, &options), other);
        let refused = refused.unwrap_err();
        done.unwrap();
        assert_eq!(refused.kind(), ErrorKind::Locked, "{word}: {refused:?}");
        assert!(refused.context("hint").is_some() && refused.to_string().contains("another restore"), "{refused}");
        assert_same(&target.all().await, &one.all().await, word);
        assert_nothing_beside(&target, word).await;
    }
    // At the very same moment: at most one gets through.
    let target = server.new_database();
    let (to, also) = (target.source(), target.source());
    let (a, b) = tokio::join!(bring_back(&first, &to, &options), bring_back(&second, &also, &options));
    match (&a, &b) {
        (Ok(_), Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
            assert_same(&target.all().await, &one.all().await, "the first");
        }
        (Err(error), Ok(_)) => {
            assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
            assert_same(&target.all().await, &two.all().await, "the second");
        }
        (Err(a), Err(b)) => {
            assert_eq!((a.kind(), b.kind()), (ErrorKind::Locked, ErrorKind::Locked), "{a:?} {b:?}");
            assert!(target.names().await.is_empty());
        }
        (Ok(_), Ok(_)) => panic!("two restores were both done at once"),
    }
    assert_nothing_beside(&target, "both at once").await;
}

/// Another one settles what it left and makes its own; when it is heard again, it leaves that alone.
async fn taken_for_dead(server: Server) {
    let (source, other) = (new(&server).await, new(&server).await);
    other.insert("a", vec![rawdoc! { "_id": "other" }]).await;
    let (first, others) = (repository().await, repository().await);
    back_up(&first, &source.source()).await.unwrap();
    back_up(&others, &other.source()).await.unwrap();
    let options = RestoreOptions::new().with_replace();
    for words in [&["createIndexes"][..], &["swapping"], &["renameCollection", "silence"], &["viewOn", "silence"]] {
        let target = old(&server).await;
        let (proxy, moment) = Proxy::all_waiting(server.port(), words);
        let to = target.with(|settings| {
            through(&proxy)(settings);
            settings.silence = std::time::Duration::from_secs(1);
        });
        let second = moment.meanwhile(async {
            tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
            bring_back(&others, &target.source(), &options).await
        });
        let (slept, second) = tokio::join!(bring_back(&first, &to, &options), second);
        second.unwrap_or_else(|error| panic!("{words:?}: {error:?}"));
        let error = slept.expect_err("it went on");
        // `SecantusDB` makes an empty collection for an update of one that is not there.
        let found = target.all().await;
        let found: Vec<&str> = found.lines().filter(|line| !line.starts_with("kronos-restore.")).collect();
        assert_same(&found.join("\n"), &other.all().await, &format!("{words:?}: {error:?}"));
    }
}

/// A collection or a whole database that is dropped is an error or whole, never a part of it.
async fn gone_meanwhile(server: Server) {
    let ranges = |settings: &mut MongodbSettings| settings.range = 64 << 10;
    for what in ["collection", "view", "database"] {
        let source = large(&server).await;
        source.run(doc! { "create": "v", "viewOn": "a", "pipeline": [] }).await;
        let whole = source.documents("b").await;
        let repository = repository().await;
        let (proxy, moment) = Proxy::waiting(server.port(), &["find"]);
        let from = source.with(|settings| {
            through(&proxy)(settings);
            ranges(settings);
        });
        let dropping = moment.meanwhile(async {
            match what {
                "collection" => drop(source.run(doc! { "drop": "b" }).await),
                "view" => drop(source.run(doc! { "drop": "v" }).await),
                _ => drop(source.run(doc! { "dropDatabase": 1 }).await),
            }
        });
        let (done, ()) = tokio::join!(back_up(&repository, &from), dropping);
        match done {
            Ok(_) => {
                let target = server.new_database();
                bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap();
                let found = target.documents("b").await;
                assert!(found.is_empty() || found == whole, "{what}: {} documents", found.len());
            }
            Err(error) => assert!(
                [ErrorKind::NotFound, ErrorKind::QueryFailed, ErrorKind::Conflict].contains(&error.kind()),
                "{what}: {error:?}"
            ),
        }
    }
}
