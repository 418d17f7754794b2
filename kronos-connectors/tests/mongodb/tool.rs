//! Backups by `mongodump`: by the real one where it is on PATH, and by a stand-in that writes down how
//! it was called and hands out an archive as the format's description has it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crc::{CRC_64_XZ, Crc};
use futures::TryStreamExt;
use kronos_connectors::mongodb::{Changes, Method, MongodbSettings, MongodbSource};
use kronos_core::{ErrorKind, RestoreOptions};
use libtest_mimic::Trial;
use mongodb::bson::{Bson, Document, RawDocumentBuf, Timestamp, doc, rawdoc};

use crate::server::{Database, Server, assert_same, back_up, block_on, bring_back, on, repository};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        on("an_archive_comes_back", |server| async move { round_trip(&server, None).await }),
        on("only_parts_of_an_archive", parts),
        on("an_archive_with_changes", with_changes),
        on("names_and_the_password_are_no_arguments_of_a_shell", names),
        on("a_program_that_fails_makes_no_backup", failures),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let real = std::env::split_paths(&path).find(|directory| directory.join("mongodump").is_file());
    trials.push(match real {
        Some(directory) => on_real("the_real_mongodump", directory),
        None => Trial::test("the_real_mongodump (mongodump is not on PATH)", || Ok(())).with_ignored_flag(true),
    });
    trials
}

fn on_real(name: &'static str, directory: PathBuf) -> Trial {
    match Server::named() {
        Ok(_) => Trial::test(name, move || {
            block_on(async { round_trip(&Server::open().await, Some(directory)).await });
            Ok(())
        }),
        Err(reason) => Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true),
    }
}

/// A program that stands in the place of `mongodump`.
struct StandIn {
    place: tempfile::TempDir,
}

impl StandIn {
    /// It writes this archive and ends with this status.
    fn new(archive: &[u8], status: u8) -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("archive"), archive).unwrap();
        let shown = place.path().display();
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'mongodump version: 100.10.0'; exit; fi\n\
             for argument; do printf '%s\\n' \"$argument\"; done > {shown}/arguments\n\
             cat \"${{1#--config=}}\" > {shown}/config\nenv > {shown}/environment\n\
             cat {shown}/archive\nprintf '2026-11-28T00:00:00.000+0000\\tFailed: no such luck, %s\\n' \"$(cat {shown}/config)\" >&2\nexit {status}\n"
        );
        let program = place.path().join("mongodump");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { place }
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn said(&self, file: &str) -> String {
        std::fs::read_to_string(self.path().join(file)).unwrap()
    }
}

fn by_tool(database: &Database, directory: &Path) -> MongodbSource {
    let change = |settings: &mut MongodbSettings| {
        settings.method = Method::Tool;
        settings.tools = vec![directory.to_owned()];
    };
    database.with(change)
}

fn bytes(document: &Document) -> Vec<u8> {
    RawDocumentBuf::try_from(document).unwrap().into_bytes()
}

/// Canonical extended JSON, of what options and indexes are made of here.
fn json(value: &Bson) -> String {
    match value {
        Bson::Document(document) => {
            let fields: Vec<String> = document.iter().map(|(key, value)| format!("{key:?}:{}", json(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Bson::Array(values) => format!("[{}]", values.iter().map(json).collect::<Vec<_>>().join(",")),
        Bson::String(text) => format!("{text:?}"),
        Bson::Boolean(value) => value.to_string(),
        Bson::Int32(n) => format!("{{\"$numberInt\":\"{n}\"}}"),
        Bson::Int64(n) => format!("{{\"$numberLong\":\"{n}\"}}"),
        Bson::Double(n) => format!("{{\"$numberDouble\":\"{n:?}\"}}"),
        other => panic!("{other:?}"),
    }
}

/// What `mongodump --archive --db` writes of a database, by the description of its format.
async fn archive(database: &Database) -> Vec<u8> {
    archive_with(database, &[]).await
}

/// The same with what was written meanwhile, as `--oplog` adds it.
async fn archive_with(database: &Database, changes: &[Document]) -> Vec<u8> {
    let on_server = database.server.client.database(&database.name);
    let listed = on_server.run_cursor_command(doc! { "listCollections": 1 }).await.unwrap();
    let mut listed: Vec<Document> = listed.try_collect().await.unwrap();
    listed.sort_by_key(|one| one.get_str("name").unwrap().to_owned());
    let mut all = 0x8199_e26d_u32.to_le_bytes().to_vec();
    all.extend(bytes(
        &doc! { "concurrent_collections": 1, "version": "0.1", "server_version": "8.2.0", "tool_version": "100.10.0" },
    ));
    let mut rest = Vec::new();
    for one in listed {
        let (name, options) = (one.get_str("name").unwrap(), one.get_document("options").unwrap());
        if name.starts_with("system.") {
            continue;
        }
        let is_view = options.contains_key("viewOn");
        let mut indexes: Vec<Document> = Vec::new();
        if !is_view {
            let found = on_server.run_cursor_command(doc! { "listIndexes": name }).await.unwrap();
            indexes = found.try_collect().await.unwrap();
        }
        let metadata = doc! { "options": options, "indexes": indexes, "uuid": "0", "collectionName": name };
        let metadata = json(&Bson::Document(metadata));
        let kind = one.get_str("type").unwrap();
        all.extend(bytes(
            &doc! { "db": &database.name, "collection": name, "metadata": metadata, "size": 0, "type": kind },
        ));
        let sums = Crc::<u64>::new(&CRC_64_XZ);
        let mut sum = sums.digest();
        if !is_view {
            rest.extend(bytes(&doc! { "db": &database.name, "collection": name, "EOF": false, "CRC": 0_i64 }));
            for document in database.documents(name).await {
                sum.update(&document);
                rest.extend(document);
            }
            rest.extend([0xff; 4]);
        }
        let sum = sum.finalize().cast_signed();
        rest.extend(bytes(&doc! { "db": &database.name, "collection": name, "EOF": true, "CRC": sum }));
        rest.extend([0xff; 4]);
    }
    if !changes.is_empty() {
        let oplog = doc! { "db": "", "collection": "oplog" };
        let with = |more: Document| oplog.clone().into_iter().chain(more).collect::<Document>();
        all.extend(bytes(&with(doc! { "metadata": "", "size": 0, "type": "" })));
        rest.extend(bytes(&with(doc! { "EOF": false, "CRC": 0_i64 })));
        let sums = Crc::<u64>::new(&CRC_64_XZ);
        let mut sum = sums.digest();
        for change in changes {
            sum.update(&bytes(change));
            rest.extend(bytes(change));
        }
        rest.extend([0xff; 4]);
        rest.extend(bytes(&with(doc! { "EOF": true, "CRC": sum.finalize().cast_signed() })));
        rest.extend([0xff; 4]);
    }
    all.extend([0xff; 4]);
    all.extend(rest);
    all
}

/// Of a whole replica set: what its oplog tells is applied. The entries are in MongoDB's form.
async fn with_changes(server: Server) {
    let source = sample(&server).await;
    let entry = |n: u32, op: &str, collection: &str, more: Document| {
        let mut entry = doc! { "ts": Timestamp { time: 9, increment: n }, "t": 1_i64, "v": 2_i64, "op": op };
        entry.insert("ns", format!("{}.{collection}", source.name));
        entry.extend(more);
        entry
    };
    let index = doc! { "createIndexes": "late", "v": 2, "key": { "x": 1 }, "name": "by x" };
    let mut changes = vec![
        entry(1, "i", "t", doc! { "o": { "_id": 1000, "body": "new" } }),
        entry(2, "u", "t", doc! { "o2": { "_id": 5 }, "o": { "$v": 2, "diff": { "u": { "body": "changed" } } } }),
        entry(3, "d", "t", doc! { "o": { "_id": 6 } }),
        entry(4, "c", "$cmd", doc! { "o": { "create": "late", "idIndex": { "v": 2 } } }),
        entry(5, "c", "$cmd", doc! { "o": index }),
        entry(6, "i", "late", doc! { "o": { "_id": 1, "x": 2 } }),
        entry(7, "c", "$cmd", doc! { "o": { "drop": "u" } }),
    ];
    let stand_in = StandIn::new(&archive_with(&source, &changes).await, 0);
    let mut settings = server.settings([]);
    (settings.method, settings.changes) = (Method::Tool, Changes::Oplog);
    settings.tools = vec![stand_in.path().to_owned()];
    let repository = repository().await;
    let backup = back_up(&repository, &MongodbSource::new(settings.clone()).unwrap()).await.unwrap();
    assert!(stand_in.said("arguments").lines().any(|line| line == "--oplog"));
    assert_eq!(backup.position.as_deref(), Some("9:7"));
    // What no restore could apply makes the backup fail, unless it is about another database.
    for (ns, is_refused) in [("other.$cmd".to_owned(), false), (format!("{}.$cmd", source.name), true)] {
        changes.push(entry(8, "c", "$cmd", doc! { "ns": ns, "o": { "conjure": "t" } }));
        let stand_in = StandIn::new(&archive_with(&source, &changes).await, 0);
        settings.tools = vec![stand_in.path().to_owned()];
        let done = back_up(&repository, &MongodbSource::new(settings.clone()).unwrap()).await;
        assert_eq!(done.err().map(|error| error.kind()), is_refused.then_some(ErrorKind::Unsupported));
        changes.pop();
    }
    let target = server.new_database();
    let mut options = RestoreOptions::new();
    options.only = vec![source.name.clone()];
    bring_back(&repository, &target.source(), &options).await.unwrap();
    // The same by hand.
    source.insert("t", vec![rawdoc! { "_id": 1000, "body": "new" }]).await;
    let update = doc! { "q": { "_id": 5 }, "u": { "$set": { "body": "changed" } } };
    source.run(doc! { "update": "t", "updates": [update] }).await;
    source.run(doc! { "delete": "t", "deletes": [{ "q": { "_id": 6 }, "limit": 1 }] }).await;
    source.insert("late", vec![rawdoc! { "_id": 1, "x": 2 }]).await;
    source.run(doc! { "createIndexes": "late", "indexes": [{ "key": { "x": 1 }, "name": "by x" }] }).await;
    source.run(doc! { "drop": "u" }).await;
    assert_same(&target.all().await, &source.all().await, "an archive with changes");
}

async fn sample(server: &Server) -> Database {
    let database = server.new_database();
    let documents = (0..500).map(|n| rawdoc! { "_id": n, "body": format!("{n:0>200}") }).collect();
    database.insert("t", documents).await;
    database.insert("u", vec![rawdoc! { "_id": "x", "a.b": 1, "$c": [1, { "b": 2 }] }]).await;
    let index = doc! { "key": { "z": 1, "body": -1 }, "name": "both", "unique": true };
    database.run(doc! { "createIndexes": "t", "indexes": [index] }).await;
    database.run(doc! { "create": "v", "viewOn": "t", "pipeline": [{ "$match": { "_id": 5 } }] }).await;
    database
}

async fn round_trip(server: &Server, real: Option<PathBuf>) {
    let source = sample(server).await;
    let stand_in = StandIn::new(&archive(&source).await, 0);
    let directory = real.unwrap_or_else(|| stand_in.path().to_owned());
    let repository = repository().await;
    let backup = back_up(&repository, &by_tool(&source, &directory)).await.unwrap();
    assert_eq!(backup.rows, Some(501));
    let target = server.new_database();
    target.insert_new("t").await;
    let refused = bring_back(&repository, &target.source(), &RestoreOptions::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    let mut options = RestoreOptions::new();
    options.replace = true;
    let report = bring_back(&repository, &target.source(), &options).await.unwrap();
    assert!(report.outcome.checks.iter().any(|check| check.contains("501 documents")), "{report:?}");
    assert_same(&target.all().await, &source.all().await, "an archive");
}

async fn parts(server: Server) {
    let source = sample(&server).await;
    let stand_in = StandIn::new(&archive(&source).await, 0);
    let repository = repository().await;
    back_up(&repository, &by_tool(&source, stand_in.path())).await.unwrap();
    let target = server.new_database();
    let mut options = RestoreOptions::new();
    options.only = vec![format!("{}.u", source.name)];
    bring_back(&repository, &target.source(), &options).await.unwrap();
    assert_eq!(target.names().await, ["u"]);
    assert_eq!(target.documents("u").await, source.documents("u").await);
}

async fn names(server: Server) {
    for name in ["-x", "$(x)", "a;b", "--out=evil"] {
        // What no server takes has been refused before.
        let database = server.database_named(&name.replace(['$', '.'], "_"));
        database.insert("t", vec![rawdoc! { "_id": 1 }]).await;
        let stand_in = StandIn::new(&archive(&database).await, 0);
        let source = database.with(|settings| {
            settings.method = Method::Tool;
            settings.tools = vec![stand_in.path().to_owned()];
        });
        back_up(&repository().await, &source).await.unwrap();
        let arguments = stand_in.said("arguments");
        let expected = format!("--db={}", database.name);
        assert_eq!(
            arguments.lines().skip(1).collect::<Vec<_>>(),
            ["--archive", "--numParallelCollections=1", &expected]
        );
        assert!(stand_in.said("config").starts_with("uri: \"mongodb://"));
        let environment = stand_in.said("environment");
        let mut own = environment.lines().filter(|line| !line.starts_with("KRONOS_TEST_"));
        assert!(own.all(|line| !line.contains("mongodb://")), "{environment}");
    }
}

async fn failures(server: Server) {
    let source = sample(&server).await;
    let whole = archive(&source).await;
    let attempt = async |archive: &[u8], status| {
        let stand_in = StandIn::new(archive, status);
        let source = source.with(|settings| {
            settings.method = Method::Tool;
            settings.tools = vec![stand_in.path().to_owned()];
        });
        back_up(&repository().await, &source).await
    };
    attempt(&whole, 0).await.unwrap();
    let cut = attempt(&whole[..whole.len() - 20], 0).await.unwrap_err();
    assert_eq!((cut.kind(), cut.context("program")), (ErrorKind::ToolFailed, Some("mongodump")), "{cut}");
    let failed = attempt(&whole, 1).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::ToolFailed, "{failed}");
    assert!(failed.context("said").unwrap().contains("no such luck"), "{failed}");
    let missing = source.with(|settings| {
        settings.method = Method::Tool;
        settings.tools = vec!["/nowhere".into()];
    });
    if std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).all(|p| !p.join("mongodump").exists()) {
        let missing = back_up(&repository().await, &missing).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::ToolMissing);
        assert!(missing.context("hint").unwrap().contains("mongodb-database-tools"));
    }
}
