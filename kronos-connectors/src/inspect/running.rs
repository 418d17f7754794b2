//! A statement that runs: on a task of its own, so that whatever becomes of the caller, it is stopped
//! on the server and its connection is given back or closed.

use std::time::Duration;

use futures::future::BoxFuture;
use kronos_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::backend::{Connection, Stop};

/// How long a statement that was stopped may take to end, and how long stopping may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// When one that goes on is stopped again.
const AGAIN: Duration = Duration::from_millis(200);
/// How much longer than its limit a statement is waited for. What has not ended by then, as nothing is
/// heard of the server, is ended by its task, and nobody waits for that.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// What became of work on a connection.
#[derive(Debug)]
pub(super) enum Outcome<T> {
    /// It ended by itself, well or not; the connection is in order.
    Ended(Result<T>),
    /// It was stopped; the connection is not to be used again.
    Stopped(Error),
}

/// Does `work`, for at most `limit`, and until `gone`.
pub(super) async fn supervised<C, T>(
    connection: &mut C,
    limit: Duration,
    gone: &CancellationToken,
    work: impl for<'a> FnOnce(&'a mut C) -> BoxFuture<'a, Result<T>>,
) -> Outcome<T>
where
    C: Connection,
{
    let stop = connection.stop();
    let mut work = work(connection);
    let error = tokio::select! {
        biased;
        ended = &mut work => return Outcome::Ended(ended.map_err(|error| late(error, limit))),
        () = gone.cancelled() => Error::new(ErrorKind::Cancelled, "nobody waits for the statement any more"),
        () = sleep(limit) => timed_out(limit),
    };
    let patience = Instant::now() + PATIENCE;
    loop {
        let stopped = stopped(stop.as_ref()).await;
        match timeout(AGAIN, &mut work).await {
            // It was quicker than its end.
            Ok(Ok(done)) => return Outcome::Ended(Ok(done)),
            Ok(Err(_)) => return Outcome::Stopped(error),
            // It may not have begun when it was stopped: once more.
            Err(_) if Instant::now() < patience => {}
            Err(_) => return Outcome::Stopped(unheard(error, stopped)),
        }
    }
}

fn unheard(error: Error, stopped: Result<()>) -> Error {
    match stopped {
        Ok(()) => error.with("note", "the server was told to end the statement, and has not said that it did"),
        Err(why) => error.with("note", format!("the statement could not be ended on the server: {why}")),
    }
}

/// Ends what runs on a connection, or says why that was not possible.
pub(super) async fn stopped(stop: &dyn Stop) -> Result<()> {
    let late = |_| Err(Error::new(ErrorKind::Timeout, "the server did not answer"));
    timeout(PATIENCE, stop.stop()).await.unwrap_or_else(late)
}

fn timed_out(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, "the statement took too long and was cancelled")
        .with("after", format!("{:.1} s", limit.as_secs_f64()))
}

/// How long whoever asked waits for a statement: a little beyond its limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    limit: Duration,
    /// Nothing where the clock has no such moment.
    until: Option<Instant>,
}

impl Wait {
    /// From now on.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, until: Instant::now().checked_add(limit.saturating_add(GRACE)) }
    }

    /// What is there already is had even when the time is over.
    pub(super) async fn on<T>(self, ended: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(until) = self.until else { return ended.await };
        let unheard = |_| Err(timed_out(self.limit).with("note", "the server has not said that it has ended"));
        timeout_at(until, ended).await.unwrap_or_else(unheard)
    }
}

/// The server's own limit says the same as ours, whichever came first.
fn late(error: Error, limit: Duration) -> Error {
    if error.kind() == ErrorKind::Timeout && error.context("after").is_none() {
        return timed_out(limit).with_source(error);
    }
    error
}

/// Starts `work` on a task of its own; the guard tells it when the caller is gone.
pub(super) fn start<T: Send + 'static>(
    work: impl FnOnce(CancellationToken) -> BoxFuture<'static, Result<T>>,
) -> (tokio::task::JoinHandle<Result<T>>, DropGuard) {
    let gone = CancellationToken::new();
    let task = tokio::spawn(work(gone.clone()));
    (task, gone.drop_guard())
}

/// What a task gave.
pub(super) async fn joined<T>(task: tokio::task::JoinHandle<Result<T>>) -> Result<T> {
    match task.await {
        Ok(result) => result,
        Err(failed) => Err(Error::new(ErrorKind::Internal, "the task of a statement failed").with_source(failed)),
    }
}
