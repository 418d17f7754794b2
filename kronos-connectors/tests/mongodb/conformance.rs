//! The suite that every connector passes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::testing::{ConnectorFixture, Subject, connector_conformance};
use libtest_mimic::Trial;
use mongodb::bson::{doc, rawdoc};

use crate::server::{Database, Server, on};

#[derive(Debug)]
struct Databases {
    server: Server,
    made: Mutex<Vec<Database>>,
}

impl Databases {
    fn keep(&self, database: Database) -> Subject {
        let subject = Subject { connector: Arc::new(database.source()), place: database.name.clone() };
        self.made.lock().unwrap().push(database);
        subject
    }
}

#[async_trait]
impl ConnectorFixture for Databases {
    async fn source(&self) -> Subject {
        let database = self.server.new_database();
        let documents = (0..2000).map(|n| rawdoc! { "_id": n, "body": format!("{n:0>100}") }).collect();
        database.insert("t", documents).await;
        database.insert("u", vec![rawdoc! { "_id": "x", "a": [1, { "b": 2 }] }]).await;
        let index = doc! { "key": { "body": 1 }, "name": "by body", "unique": true };
        database.run(doc! { "createIndexes": "t", "indexes": [index] }).await;
        database.run(doc! { "create": "v", "viewOn": "t", "pipeline": [{ "$match": { "_id": 5 } }] }).await;
        self.keep(database)
    }

    async fn mutate(&self, source: &Subject) {
        self.server.database_like(&source.place).insert_new("t").await;
    }

    async fn empty_target(&self) -> Subject {
        self.keep(self.server.new_database())
    }

    async fn contents(&self, subject: &Subject) -> String {
        let database = self.server.database_like(&subject.place);
        // A restore that was dropped removes what it made in the background.
        for _ in 0..600 {
            if !database.names().await.iter().any(|name| name.starts_with("kronos-restore.")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        database.all().await
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![on("conformance", |server| async move {
        connector_conformance(&Databases { server, made: Mutex::default() }).await;
    })]
}
