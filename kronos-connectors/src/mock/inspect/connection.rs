//! A connection of a database in memory: its own copy of the data, and what its calls meet.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kronos_core::{Error, ErrorKind, Result, Retry};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::answer::MockRows;
use super::image::{Image, load, place, store};
use super::plan::{Course, Point, unless};
use crate::inspect::{Connection, Control, One, Ran, Rows, Statement, Stop, TO_WRITE};
use crate::sqlite::inspect::connection::{Interrupt, Opened};

/// How long another writer is waited for, as SQLite's connections do.
const BUSY: Duration = Duration::from_secs(5);

/// A place in the pool, taken.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _active: One,
}

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit, active: One) -> Self {
        Self { _permit: permit, _active: active }
    }
}

/// A copy of the data that is worked on. What it has not put back is gone with it.
#[derive(Debug)]
pub(crate) struct Copy {
    opened: Opened,
    image: Arc<Image>,
    course: Course,
    name: String,
    _place: Place,
    /// The right to write, from the beginning of what writes to its end.
    writer: Option<OwnedMutexGuard<()>>,
    transaction: bool,
    stopped: CancellationToken,
}

impl Copy {
    pub(super) fn new(
        connection: rusqlite::Connection,
        name: &str,
        image: Arc<Image>,
        course: Course,
        taken: Place,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            opened: Opened::new(connection, Path::new(&place(name)))?,
            image,
            course,
            name: name.to_owned(),
            _place: taken,
            writer: None,
            transaction: false,
            stopped: CancellationToken::new(),
        })
    }

    /// Reads of catalogs.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.course.before(Point::Catalog, &self.stopped).await?;
        let found = self.opened.with(work).await?;
        self.course.after(Point::Catalog).map(|()| found)
    }

    /// Takes the data as of now; what writes keeps others from writing meanwhile.
    async fn take(&mut self, write: bool) -> Result<()> {
        if write {
            let waited = unless(&self.stopped, tokio::time::timeout(BUSY, self.image.writer())).await?;
            self.writer = Some(waited.map_err(|_| self.busy())?);
        }
        let bytes = self.image.bytes();
        self.opened.with(move |live| load(live, &bytes)).await
    }

    fn busy(&self) -> Error {
        Error::new(ErrorKind::Locked, "the database is locked by another writer")
            .with("mock", &self.name)
            .with("hint", "the mock has one writer at a time, as SQLite has")
            .with_retry(Retry::Later)
    }

    /// Makes what was written the data of all.
    async fn put_back(&mut self) -> Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let bytes = self.opened.with(store).await?;
        self.image.replace(bytes, writer);
        self.writer = None;
        Ok(())
    }

    async fn undo(&mut self) -> Result<()> {
        self.writer = None;
        self.opened.control(Control::Rollback).await
    }

    /// What a script gives.
    async fn tell(&self, answer: Result<MockRows>, rows: &mut Rows) -> Result<Ran> {
        let answer = answer?;
        if answer.affected.is_some() && self.writer.is_none() {
            return Err(Error::new(ErrorKind::PermissionDenied, "the session only reads").with("hint", TO_WRITE));
        }
        if !answer.columns.is_empty() {
            rows.columns(answer.columns).await;
        }
        for row in answer.rows {
            if !rows.row(row).await {
                return Ok(Ran::Enough);
            }
        }
        Ok(Ran::Whole(answer.affected))
    }
}

#[async_trait]
impl Connection for Copy {
    async fn ping(&mut self) -> Result<()> {
        self.course.before(Point::Ping, &self.stopped).await?;
        self.opened.with(|live| live.query_row("SELECT 1", [], |_| Ok(()))).await?;
        self.course.after(Point::Ping)
    }

    async fn writing(&mut self) -> Result<()> {
        self.take(true).await?;
        self.opened.permit(true).await
    }

    async fn begin(&mut self, write: bool) -> Result<()> {
        self.course.before(Point::Begin, &self.stopped).await?;
        self.take(write).await?;
        self.opened.begin(write).await?;
        self.transaction = true;
        self.course.after(Point::Begin)
    }

    /// There is no server that would; the call is stopped.
    async fn limit(&mut self, _: Duration) -> Result<()> {
        Ok(())
    }

    async fn run(&mut self, statement: &Statement, rows: &mut Rows) -> Result<Ran> {
        self.course.before(Point::Statement, &self.stopped).await?;
        let ran = match self.course.answer() {
            Some(answer) => self.tell(answer, rows).await,
            None => self.opened.run(statement, rows).await,
        };
        // One that failed may have left something as well: INSERT OR FAIL does.
        let kept = if self.transaction { Ok(()) } else { self.put_back().await };
        let ran = ran?;
        kept?;
        self.course.after(Point::Statement).map(|()| ran)
    }

    async fn control(&mut self, control: Control) -> Result<()> {
        let met = self.course.before(Point::Control, &self.stopped).await;
        match (control, met) {
            (Control::Commit, Err(error)) => {
                // Whatever is wrong with it, it did not happen.
                self.undo().await?;
                return Err(error);
            }
            (_, Err(error)) => return Err(error),
            (Control::Commit, Ok(())) => {
                self.opened.control(Control::Commit).await?;
                self.put_back().await?;
            }
            (Control::Rollback, Ok(())) => self.undo().await?,
            (other, Ok(())) => self.opened.control(other).await?,
        }
        self.course.after(Point::Control)
    }

    fn stop(&self) -> Box<dyn Stop> {
        Box::new(Halt { waiting: self.stopped.clone(), working: self.opened.stop() })
    }

    /// A place in the pool becomes free; the copy itself is of no more use.
    async fn give_back(self) {}

    async fn close(self) {}
}

/// Ends what a connection waits for, and what SQLite does on it.
struct Halt {
    waiting: CancellationToken,
    working: Interrupt,
}

#[async_trait]
impl Stop for Halt {
    async fn stop(&self) -> Result<()> {
        self.waiting.cancel();
        self.working.stop().await
    }
}
