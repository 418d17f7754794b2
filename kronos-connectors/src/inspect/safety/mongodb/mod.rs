//! A command of MongoDB, as a document in extended JSON, judged by its first key.
//!
//! The server takes the first key as the command, and so does this; its arguments are searched for
//! stages that write and for JavaScript, wherever they lie.

mod commands;
mod search;

use kronos_core::inspect::{Effect, Severity};
use mongodb::bson::{Bson, Document};

use self::commands::Does;
use super::found::{Found, shown};
use super::tokens::LONGEST;
use super::{Kind, Statement, not_understood};

pub(super) fn read(text: &str) -> Statement {
    if text.len() > LONGEST {
        return not_understood(text, "it is too long");
    }
    if let Some(doubt) = search::doubt_of_text(text) {
        return not_understood(text, doubt);
    }
    let command: Document = match serde_json::from_str(text) {
        Ok(command) => command,
        // What the parser met may be a secret; where it was says enough.
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return not_understood(text, &format!("no extended JSON at line {line}, column {column}"));
        }
    };
    let mut found = Found::default();
    let kind = judge(&command, &mut found, true);
    Statement {
        verdict: found.verdict(1),
        body: text.trim().to_owned(),
        limitable: false,
        kind,
        controls_transaction: controls_transaction(&command),
    }
}

fn controls_transaction(command: &Document) -> bool {
    let name = command.keys().next().map(String::as_str);
    matches!(name, Some("commitTransaction" | "abortTransaction" | "prepareTransaction"))
        || ["startTransaction", "autocommit", "txnNumber"].iter().any(|key| command.contains_key(key))
}

/// Adds what a command does. `runs` is false for one that is only explained.
fn judge(command: &Document, found: &mut Found, runs: bool) -> Kind {
    let Some((name, value)) = command.iter().next() else {
        found.not_understood("there is no command in it");
        return Kind::Other;
    };
    search::stages(command, found);
    if command.keys().any(|key| commands::is_hidden_writer(key)) {
        found.add(Severity::Critical, Effect::Writes, "it writes its result to a collection");
    }
    match commands::of(name) {
        Some(Does::Reads) => Kind::Query,
        Some(Does::Explains) => {
            match value {
                Bson::Document(inner) => {
                    if command.get("verbosity").and_then(Bson::as_str) == Some("queryPlanner") {
                        judge(inner, found, false);
                    } else {
                        judge(inner, found, runs);
                    }
                }
                _ => found.not_understood("what it explains is no command"),
            }
            Kind::Other
        }
        Some(Does::Inserts) => {
            if runs {
                found.add(
                    Severity::Low,
                    Effect::Writes,
                    format!("insert writes documents of {}", shown(&value.to_string())),
                );
            }
            Kind::Insert
        }
        Some(Does::Updates) => {
            each(command, "updates", "u", found, runs);
            Kind::Update
        }
        Some(Does::Deletes) => {
            each(command, "deletes", "limit", found, runs);
            Kind::Delete
        }
        Some(Does::FindsAndModifies) => {
            let removes = command.get("remove").is_some_and(|value| *value != Bson::Boolean(false));
            let word = if removes { "findAndModify removes" } else { "findAndModify changes" };
            // It is one document, whichever comes first.
            let severity = match command.get("query") {
                Some(Bson::Document(filter)) if search::restricts(filter) => Severity::Low,
                _ => Severity::Medium,
            };
            if runs {
                found.add(severity, Effect::Writes, format!("{word} a document"));
            }
            Kind::Other
        }
        Some(Does::Reduces) => {
            found.add(Severity::Medium, Effect::Unknown, "mapReduce runs JavaScript on the server");
            let is_inline =
                matches!(command.get("out"), Some(Bson::Document(out)) if out.len() == 1 && out.contains_key("inline"));
            if !is_inline {
                found.add(Severity::Critical, Effect::Writes, "mapReduce writes its result to a collection");
            }
            Kind::Other
        }
        Some(Does::Other(severity, effect, text)) => {
            found.add(severity, effect, text);
            Kind::Other
        }
        None => {
            found.not_understood(format!("the command {} is not known", shown(name)));
            Kind::Other
        }
    }
}

/// Judges each of several updates or deletes.
fn each(command: &Document, list: &str, word: &str, found: &mut Found, runs: bool) {
    let Some(Bson::Array(items)) = command.get(list) else {
        found.not_understood(format!("{list} is no list"));
        return;
    };
    if !runs {
        return;
    }
    found.effect(Effect::Writes);
    for item in items {
        let Bson::Document(item) = item else {
            found.not_understood(format!("something in {list} is no document"));
            continue;
        };
        let restricts = matches!(item.get("q"), Some(Bson::Document(filter)) if search::restricts(filter));
        let is_one = if word == "limit" {
            item.get("limit").and_then(search::number) == Some(1.0)
        } else {
            matches!(item.get("multi"), None | Some(Bson::Boolean(false)))
        };
        match (restricts, is_one) {
            (true, _) => found.add(Severity::Low, Effect::Writes, format!("{list} with a filter")),
            (false, true) => {
                found.add(Severity::Medium, Effect::Writes, format!("{list} without a filter, of one document"));
            }
            (false, false) => {
                found.add(
                    Severity::High,
                    Effect::Writes,
                    format!("{list} without a filter that restricts, of every document"),
                );
            }
        }
    }
}
