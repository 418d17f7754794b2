//! The cases, out of their files.

use kronos_core::Engine;
use kronos_core::inspect::{Effect, Severity};

/// A statement and what is to be known of it.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) severity: Severity,
    pub(crate) effect: Effect,
    words: Vec<String>,
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Case {
    pub(crate) fn is(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }

    pub(crate) fn is_safe(&self) -> bool {
        self.severity == Severity::Safe
    }

    /// Whether the state must be another one after it.
    pub(crate) fn must_change(&self) -> bool {
        let writes = matches!(self.effect, Effect::Writes | Effect::Defines) && !self.is_safe();
        self.is("changes") || writes && !["same", "fails", "mayfail"].iter().any(|word| self.is(word))
    }
}

const WORDS: [&str; 5] = ["changes", "same", "fails", "mayfail", "norun"];

/// The engines whose statements can be judged in this build.
pub(crate) fn engines() -> Vec<(Engine, Vec<Case>)> {
    let mut all = vec![
        (Engine::POSTGRES, read(include_str!("corpus/postgres.txt"))),
        (Engine::MYSQL, read(include_str!("corpus/mysql.txt"))),
        (Engine::SQLITE, read(include_str!("corpus/sqlite.txt"))),
    ];
    if cfg!(feature = "mongodb") {
        all.push((Engine::MONGODB, read(include_str!("corpus/mongodb.txt"))));
    }
    all
}

pub(crate) fn of(engine: &Engine) -> Vec<Case> {
    engines().into_iter().find(|(known, _)| known == engine).unwrap().1
}

fn read(file: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (at, line) in file.lines().enumerate() {
        if let Some(head) = line.strip_prefix("### ") {
            let (head, reason) = head.split_once('#').map_or((head, ""), |(head, reason)| (head, reason.trim()));
            let mut words = head.split_ascii_whitespace().map(str::to_owned);
            let json = |word: Option<String>| serde_json::Value::String(word.unwrap());
            let severity = serde_json::from_value(json(words.next())).unwrap();
            let effect = serde_json::from_value(json(words.next())).unwrap();
            let words: Vec<String> = words.collect();
            assert!(words.iter().all(|word| WORDS.contains(&word.as_str())), "line {}: {words:?}", at + 1);
            assert!(!words.contains(&"norun".to_owned()) || !reason.is_empty(), "line {}: why not?", at + 1);
            cases.push(Case { severity, effect, words, text: String::new(), line: at + 1 });
        } else if let Some(case) = cases.last_mut() {
            case.text.push_str(line);
            case.text.push('\n');
        }
    }
    for case in &mut cases {
        case.text.truncate(case.text.trim_end().len());
    }
    cases
}
