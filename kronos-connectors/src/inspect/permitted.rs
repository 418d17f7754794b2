//! Whether a statement may run, and whether its connection is for others after it.

use kronos_core::inspect::{Effect, Query, Severity, Verdict};
use kronos_core::{Error, ErrorKind, Result};

use super::backend::Backend;
use super::{TO_WRITE, safety};

/// A statement that may run, or why it may not.
pub(super) fn permitted<B: Backend>(backend: &B, text: &str, query: &Query, write: bool) -> Result<safety::Statement> {
    let read = backend.read(text);
    let refused = |message: &str| Error::new(ErrorKind::InvalidQuery, message);
    if read.verdict.statements != 1 {
        return Err(refused("one statement at a time").with("statements", read.verdict.statements));
    }
    if read.controls_transaction {
        return Err(refused("a statement by itself cannot begin or end a transaction")
            .with("hint", "`begin` of the service gives one"));
    }
    if read.verdict.requires_confirmation && !query.confirmed {
        return Err(refused("the statement needs a confirmation")
            .with("severity", format!("{:?}", read.verdict.severity).to_lowercase())
            .with("because", &read.verdict));
    }
    if !write && !backend.guards() && read.verdict.effect > Effect::Session {
        return Err(Error::new(ErrorKind::PermissionDenied, "the session only reads").with("hint", TO_WRITE));
    }
    Ok(read)
}

/// Whether a connection is as it was after such a statement.
pub(super) fn kept(verdict: &Verdict) -> bool {
    matches!(verdict.effect, Effect::Reads | Effect::Writes | Effect::Defines) && verdict.severity <= Severity::Low
}
