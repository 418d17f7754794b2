//! Users who may do less than everything. The server of the tests knows no roles: what it would refuse
//! is refused before it.

use kronos_connectors::mongodb::{Changes, MongodbSource};
use kronos_core::{Connector, ErrorKind};
use libtest_mimic::Trial;
use mongodb::bson::{Bson, Document, doc, rawdoc};

use crate::server::{Database, Server, back_up, on, repository};
use crate::sessions::writing;
use crate::wire::Wire;

pub(crate) fn trials() -> Vec<Trial> {
    vec![on("rights::the_role_backup_is_enough", backup_alone), on("rights::who_may_not_follow_is_told_so", no_changes)]
}

fn is_stream(command: &Document) -> bool {
    let stages = command.get_array("pipeline").map(Vec::as_slice).unwrap_or_default();
    stages.first().and_then(Bson::as_document).is_some_and(|stage| stage.contains_key("$changeStream"))
}

/// What the role `backup` has no right to.
fn not_for_backup(command: &Document) -> bool {
    is_stream(command) || ["dbStats", "replSetGetConfig"].iter().any(|name| command.contains_key(name))
}

/// Neither kind of changes, nor the time at which something is open.
fn no_feed(command: &Document) -> bool {
    let of = |name: &str| command.get_str("find").is_ok_and(|collection| collection == name);
    is_stream(command) || of("transactions")
}

fn through(source: &Database, wire: &Wire, changes: Changes) -> MongodbSource {
    source.with(|settings| (settings.hosts, settings.changes) = (vec![format!("127.0.0.1:{}", wire.port)], changes))
}

async fn source(server: &Server) -> Database {
    let source = server.new_database();
    source.insert("a", (0..100).map(|n| rawdoc! { "_id": n }).collect()).await;
    source.run(doc! { "create": "tick" }).await;
    source
}

/// It may open no change streams, and reads the oplog instead.
async fn backup_alone(server: Server) {
    let source = source(&server).await;
    let wire = Wire::refusing(server.port(), not_for_backup);
    let from = through(&source, &wire, Changes::Auto);
    let found = from.preflight().await.unwrap();
    assert!(found.missing.is_empty(), "{found:?}");
    assert!(found.notes.iter().any(|note| note.contains("by the oplog")), "{found:?}");
    assert!(from.estimate_size().await.is_ok());
    from.fingerprint().await.unwrap();
    let writing = writing(&source);
    let made = back_up(&repository().await, &from).await;
    writing.abort();
    assert!(made.unwrap().position.is_some());
}

async fn no_changes(server: Server) {
    let source = source(&server).await;
    let wire = Wire::refusing(server.port(), no_feed);
    for changes in [Changes::Auto, Changes::ChangeStream, Changes::Oplog] {
        let from = through(&source, &wire, changes);
        let found = from.preflight().await.unwrap();
        assert!(found.missing.iter().any(|line| line.contains("readAnyDatabase")), "{changes:?}: {found:?}");
        let error = back_up(&repository().await, &from).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{changes:?}: {error:?}");
        assert!(error.context("hint").unwrap().contains("changes"), "{changes:?}: {error:?}");
    }
    // Whoever wants none needs no right to them.
    let from = through(&source, &wire, Changes::None);
    assert!(from.preflight().await.unwrap().missing.is_empty());
    back_up(&repository().await, &from).await.unwrap();
}
