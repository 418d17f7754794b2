//! What a restore into a server does in each engine: streams are written side by side, until one fails or the
//! run is cancelled; once all were written they are completed and put into place, or else all is undone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kronos_core::{
    Error, ErrorKind, Piece, Restore, RestoreOutcome, RestoreRequest, Result, RunContext, Stream, StreamEnd,
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::error::{cancelled, internal};

/// Definitions are believed up to this size.
const DEFINITIONS: u64 = 256 << 20;

/// What an engine does of it.
#[async_trait]
pub(crate) trait Steps: fmt::Debug + Send + Sync + 'static {
    fn progress(&self) -> &Progress;

    /// Writes a stream, whose end is to be this.
    async fn write(&self, stream: Stream, end: StreamEnd) -> Result<()>;

    /// Everything but the places.
    async fn complete(&self) -> Result<RestoreOutcome>;

    /// Gives what was made its place. That is a matter of moments, and is not stopped half way.
    async fn put_in_place(&self, outcome: RestoreOutcome) -> Result<RestoreOutcome>;

    /// Removes what was made. What cannot be removed, the next restore to the same target finds.
    async fn undo(&self) -> Result<()>;

    /// Ends what has nothing more to do. It is the last step, whatever became of the others.
    async fn close(&self);

    /// The error of a step, with what else is to be known.
    fn told(&self, error: Error) -> Error {
        error
    }
}

/// How far a restore is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    prepared: OnceCell<()>,
    written: Mutex<BTreeSet<String>>,
    has_failed: AtomicBool,
}

impl Progress {
    /// An error once a part has failed.
    pub(crate) fn check(&self) -> Result<()> {
        if self.has_failed() {
            return Err(Error::new(ErrorKind::Cancelled, "another part of the restore has failed"));
        }
        Ok(())
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    pub(crate) fn fail(&self) {
        self.has_failed.store(true, Ordering::Release);
    }

    /// Makes what streams need before they are written, once.
    pub(crate) async fn prepare(&self, make: impl Future<Output = Result<()>>) -> Result<()> {
        let prepare = async {
            self.check()?;
            make.await.inspect_err(|_| self.fail())
        };
        self.prepared.get_or_try_init(|| prepare).await.map(drop)
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn is_prepared(&self) -> bool {
        self.prepared.initialized()
    }

    fn note_written(&self, stream: String) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(stream);
    }

    /// An error unless all is written.
    fn check_written(&self, announced: &BTreeMap<String, StreamEnd>) -> Result<()> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(missing) = announced.keys().find(|name| !written.contains(*name)) {
            return Err(internal("the restore was finished before a stream was written").with("stream", missing));
        }
        if self.has_failed() {
            return Err(internal("the restore was finished though a part of it has failed"));
        }
        Ok(())
    }
}

/// A target being written.
#[derive(Debug)]
pub(crate) struct Restoring<S: Steps> {
    steps: Arc<S>,
    /// The streams that are to come.
    announced: BTreeMap<String, StreamEnd>,
    cancel: CancellationToken,
    /// Nothing is left to be undone.
    is_over: bool,
}

impl<S: Steps> Restoring<S> {
    pub(crate) fn new(steps: S, request: &RestoreRequest, run: &RunContext) -> Self {
        let announced = request.streams.iter().map(|stream| (stream.info.name.clone(), stream.end)).collect();
        Self { steps: Arc::new(steps), announced, cancel: run.cancel.clone(), is_over: false }
    }
}

async fn undo(steps: &impl Steps) -> Result<()> {
    let undone = steps.undo().await;
    steps.close().await;
    undone
}

#[async_trait]
impl<S: Steps> Restore for Restoring<S> {
    async fn write(&self, stream: Stream) -> Result<()> {
        let (steps, name) = (&self.steps, stream.info().name.clone());
        let write = async {
            let end = self.announced.get(&name).copied();
            let end = end.ok_or_else(|| internal("a stream that was not announced").with("stream", &name))?;
            steps.progress().check()?;
            steps.write(stream, end).await
        };
        let written = self.cancel.run_until_cancelled(write).await.unwrap_or_else(|| Err(cancelled()));
        match &written {
            Ok(()) => steps.progress().note_written(name),
            Err(_) => steps.progress().fail(),
        }
        written.map_err(|error| steps.told(error))
    }

    async fn finish(mut self: Box<Self>) -> Result<RestoreOutcome> {
        let steps = self.steps.clone();
        let complete = async {
            steps.progress().check_written(&self.announced)?;
            steps.complete().await
        };
        let completed = self.cancel.run_until_cancelled(complete).await;
        let done = match completed.unwrap_or_else(|| Err(cancelled())) {
            Ok(outcome) => steps.put_in_place(outcome).await,
            Err(error) => Err(error),
        };
        self.is_over = true;
        match done {
            Ok(outcome) => {
                steps.close().await;
                Ok(outcome)
            }
            Err(error) => Err(match undo(&*steps).await {
                Ok(()) => steps.told(error),
                Err(left) => steps.told(error).with("left behind", left.message()),
            }),
        }
    }

    async fn abort(mut self: Box<Self>) {
        self.is_over = true;
        let _ = undo(&*self.steps).await;
    }
}

impl<S: Steps> Drop for Restoring<S> {
    fn drop(&mut self) {
        // Where no runtime is left, the next restore to the same target removes what this one made.
        if let (false, Ok(runtime)) = (self.is_over, tokio::runtime::Handle::try_current()) {
            let steps = self.steps.clone();
            runtime.spawn(async move { undo(&*steps).await });
        }
    }
}

/// Compares the end of a stream with what the backup says.
pub(crate) fn same(found: StreamEnd, wanted: StreamEnd) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(corrupt("the stream is not the one of the backup")) }
}

/// A small stream in memory.
pub(crate) async fn small(mut stream: Stream, end: StreamEnd) -> Result<Vec<u8>> {
    let too_large = || corrupt("definitions are larger than any can be");
    if end.length > DEFINITIONS {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    loop {
        match stream.next().await? {
            Some(Piece::Data(more)) => bytes.extend_from_slice(&more),
            Some(Piece::End(found)) => {
                same(found, end)?;
                return Ok(bytes);
            }
            None => return Err(internal("a stream was read after its end")),
        }
        if bytes.len() as u64 > DEFINITIONS {
            return Err(too_large());
        }
    }
}

/// The same as text.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) async fn text(stream: Stream, end: StreamEnd) -> Result<String> {
    let name = stream.info().name.clone();
    String::from_utf8(small(stream, end).await?).map_err(|_| corrupt("definitions are not UTF-8").with("stream", name))
}

fn corrupt(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kronos_core::{Digest, PreviousStream, StreamInfo};

    /// An engine that notes what it is asked for.
    #[derive(Debug)]
    struct Noted {
        request: RestoreRequest,
        progress: Progress,
        notes: Arc<Mutex<Vec<&'static str>>>,
    }

    #[async_trait]
    impl Steps for Noted {
        fn progress(&self) -> &Progress {
            &self.progress
        }

        async fn write(&self, stream: Stream, end: StreamEnd) -> Result<()> {
            if stream.info().name == "silent" {
                std::future::pending::<()>().await;
            }
            small(stream, end).await.map(drop)
        }

        async fn complete(&self) -> Result<RestoreOutcome> {
            self.note("completed");
            Ok(RestoreOutcome::default())
        }

        async fn put_in_place(&self, outcome: RestoreOutcome) -> Result<RestoreOutcome> {
            self.note("put in place");
            if self.request.replace { Ok(outcome) } else { Err(Error::new(ErrorKind::Conflict, "in the way")) }
        }

        async fn undo(&self) -> Result<()> {
            self.note("undone");
            if self.request.owners { Ok(()) } else { Err(Error::new(ErrorKind::Io, "a table")) }
        }

        async fn close(&self) {
            self.note("closed");
        }
    }

    impl Noted {
        fn note(&self, what: &'static str) {
            self.notes.lock().unwrap().push(what);
        }
    }

    type Notes = Arc<Mutex<Vec<&'static str>>>;

    fn end() -> StreamEnd {
        StreamEnd { length: 3, digest: Digest::of(b"abc"), rows: None }
    }

    fn stream(name: &str) -> Stream {
        let pieces = [Ok(Piece::Data("abc".into())), Ok(Piece::End(end()))];
        Stream::new(StreamInfo::new(name), futures::stream::iter(pieces)).checked()
    }

    /// Of streams of these names.
    fn restoring(
        names: &[&str],
        change: impl FnOnce(&mut RestoreRequest),
    ) -> (Box<Restoring<Noted>>, RunContext, Notes) {
        let streams = names.iter().map(|name| PreviousStream { info: StreamInfo::new(*name), end: end() });
        let mut request = RestoreRequest { replace: true, ..RestoreRequest::new(streams.collect()) };
        change(&mut request);
        let (run, notes) = (RunContext::new(), Notes::default());
        let steps = Noted { request: request.clone(), progress: Progress::default(), notes: notes.clone() };
        (Box::new(Restoring::new(steps, &request, &run)), run, notes)
    }

    #[tokio::test]
    async fn what_is_whole_gets_its_place() {
        let (restoring, _, notes) = restoring(&["a"], |_| {});
        restoring.write(stream("a")).await.unwrap();
        restoring.finish().await.unwrap();
        assert_eq!(*notes.lock().unwrap(), ["completed", "put in place", "closed"]);
    }

    #[tokio::test]
    async fn what_is_not_written_or_not_announced_is_not_put_in_place() {
        let (begun, _, notes) = restoring(&["a", "b"], |_| {});
        begun.write(stream("a")).await.unwrap();
        let error = begun.finish().await.unwrap_err();
        assert_eq!((error.kind(), error.context("stream")), (ErrorKind::Internal, Some("b")));
        assert_eq!(*notes.lock().unwrap(), ["undone", "closed"]);
        let (begun, _, notes) = restoring(&["a"], |_| {});
        begun.write(stream("a")).await.unwrap();
        begun.write(stream("other")).await.unwrap_err();
        assert_eq!(begun.write(stream("a")).await.unwrap_err().kind(), ErrorKind::Cancelled, "a part has failed");
        begun.finish().await.unwrap_err();
        assert_eq!(*notes.lock().unwrap(), ["undone", "closed"]);
    }

    #[tokio::test]
    async fn an_error_says_what_could_not_be_undone() {
        let (begun, _, notes) = restoring(&[], |request| (request.replace, request.owners) = (false, false));
        let error = begun.finish().await.unwrap_err();
        assert_eq!((error.kind(), error.context("left behind")), (ErrorKind::Conflict, Some("a table")));
        assert_eq!(*notes.lock().unwrap(), ["completed", "put in place", "undone", "closed"]);
    }

    #[tokio::test]
    async fn a_run_that_is_cancelled_does_not_wait_for_a_server() {
        let (begun, run, notes) = restoring(&["silent"], |_| {});
        let (written, ()) = tokio::join!(begun.write(stream("silent")), async { run.cancel.cancel() });
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Cancelled);
        begun.finish().await.unwrap_err();
        assert_eq!(*notes.lock().unwrap(), ["undone", "closed"]);
    }

    #[tokio::test]
    async fn what_is_dropped_is_undone_and_what_is_over_is_not() {
        let (begun, _, dropped) = restoring(&[], |_| {});
        drop(begun);
        let (begun, _, aborted) = restoring(&[], |_| {});
        begun.abort().await;
        tokio::task::yield_now().await;
        let undone = vec!["undone", "closed"];
        assert_eq!((&*dropped.lock().unwrap(), &*aborted.lock().unwrap()), (&undone, &undone));
    }

    #[tokio::test]
    async fn what_streams_need_is_made_once_and_its_failure_ends_all() {
        let progress = Progress::default();
        let count = Mutex::new(0);
        let make = || async {
            *count.lock().unwrap() += 1;
            Ok(())
        };
        progress.prepare(make()).await.unwrap();
        progress.prepare(make()).await.unwrap();
        assert_eq!(*count.lock().unwrap(), 1);
        let progress = Progress::default();
        let failed = async { Err(Error::new(ErrorKind::Io, "no")) };
        assert_eq!(progress.prepare(failed).await.unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(progress.prepare(make()).await.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
