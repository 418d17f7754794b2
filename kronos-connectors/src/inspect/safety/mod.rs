//! What a statement would do, judged by a parser before it runs.

use kronos_core::Engine;
use kronos_core::inspect::{Effect, Reason, Severity, Verdict};

/// A text that was judged, and what there is to know of it before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub verdict: Verdict,
    /// The text without the semicolons at its end.
    pub body: String,
    /// `LIMIT` and `OFFSET` may be written on a line after it.
    pub limitable: bool,
    /// It begins, ends or divides a transaction.
    pub controls_transaction: bool,
}

/// Judges a text in the language of an engine. What is not understood is dangerous.
pub fn judge(engine: &Engine, text: &str) -> Verdict {
    read(engine, text).verdict
}

pub(crate) fn read(_engine: &Engine, text: &str) -> Statement {
    let reason = Reason { severity: Severity::High, text: "it was not understood".to_owned() };
    let verdict = Verdict::new(Effect::Unknown, 1, vec![reason]);
    Statement { verdict, body: text.to_owned(), limitable: false, controls_transaction: false }
}
