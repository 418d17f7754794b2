//! What is found in a statement while it is looked through.

use std::collections::HashSet;

use kronos_core::inspect::{Effect, Reason, Severity, Verdict};

/// As many reasons as anybody would read.
const REASONS: usize = 40;
/// The longest part of a name that is shown.
const SHOWN: usize = 80;

/// The reasons so far, and the most that is touched.
#[derive(Debug)]
pub(super) struct Found {
    effect: Effect,
    reasons: Vec<Reason>,
    texts: HashSet<(Severity, String)>,
}

impl Default for Found {
    fn default() -> Self {
        Self { effect: Effect::Reads, reasons: Vec::new(), texts: HashSet::new() }
    }
}

impl Found {
    pub(super) fn add(&mut self, severity: Severity, effect: Effect, text: impl Into<String>) {
        self.effect(effect);
        let text = text.into();
        if !self.texts.insert((severity, text.clone())) {
            return;
        }
        // The worst is kept, however many there are.
        if self.reasons.len() >= REASONS {
            self.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.severity));
            self.reasons.truncate(REASONS - 1);
            self.texts = self.reasons.iter().map(|reason| (reason.severity, reason.text.clone())).collect();
        }
        self.reasons.push(Reason { severity, text });
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effect = self.effect.max(effect);
    }

    pub(super) fn not_understood(&mut self, why: impl AsRef<str>) {
        self.add(Severity::High, Effect::Unknown, format!("it was not understood: {}", shown(why.as_ref())));
    }

    /// Adds what another reading of the text found.
    pub(super) fn join(&mut self, other: Self) {
        for reason in other.reasons {
            self.add(reason.severity, other.effect, reason.text);
        }
        self.effect(other.effect);
    }

    pub(super) fn verdict(self, statements: usize) -> Verdict {
        Verdict::new(self.effect, statements, self.reasons)
    }
}

/// A name or a piece of text as it stands in a reason: one line, and not too long.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).map(|char| if char.is_control() { ' ' } else { char }).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}
