//! Capped collections: their documents have an order, which a restore must keep.
//!
//! The copy is a window of that order without gaps. Of the documents that the log says were
//! inserted, those up to the last one that the copy has were in it, or had been pushed out before it
//! was made; only those after it are new. So they wait, and are forgotten when a later one turns out
//! to be in the copy.

use kronos_core::Result;

use super::events;
use super::id::key;
use super::operation::{Name, Write};
use super::raw::OwnedValue;
use super::target::Target;

#[derive(Debug)]
struct Waiting {
    key: Vec<u8>,
    document: Vec<u8>,
}

/// What is known of a capped collection.
#[derive(Debug, Default)]
pub(super) struct Capped {
    /// Nothing of the copy is in doubt: what comes is new.
    is_settled: bool,
    waiting: Vec<Waiting>,
    bytes: u64,
}

impl Capped {
    /// One that the log itself has made.
    pub(super) fn made() -> Self {
        Self { is_settled: true, ..Self::default() }
    }

    /// Takes what happens to it, in order. Gives how many documents were deleted.
    pub(super) async fn take(
        &mut self,
        target: &Target,
        name: &Name,
        size: u64,
        writes: Vec<(OwnedValue, Write)>,
    ) -> Result<u64> {
        let mut deleted = 0;
        for (id, write) in writes {
            let key = key(id.get())?;
            if let Write::Insert(document) = write {
                if !self.is_settled && self.exists(target, name, &id).await? {
                    (self.waiting, self.bytes) = (Vec::new(), 0);
                } else {
                    self.wait(key, document, size);
                }
                continue;
            }
            if let Some(at) = self.waiting.iter().position(|waiting| waiting.key == key) {
                let waiting = self.waiting.remove(at);
                if let Some(document) = write.apply(Some(&waiting.document))? {
                    self.waiting.insert(at, Waiting { key, document });
                }
            } else if write == Write::Delete {
                deleted += target.delete(name, &[id.get()]).await?;
            } else {
                let mut cursor = target.find(name, &[id.get()], false).await?;
                let found = target.next(&mut cursor).await?.unwrap_or_default().pop();
                // One that is not there has been pushed out since.
                if let Some(before) = found
                    && let Some(now) = write.apply(Some(&before))?
                    && now != before
                {
                    target.replace(name, id.get(), &now).await?;
                }
            }
        }
        Ok(deleted)
    }

    fn wait(&mut self, key: Vec<u8>, document: Vec<u8>, size: u64) {
        self.bytes += document.len() as u64;
        self.waiting.push(Waiting { key, document });
        // More than the collection holds pushes the first ones out.
        let mut out = 0;
        while self.bytes > size.saturating_mul(2) && out + 1 < self.waiting.len() {
            self.bytes -= self.waiting[out].document.len() as u64;
            out += 1;
        }
        self.waiting.drain(..out);
    }

    async fn exists(&self, target: &Target, name: &Name, id: &OwnedValue) -> Result<bool> {
        let mut cursor = target.find(name, &[id.get()], true).await?;
        let found = target.next(&mut cursor).await?.unwrap_or_default();
        found.first().map(|found| events::id(found)).transpose().map(|found| found.is_some())
    }

    /// Writes what waits; gives how many documents.
    pub(super) async fn settle(&mut self, target: &Target, name: &Name) -> Result<u64> {
        self.is_settled = true;
        self.bytes = 0;
        let waiting: Vec<Vec<u8>> = self.waiting.drain(..).map(|waiting| waiting.document).collect();
        target.insert(name, &waiting, true).await?;
        Ok(waiting.len() as u64)
    }
}
