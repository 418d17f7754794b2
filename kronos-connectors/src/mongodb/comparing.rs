//! What was written is read back, and compared with what the backup holds.

use futures::{StreamExt, TryStreamExt};
use kronos_core::{Error, ErrorKind, Result};
use mongodb::bson::{Bson, doc};

use super::building::{AT_A_TIME, Building, How, Made, lasting};
use super::catalog;
use super::connect::Server;
use super::content::Sum;
use super::names::qualified;
use super::plan::{Form, Order, Part};
use super::read_documents::{Sink, read};
use super::settings::Check;

/// So many documents are asked for at a time, of whatever size: the server stops at 16 MiB.
const BATCH: u32 = 1000;

impl Building {
    /// Reads back what was written, and compares it; gives the number of documents.
    pub(super) async fn compare(&self, server: &Server, check: Check) -> Result<u64> {
        // Whatever was written before this is what is read.
        self.held.beat(server).await?;
        let compare = |made: std::sync::Arc<Made>| async move {
            let found = self.read_back(server, &made, check).await?;
            let wanted = made.sum();
            // A capped one may have been read while it was turned over, and holds what it can.
            let is_full = made.entry.is_capped() && found.count < wanted.count;
            let is_same = match check {
                Check::Bytes => found == wanted,
                Check::Count => found.count == wanted.count,
            };
            if is_same || is_full {
                return Ok(found.count);
            }
            Err(Error::new(ErrorKind::Corrupt, "what was read back is not what the backup holds")
                .with("collection", qualified(&self.planned.to, &made.entry.name))
                .with("documents", format!("{} instead of {}", found.count, wanted.count)))
        };
        let made = self.made().into_iter().filter(|made| made.how != How::View);
        let counts: Vec<u64> =
            futures::stream::iter(made.map(compare)).buffer_unordered(AT_A_TIME).try_collect().await?;
        Ok(counts.iter().sum())
    }

    async fn read_back(&self, server: &Server, made: &Made, check: Check) -> Result<Sum> {
        match check {
            Check::Bytes => sum_of(server, &self.planned.to, &made.beside(&self.token), made.form).await,
            Check::Count => {
                let collection = made.lies_in(&self.token);
                let count = doc! { "$count": "n" };
                let ask = doc! { "aggregate": collection, "pipeline": [count], "cursor": {}, "readConcern": { "level": "majority" } };
                let found = server.list(&self.planned.to, "count documents", ask).await?;
                let count = catalog::number(found.first().and_then(|found| found.get("n")));
                Ok(Sum::of_count(count))
            }
        }
    }

    /// Which collections got other options than they had, as another version of the server may do.
    pub(super) async fn differing(&self, server: &Server) -> Result<Vec<String>> {
        let ask = doc! { "listCollections": 1, "cursor": {} };
        let listed = server.list(&self.planned.to, "look at options", ask).await?;
        let mut differing = Vec::new();
        for made in self.made().iter().filter(|made| made.how == How::Rename) {
            let name = made.beside(&self.token);
            let found = listed.iter().find(|one| one.get_str("name").is_ok_and(|listed| listed == name));
            let options = found.and_then(|one| one.get_document("options").ok()).cloned().unwrap_or_default();
            let wanted = lasting(&made.entry.options);
            if options != wanted {
                let name = qualified(&self.planned.to, &made.entry.name);
                differing.push(format!("{name}: the server gave it the options {options} instead of {wanted}"));
            }
        }
        Ok(differing)
    }
}

/// What is in a collection, whatever the order.
pub(super) async fn sum_of(server: &Server, database: &str, collection: &str, form: Form) -> Result<Sum> {
    let part = Part {
        database: database.to_owned(),
        collection: collection.to_owned(),
        form,
        order: Order::Natural,
        from: None,
        to: None,
    };
    let mut adding = Adding::default();
    read(server, &part, BATCH, &mut adding).await?;
    Ok(adding.sum)
}

#[derive(Debug, Default)]
struct Adding {
    sum: Sum,
    last: Option<Bson>,
}

impl Sink for Adding {
    fn take(&mut self, document: &[u8]) {
        self.sum.add(document);
    }

    async fn pause(&mut self) -> Result<()> {
        Ok(())
    }

    fn last(&mut self) -> &mut Option<Bson> {
        &mut self.last
    }
}
