//! What a statement would do, judged by a parser before it runs.
//!
//! Only what is understood and known to read is safe. What cannot be seen from the statement: what a
//! view, a trigger, a rule or a policy calls; a function, an operator or a cast that someone made with
//! the name of the engine's own and other types; in PostgreSQL, a function of a row that is written as
//! if it was a column of it. For these the database's own read-only session is the guard.

mod columns;
mod dialect;
mod found;
mod functions;
mod literal;
#[cfg(feature = "mongodb")]
mod mongodb;
mod opening;
mod pragma;
mod restrict;
mod rows;
mod sql;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;
mod walk;
mod words;

use kronos_core::Engine;
use kronos_core::inspect::{Effect, Reason, Severity, Verdict};

/// Trees of statements are walked through and dropped by recursion, as deep as the longest chain.
const STACK: usize = 64 << 20;

/// A text that was judged, and what there is to know of it before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub verdict: Verdict,
    /// The text without the semicolons at its end, and without what follows them.
    pub body: String,
    /// `LIMIT` and `OFFSET` may be written on a line after it.
    pub limitable: bool,
    #[allow(dead_code, reason = "for engines that prepare statements")]
    pub kind: Kind,
    /// It begins, ends or divides a transaction.
    pub controls_transaction: bool,
}

/// Whether a statement is one about rows, as drivers prepare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Query,
    Insert,
    Update,
    Delete,
    Merge,
    /// Anything else.
    Other,
}

impl Kind {
    /// Whether it can be prepared.
    #[allow(dead_code, reason = "for engines that prepare statements")]
    pub(crate) fn is_prepared(self) -> bool {
        self != Self::Other
    }
}

/// Judges a text in the language of an engine. What is not understood is dangerous.
///
/// What a view, a trigger or a rule does cannot be seen from a statement, nor that someone made a
/// function, an operator or a cast with the name of the engine's own for other types, nor, in
/// PostgreSQL, that `t.f` is a function of the row. A session that only reads guards against these.
pub fn judge(engine: &Engine, text: &str) -> Verdict {
    read(engine, text).verdict
}

pub(crate) fn read(engine: &Engine, text: &str) -> Statement {
    let judged = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("kronos-judge".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, || read_here(engine, text)).ok().and_then(|thread| thread.join().ok())
    });
    judged.unwrap_or_else(|| not_understood(text, "the parser failed"))
}

fn read_here(engine: &Engine, text: &str) -> Statement {
    #[cfg(feature = "mongodb")]
    if *engine == Engine::MONGODB {
        return mongodb::read(text);
    }
    match dialect::Language::of(engine) {
        Some(language) => sql::read(language, text),
        None => not_understood(text, "the language of the engine is not known"),
    }
}

fn not_understood(text: &str, why: &str) -> Statement {
    let reason = Reason { severity: Severity::High, text: format!("it was not understood: {why}") };
    let verdict = Verdict::new(Effect::Unknown, 1, vec![reason]);
    Statement { verdict, body: text.to_owned(), limitable: false, kind: Kind::Other, controls_transaction: false }
}
