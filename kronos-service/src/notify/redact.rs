//! Takes the secrets of channels out of text: what servers answer may repeat them.

use std::fmt;

use kronos_core::{Error, Secret};

use super::hidden;
use crate::failure::causes;

/// The secrets of some channels, and what they are made of.
#[derive(Clone)]
pub(super) struct Redactor {
    /// The longest first.
    words: Vec<Secret>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

const HIDDEN: &str = "***";

impl Redactor {
    pub(super) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self { words: hidden::words(&secrets.into_iter().collect::<Vec<_>>()) }
    }

    pub(super) fn text(&self, text: &str) -> String {
        let mut hidden = text.to_owned();
        for word in &self.words {
            if hidden.contains(word.expose()) {
                hidden = hidden.replace(word.expose(), HIDDEN);
            }
        }
        hidden
    }

    /// A text that was cut off: its end may be the beginning of a secret, which is hidden too.
    #[cfg_attr(not(feature = "notify"), allow(dead_code, reason = "nothing is sent"))]
    pub(super) fn cut_text(&self, text: &str) -> String {
        let mut hidden = self.text(text);
        let rest = self.words.iter().map(|word| overlap(&hidden, word.expose())).max().unwrap_or(0);
        if rest > 0 {
            hidden.truncate(hidden.len() - rest);
            hidden.push_str(HIDDEN);
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

/// How much of a word a text ends with, in bytes.
#[cfg_attr(not(feature = "notify"), allow(dead_code, reason = "nothing is sent"))]
fn overlap(text: &str, word: &str) -> usize {
    let starts = word.char_indices().map(|(at, _)| at).chain([word.len()]);
    starts.filter(|at| text.ends_with(&word[..*at])).max().unwrap_or(0)
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

    /// What an echoing server answers, by the way that it got.
    #[test]
    fn short_parts_of_an_address_are_hidden_in_all_their_forms() {
        for (address, answer, shown) in [
            ("https://x.example/in/aB3xK9qLm2z", "no /in/aB3xK9qLm2z here", "no *** here"),
            ("https://x.example/in/aB3xK9qLm2z", "no hook aB3xK9qLm2z", "no hook ***"),
            ("https://x.example/hook?token=WHQUERY9", "/hook?token=WHQUERY9", "***"),
            ("https://x.example/hook?token=WHQUERY9", "token: WHQUERY9", "token: ***"),
            ("https://x.example/hook?WHQUERY9", "query WHQUERY9", "query ***"),
            ("https://x.example/hook?a=1&key=p%2Fq+r", "key p/q r, p%2Fq%20r", "key ***, ***"),
            ("https://x.example/ping/PINGSECRET9/", "POST /ping/PINGSECRET9/fail?rid=1", "POST ***/fail?rid=1"),
            ("https://x.example/ping/PINGSECRET", "a PINGSECRET", "a ***"),
            ("https://hush:p%40ss@x.example/in", "hush, p@ss, p%40ss", "***, ***, ***"),
            ("https://hush:p%40ss@x.example/in", "Basic aHVzaDpwQHNz", "Basic ***"),
            ("http://kronos:open@proxy.example:3128", "Basic a3Jvbm9zOm9wZW4= of kronos", "Basic *** of kronos"),
            ("Bearer tok9", "token tok9", "token ***"),
            ("Basic aHVzaDpwQHNz", "login hush, p@ss", "login hush, ***"),
        ] {
            assert_eq!(Redactor::new([Secret::new(address)]).text(answer), shown, "{address}");
        }
    }

    #[test]
    fn ordinary_words_of_an_address_stay() {
        let secrets = ["https://x.example/hook/services/ping/v1/Webhook?create=true", "https://kronos:open@x.example/"];
        let redactor = Redactor::new(secrets.map(Secret::new));
        let text = "x.example: no hook, services, ping, v1 nor Webhook for kronos is true";
        assert_eq!(redactor.text(text), text);
    }

    #[test]
    fn the_beginning_of_a_secret_is_hidden_where_a_text_was_cut() {
        let redactor = Redactor::new([Secret::new("https://x.example/in/läB3xK9qLm2z")]);
        for (text, shown) in [
            ("POST /in/läB3xK9", "POST ***"),
            ("it is läB3xK9qLm2", "it is ***"),
            ("it is läB3xK9qLm2z and l", "it is *** and ***"),
            ("it is läB3xK9qLm2z and", "it is *** and"),
        ] {
            assert_eq!(redactor.cut_text(text), shown);
        }
    }
}
