//! What becomes of a connection after a statement, and of a statement whose answer was lost.

use std::time::Duration;

use kronos_core::{Error, ErrorKind, Result, Retry};

use super::backend::{Connection, Control};
use super::running::Outcome;

/// What was lost on its way may have been done: a statement that writes is not for trying again.
pub(super) fn uncertain(error: Error, write: bool) -> Error {
    let unknown = matches!(error.kind(), ErrorKind::ConnectionFailed | ErrorKind::Timeout | ErrorKind::Cancelled);
    if write && unknown {
        return error.with_retry(Retry::Never).with("note", "whether the statement was carried out is not known");
    }
    error
}

/// Gives a connection back if it is in order.
pub(super) async fn settle<C: Connection, T>(mut connection: C, outcome: Outcome<T>) -> Result<T> {
    match outcome {
        Outcome::Ended(Ok(done)) => {
            connection.give_back().await;
            Ok(done)
        }
        Outcome::Ended(Err(error)) => {
            let lost = matches!(error.kind(), ErrorKind::ConnectionFailed | ErrorKind::Internal);
            let undone = if lost { false } else { ended(&mut connection).await };
            if undone {
                connection.give_back().await;
            } else {
                connection.close().await;
            }
            Err(error)
        }
        Outcome::Stopped(error) => {
            connection.close().await;
            Err(error)
        }
    }
}

/// Undoes what may be left of a transaction.
async fn ended<C: Connection>(connection: &mut C) -> bool {
    let undo = connection.control(Control::Rollback);
    matches!(tokio::time::timeout(Duration::from_secs(5), undo).await, Ok(Ok(())))
}
