//! Commands that may take as long as they like, such as one that makes an index.
//!
//! Nothing passes over a connection that waits for one, so that a connection that died without a word
//! looks like a command that takes long. The server is asked something else meanwhile, over another
//! connection. And a command that may be given twice is given again: a server that is still at it
//! answers both when it is done, one that has done it answers at once. Of the two answers the first one
//! counts.

use futures::FutureExt as _;
use futures::future::{BoxFuture, Either, Fuse, FusedFuture as _, select};
use kronos_core::{Error, Result};
use mongodb::bson::{Document, doc};

use super::connect::{Server, is_written};
use super::error::{failed, is_lost};

/// What becomes of a command that is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twice {
    /// The same as of one that is given once, whenever either of them is carried out.
    Same,
    /// Who knows.
    Never,
}

impl Server {
    pub(super) async fn long_command(
        &self,
        database: &str,
        what: &'static str,
        ask: Document,
        twice: Twice,
    ) -> Result<Document> {
        let run = || -> BoxFuture<'static, Result<Document>> {
            let (database, ask) = (self.database(database), ask.clone());
            Box::pin(async move {
                let done = database.run_command(ask).await.map_err(|e| failed(&e, what))?;
                is_written(&done, what).map(|()| done)
            })
        };
        let mut first = run().fuse();
        let mut again: Fuse<BoxFuture<'static, Result<Document>>> = Fuse::terminated();
        loop {
            let answer = tokio::time::timeout(self.wait, select(&mut first, &mut again)).await;
            let answer = answer.map(|answer| match answer {
                Either::Left((done, _)) => (done, true),
                Either::Right((done, _)) => (done, false),
            });
            match answer {
                Ok((Err(error), true)) if twice == Twice::Same && is_lost(&error) => {
                    if again.is_terminated() {
                        again = run().fuse();
                    }
                }
                // The first one is still under way.
                Ok((Err(error), false)) if !first.is_terminated() && (is_lost(&error) || is_at_it(&error)) => {}
                Ok((done, _)) => return done,
                Err(_) => {
                    self.command("admin", what, doc! { "ping": 1 }).await?;
                    if twice == Twice::Same && again.is_terminated() && !first.is_terminated() {
                        again = run().fuse();
                    }
                }
            }
        }
    }
}

/// MongoDB waits for what is under way already. Others may say so instead.
fn is_at_it(error: &Error) -> bool {
    error.context("name") == Some("IndexBuildAlreadyInProgress")
}
