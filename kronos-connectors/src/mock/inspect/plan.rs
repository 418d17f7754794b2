//! What one call meets on its way: a delay, an error, an answer that was scripted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;

use super::answer::MockRows;

/// Where on a connection a call does what it is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Point {
    Test,
    Catalog,
    #[default]
    Statement,
    Begin,
    /// What ends or divides a transaction.
    Control,
    Ping,
}

/// What one call meets.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub point: Point,
    pub delay: Duration,
    pub strike: Option<Strike>,
    /// The statement has a script: it is neither judged nor run.
    pub scripted: bool,
    pub answer: Option<Result<MockRows>>,
}

/// An error that a call meets.
#[derive(Debug)]
pub(super) struct Strike {
    pub error: Error,
    /// It comes after all was done, as when an answer is lost on its way.
    pub late: bool,
}

impl Plan {
    /// How many rows the script gives.
    pub(super) fn rows(&self) -> Option<u64> {
        match &self.answer {
            Some(Ok(rows)) => Some(rows.count()),
            _ => None,
        }
    }
}

/// The plan of the call that is under way, as the connection that it uses sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct Course(Arc<Mutex<Plan>>);

impl Course {
    pub(super) fn of(plan: Plan) -> Self {
        Self(Arc::new(Mutex::new(plan)))
    }

    /// For the next call on the same connection.
    pub(super) fn set(&self, plan: Plan) {
        *self.lock() = plan;
    }

    pub(super) fn is_scripted(&self) -> bool {
        self.lock().scripted
    }

    /// The answer of a script, once.
    pub(super) fn answer(&self) -> Option<Result<MockRows>> {
        self.lock().answer.take()
    }

    /// Why there is no connection.
    pub(super) fn refusal(&self) -> Option<Error> {
        let before = |strike: &mut Strike| {
            let kinds = [ErrorKind::ConnectionFailed, ErrorKind::PoolExhausted, ErrorKind::Authentication];
            !strike.late && kinds.contains(&strike.error.kind())
        };
        self.lock().strike.take_if(before).map(|strike| strike.error)
    }

    /// Before a call does what it is for: the delay, and then the error.
    pub(super) async fn before(&self, point: Point, stopped: &CancellationToken) -> Result<()> {
        let (delay, strike) = {
            let mut plan = self.lock();
            if plan.point != point {
                return Ok(());
            }
            (std::mem::take(&mut plan.delay), plan.strike.take_if(|strike| !strike.late))
        };
        if !delay.is_zero() {
            unless(stopped, tokio::time::sleep(delay)).await?;
        }
        strike.map_or(Ok(()), |strike| Err(strike.error))
    }

    /// After it has done it.
    pub(super) fn after(&self, point: Point) -> Result<()> {
        let mut plan = self.lock();
        let strike = if plan.point == point { plan.strike.take() } else { None };
        strike.map_or(Ok(()), |strike| Err(strike.error))
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits, but no longer than the call may take.
pub(super) async fn unless<T>(stopped: &CancellationToken, wait: impl Future<Output = T>) -> Result<T> {
    tokio::select! {
        biased;
        () = stopped.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the call was stopped")),
        done = wait => Ok(done),
    }
}
