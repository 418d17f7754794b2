//! The way of rows from the task that reads them to whoever asked for them: a bounded number ahead.

use futures::Stream;
use futures::future::BoxFuture;
use kronos_core::Result;
use kronos_core::inspect::{ResultColumn, Value};
use tokio::sync::mpsc;

use super::running::Wait;

/// Rows that wait for a slow reader.
const AHEAD: usize = 64;

#[derive(Debug)]
pub(super) enum Item {
    Columns(Vec<ResultColumn>),
    Row(Vec<Value>),
}

/// Where a statement's rows go.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    sender: mpsc::Sender<Item>,
    /// A statement that writes runs to its end, whoever listens.
    whole: bool,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Received(mpsc::Receiver<Item>);

impl Rows {
    pub(super) fn channel(whole: bool) -> (Self, Received) {
        let (sender, receiver) = mpsc::channel(AHEAD);
        (Self { sender, whole }, Received(receiver))
    }

    /// Tells the columns, before the first row.
    pub(crate) async fn columns(&mut self, columns: Vec<ResultColumn>) {
        // Whether someone listens is asked with each row.
        let _ = self.sender.send(Item::Columns(columns)).await;
    }

    /// Hands on a row; `false` when no more are wanted.
    pub(crate) async fn row(&mut self, row: Vec<Value>) -> bool {
        self.sender.send(Item::Row(row)).await.is_ok() || self.whole
    }

    /// The same from a thread that may block.
    pub(crate) fn columns_blocking(&mut self, columns: Vec<ResultColumn>) {
        let _ = self.sender.blocking_send(Item::Columns(columns));
    }

    /// The same from a thread that may block.
    pub(crate) fn row_blocking(&mut self, row: Vec<Value>) -> bool {
        self.sender.blocking_send(Item::Row(row)).is_ok() || self.whole
    }
}

/// Columns and the rows of one page.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub columns: Vec<ResultColumn>,
    pub rows: Vec<Vec<Value>>,
}

impl Received {
    /// The columns, or nothing when the statement has ended without any.
    pub(super) async fn columns(&mut self) -> Option<Vec<ResultColumn>> {
        match self.0.recv().await? {
            Item::Columns(columns) => Some(columns),
            Item::Row(_) => None,
        }
    }

    /// Passes over `skip` rows and takes at most `take`; then no more are wanted.
    pub(super) async fn take(mut self, skip: u64, take: u64) -> Taken {
        let mut taken = Taken { columns: self.columns().await.unwrap_or_default(), rows: Vec::new() };
        let mut skipped = 0;
        while (taken.rows.len() as u64) < take {
            match self.0.recv().await {
                Some(Item::Row(_)) if skipped < skip => skipped += 1,
                Some(Item::Row(row)) => taken.rows.push(row),
                Some(Item::Columns(_)) => {}
                None => break,
            }
        }
        taken
    }

    /// All rows, and what `end` says when they are over.
    pub(super) fn stream(
        self,
        wait: Wait,
        end: impl Future<Output = Result<()>> + Send + 'static,
    ) -> impl Stream<Item = Result<Vec<Value>>> + Send + 'static {
        let end: BoxFuture<'static, Result<()>> = Box::pin(end);
        futures::stream::unfold(Some((self.0, end)), move |going_on| async move {
            let (mut rows, end) = going_on?;
            match wait.on(async { Ok(rows.recv().await) }).await {
                Ok(Some(Item::Row(row))) => Some((Ok(row), Some((rows, end)))),
                Ok(Some(Item::Columns(_))) => Some((Ok(Vec::new()), Some((rows, end)))),
                Ok(None) => wait.on(end).await.err().map(|error| (Err(error), None)),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}
