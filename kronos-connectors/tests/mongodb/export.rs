//! Backups as plain files.

use kronos_connectors::mongodb::{MongodbSettings, MongodbSource};
use kronos_core::{ErrorKind, RestoreOptions};
use libtest_mimic::Trial;
use mongodb::bson::{DateTime, RawDocument, doc, rawdoc};

use crate::server::{Server, back_up, bring_back, on, repository};

pub(crate) fn trials() -> Vec<Trial> {
    vec![on("files_as_mongodump_lays_them", files)]
}

async fn files(server: Server) {
    let source = server.new_database();
    // Enough for several parts.
    source.insert("a/b c", (0..3000).map(|n| rawdoc! { "_id": n, "body": format!("{n:0>900}") }).collect()).await;
    let index = doc! { "key": { "z": 1, "a": -1 }, "name": "both" };
    source.run(doc! { "createIndexes": "a/b c", "indexes": [index] }).await;
    source.run(doc! { "create": "empty" }).await;
    source.run(doc! { "create": "v", "viewOn": "empty", "pipeline": [] }).await;
    source.run(doc! { "create": "series", "timeseries": { "timeField": "t" } }).await;
    source.insert("series", vec![rawdoc! { "t": DateTime::from_millis(5), "v": 1 }]).await;
    let repository = repository().await;
    let backup = back_up(&repository, &source.with(|settings| settings.range = 1 << 20)).await.unwrap();
    assert!(backup.streams >= 5, "{backup:?}");
    let place = tempfile::tempdir().unwrap();
    let mut settings = MongodbSettings::new("");
    settings.export = Some(place.path().join("out"));
    let target = MongodbSource::new(settings).unwrap();
    let report = bring_back(&repository, &target, &RestoreOptions::new()).await.unwrap();
    let folder = place.path().join("out").join(&source.name);
    assert!(report.outcome.created.contains(&folder.display().to_string()), "{report:?}");
    let bytes = std::fs::read(folder.join("a%2Fb%20c.bson")).unwrap();
    let (mut rest, mut documents) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let length = usize::try_from(i32::from_le_bytes(rest[..4].try_into().unwrap())).unwrap();
        documents.push(RawDocument::from_bytes(&rest[..length]).unwrap().as_bytes().to_vec());
        rest = &rest[length..];
    }
    documents.sort();
    assert_eq!(documents, source.documents("a/b c").await);
    let metadata = std::fs::read_to_string(folder.join("a%2Fb%20c.metadata.json")).unwrap();
    let key = r#""key":{"z":{"$numberInt":"1"},"a":{"$numberInt":"-1"}}"#;
    assert!(metadata.contains(key) && metadata.contains(r#""type":"collection""#), "{metadata}");
    assert_eq!(std::fs::read(folder.join("empty.bson")).unwrap(), b"");
    assert!(std::fs::read_to_string(folder.join("v.metadata.json")).unwrap().contains("viewOn"));
    assert!(std::fs::read_to_string(folder.join("series.metadata.json")).unwrap().contains("timeseries"));
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains(".0")), "{names:?}");
    let again = bring_back(&repository, &target, &RestoreOptions::new()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
}
