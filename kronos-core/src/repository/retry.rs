//! Trying again what is transient, with exponential backoff and jitter.

use std::time::Duration;

use crate::backoff;
use crate::error::{Error, Result, Retry};
use crate::event::Event;
use crate::run::RunContext;

/// Calls `action` until it succeeds, fails for good, or the attempts are used up.
pub(crate) async fn retry<T, F>(run: &RunContext, what: &str, mut action: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut attempt = 1;
    loop {
        run.check_cancelled()?;
        let error = tokio::select! {
            biased;
            () = run.cancel.cancelled() => return Err(Error::cancelled()),
            result = action() => match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            },
        };
        if error.retry() != Retry::Later {
            return Err(error);
        }
        if attempt >= run.limits.attempts {
            return Err(error.with_retry(Retry::Exhausted).with("attempts", attempt));
        }
        run.emit(&Event::Retrying { what: what.to_owned(), attempt, error: error.to_string() });
        tokio::select! {
            biased;
            () = run.cancel.cancelled() => return Err(Error::cancelled()),
            () = tokio::time::sleep(pause(run, attempt).max(error.retry_after().unwrap_or_default())) => {}
        }
        attempt += 1;
    }
}

fn pause(run: &RunContext, attempt: u32) -> Duration {
    backoff::pause(run.limits.backoff, run.limits.backoff_max, attempt, u16::from_le_bytes(run.random()))
}
