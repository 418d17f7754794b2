//! What cannot be renamed into its place is copied there.

use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Bson, doc};

use super::super::building::{drop_collection, indexes, lasting};
use super::super::comparing::sum_of;
use super::super::connect::Server;
use super::super::insert::Inserter;
use super::super::long_command::Twice;
use super::super::plan::{Order, Part};
use super::super::read_documents::{Sink, read};
use super::Swap;
use super::steps::Step;

/// So many documents are copied at a time.
const BATCH: u32 = 1000;

impl Swap {
    /// Copies what cannot be renamed, from the beginning, and compares it.
    pub(super) async fn copy(&self, server: &Server, beside: &str, step: &Step) -> Result<()> {
        let (database, name) = (&self.database, &step.entry.name);
        if step.entry.is_time_series() {
            drop_collection(server, database, name).await?;
            let mut ask = doc! { "create": name };
            ask.extend(lasting(&step.entry.options));
            ask.insert("writeConcern", doc! { "w": "majority" });
            server.command(database, "make a time series", ask).await?;
        } else {
            let all = vec![doc! { "q": {}, "limit": 0 }];
            let ask = doc! { "delete": name, "deletes": all, "writeConcern": { "w": "majority" } };
            // The second one might delete what is written after the first.
            server.long_command(database, "empty a collection", ask, Twice::Never).await?;
        }
        let to = step.form.place(name);
        let part = Part {
            database: database.clone(),
            collection: beside.to_owned(),
            form: step.form,
            order: Order::Natural,
            from: None,
            to: None,
        };
        let mut copying = Copying { to: Inserter::new(server, database, &to), waiting: Vec::new(), last: None };
        read(server, &part, BATCH, &mut copying).await?;
        copying.to.finish().await?;
        indexes(server, database, name, &step.entry).await?;
        self.held.beat(server).await?;
        let wanted = sum_of(server, database, beside, step.form).await?;
        let found = sum_of(server, database, name, step.form).await?;
        if found != wanted {
            return Err(Error::new(ErrorKind::Corrupt, "what was copied into its place is not what was copied")
                .with("documents", format!("{} instead of {}", found.count, wanted.count)));
        }
        self.expire(server, &step.entry).await
    }
}

/// From one collection into another.
struct Copying<'a> {
    to: Inserter<'a>,
    waiting: Vec<Vec<u8>>,
    last: Option<Bson>,
}

impl Sink for Copying<'_> {
    fn take(&mut self, document: &[u8]) {
        self.waiting.push(document.to_vec());
    }

    async fn pause(&mut self) -> Result<()> {
        for document in std::mem::take(&mut self.waiting) {
            self.to.push(&document).await?;
        }
        Ok(())
    }

    fn last(&mut self) -> &mut Option<Bson> {
        &mut self.last
    }
}
