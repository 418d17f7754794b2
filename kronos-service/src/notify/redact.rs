//! Takes the secrets of channels out of text: what servers answer may repeat them.

use std::fmt;

use kronos_core::{Error, Secret};

use crate::failure::causes;

/// The secrets of some channels, and what they are made of.
#[derive(Clone)]
pub(super) struct Redactor {
    words: Vec<Secret>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

/// Shorter parts of a URL are words such as `services`, and no secrets.
const SHORTEST_PART: usize = 12;
const SHORTEST: usize = 4;

impl Redactor {
    pub(super) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut words = Vec::new();
        for secret in secrets {
            // Each part may be told by itself: of an address, of `Bearer …`.
            let whole = secret.expose();
            let parts = whole.split_once("://").map_or(whole, |(_, rest)| rest);
            let parts = parts.split(['/', '?', '&', '=', '@', ':', '#', ' ']).filter(|part| *part != whole);
            let host = usize::from(whole.contains("://") && !whole.contains('@'));
            words.extend(parts.skip(host).filter(|part| part.len() >= SHORTEST_PART).map(Secret::new));
            if secret.expose().len() >= SHORTEST {
                words.push(secret);
            }
        }
        words.sort_by_key(|word| std::cmp::Reverse(word.expose().len()));
        Self { words }
    }

    pub(super) fn text(&self, text: &str) -> String {
        let mut hidden = text.to_owned();
        for word in &self.words {
            if hidden.contains(word.expose()) {
                hidden = hidden.replace(word.expose(), "***");
            }
        }
        hidden
    }

    /// The same error in words without secrets.
    pub(super) fn error(&self, error: &Error) -> Error {
        let mut told = Error::new(error.kind(), self.text(error.message())).with_retry(error.retry());
        for (key, value) in error.contexts() {
            told = told.with(key, self.text(value));
        }
        if let Some(pause) = error.retry_after() {
            told = told.with_retry_after(pause);
        }
        let causes = causes(error).iter().map(|cause| self.text(cause)).collect::<Vec<_>>().join(": ");
        if causes.is_empty() { told } else { told.with_source(causes) }
    }
}

#[cfg(test)]
mod tests {
    use kronos_core::ErrorKind;

    use super::*;

    #[test]
    fn secrets_and_their_parts_are_hidden_in_all_of_an_error() {
        let secrets = ["https://hooks.example/services/T01/abcdefghijklmnop", "hush-hush"].map(Secret::new);
        let redactor = Redactor::new(secrets);
        let error = Error::new(ErrorKind::Io, "no hush-hush")
            .with("answer", "token abcdefghijklmnop")
            .with_retry_after(std::time::Duration::from_secs(3))
            .with_source(std::io::Error::other("at https://hooks.example/services/T01/abcdefghijklmnop"));
        let told = redactor.error(&error);
        assert_eq!((told.message(), told.context("answer")), ("no ***", Some("token ***")));
        assert_eq!(told.retry_after(), error.retry_after());
        let all = format!("{told:?} {told} {redactor:?}");
        assert!(!all.contains("abcdefghijklmnop") && !all.contains("hush-hush"), "{all}");
        assert!(all.contains("at ***"), "{all}");
    }
}
