//! Views, which are made once the collections are there.

use kronos_core::Result;
use mongodb::bson::doc;

use super::super::catalog::Entry;
use super::super::connect::Server;
use super::super::error::corrupt;
use super::super::names::qualified;
use super::Swap;

impl Swap {
    /// Makes views; those of which others are made come first.
    pub(super) async fn make_views(&self, server: &Server, mut waiting: Vec<&Entry>) -> Result<()> {
        while !waiting.is_empty() {
            let names: Vec<String> = waiting.iter().map(|view| view.name.clone()).collect();
            let is_ready =
                |view: &&Entry| !view.options.get_str("viewOn").is_ok_and(|on| names.iter().any(|n| n == on));
            let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
            if ready.is_empty() {
                return Err(corrupt("views of the backup are made of each other"));
            }
            for view in ready {
                self.make_view(server, view).await?;
            }
            waiting = later;
        }
        Ok(())
    }

    async fn make_view(&self, server: &Server, view: &Entry) -> Result<()> {
        let mut ask = doc! { "create": &view.name };
        ask.extend(view.options.clone());
        ask.insert("writeConcern", doc! { "w": "majority" });
        let made = server.command(&self.database, "make a view", ask).await;
        made.map(drop).map_err(|e| e.with("view", qualified(&self.database, &view.name)))
    }
}
