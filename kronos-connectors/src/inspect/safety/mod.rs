//! What a statement would do, judged by a parser before it runs.

use kronos_core::Engine;
use kronos_core::inspect::{Effect, Reason, Severity, Verdict};

/// Judges a text in the language of an engine. What is not understood is dangerous.
pub fn judge(_engine: &Engine, _text: &str) -> Verdict {
    let text = "it was not understood".to_owned();
    Verdict::new(Effect::Unknown, 1, vec![Reason { severity: Severity::High, text }])
}
