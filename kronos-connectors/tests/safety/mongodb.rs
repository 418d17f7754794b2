//! The cases of MongoDB, on a real server.

use std::fmt::Write as _;

use futures::TryStreamExt as _;
use kronos_core::Engine;
use libtest_mimic::Trial;
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};
use tokio::runtime::Runtime;

use crate::run::{Bench, on};

pub(crate) fn trials() -> Vec<Trial> {
    on("mongodb", true, Engine::MONGODB, |_| Mongodb::new().map(|bench| Box::new(bench) as Box<dyn Bench>))
}

struct Mongodb {
    runtime: Runtime,
    database: Database,
}

impl Mongodb {
    fn new() -> Result<Self, String> {
        let url = std::env::var("KRONOS_TEST_MONGODB_URL")
            .map_err(|_| "KRONOS_TEST_MONGODB_URL is not set: scripts/servers".to_owned())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async { Client::with_uri_str(&url).await.unwrap() });
        Ok(Self { runtime, database: client.database("kronos_safety") })
    }
}

impl Bench for Mongodb {
    fn renew(&mut self) {
        let database = &self.database;
        self.runtime.block_on(async {
            database.drop().await.unwrap();
            let t = database.collection::<Document>("t");
            t.insert_many([doc! { "_id": 1, "name": "a", "n": 10 }, doc! { "_id": 2, "name": "b", "n": 20 }])
                .await
                .unwrap();
            database.collection::<Document>("u").insert_one(doc! { "_id": 1, "t": 1 }).await.unwrap();
            let index = doc! { "createIndexes": "t", "indexes": [{ "key": { "n": 1 }, "name": "n_1" }] };
            database.run_command(index).await.unwrap();
        });
    }

    fn run(&mut self, text: &str) -> Result<(), String> {
        let command: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let database = &self.database;
        let ran = self.runtime.block_on(async { database.run_command(command).await });
        ran.map(drop).map_err(|error| error.to_string())
    }

    fn state(&mut self) -> String {
        let database = &self.database;
        self.runtime.block_on(async {
            let all = database.list_collections().await.unwrap();
            let mut all: Vec<_> = all.try_collect().await.unwrap();
            all.sort_by(|one, other| one.name.cmp(&other.name));
            let mut state = format!("{all:?}\n");
            for collection in all {
                let collection = database.collection::<Document>(&collection.name);
                let documents: Vec<Document> =
                    collection.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap();
                writeln!(state, "{documents:?}").unwrap();
                let names = collection.list_index_names().await.unwrap_or_default();
                writeln!(state, "{names:?}").unwrap();
            }
            state + &format!("{:?}", database.client().list_database_names().await.unwrap())
        })
    }
}
