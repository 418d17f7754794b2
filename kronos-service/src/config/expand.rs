//! Puts variables into every text: `${NAME}`, `${NAME:-default}`; `$${` stands for `${`.

use super::Environment;
use super::problems::Context;
use super::tree::{Node, Spelling, Value, path};

/// Expands all texts of a tree. A problem names the variable, its key and its line.
pub(super) fn expand(context: &Context<'_>, node: &mut Node, key: &str, environment: Environment<'_>) {
    let at = node.at;
    match &mut node.value {
        Value::Text { text, spelling: spelling @ Spelling::Plain } if text.contains("${") => {
            match replaced(text, environment) {
                Ok(whole) => *spelling = Spelling::Expanded(std::mem::replace(text, whole)),
                Err(Problem::Unset(name)) => {
                    let error = context.wrong("this variable is not set and has no default", key, at);
                    context.tell_unfinished(key, error.with("variable", name));
                }
                Err(Problem::Unclosed) => context.tell_unfinished(key, context.wrong("a ${ is never closed", key, at)),
                Err(Problem::BadName(name)) => {
                    context.tell_unfinished(
                        key,
                        context.wrong("not the name of a variable", key, at).with("variable", name),
                    );
                }
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| expand(context, item, key, environment)),
        Value::Table(entries) => {
            for entry in entries {
                expand(context, &mut entry.node, &path(key, &entry.name), environment);
            }
        }
        _ => {}
    }
}

#[derive(Debug)]
enum Problem {
    Unset(String),
    Unclosed,
    BadName(String),
}

fn replaced(text: &str, environment: Environment<'_>) -> Result<String, Problem> {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        let after = &rest[start + 2..];
        if let Some(escaped) = before.strip_suffix('$') {
            whole.push_str(escaped);
            whole.push_str("${");
            rest = after;
            continue;
        }
        let end = after.find('}').ok_or(Problem::Unclosed)?;
        let (name, default) = match after[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&after[..end], None),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Problem::BadName(name.to_owned()));
        }
        // As in a shell, the default stands in for an empty value as well.
        let value = environment(name).filter(|value| default.is_none() || !value.is_empty());
        let value = value.or_else(|| default.map(str::to_owned)).ok_or_else(|| Problem::Unset(name.to_owned()))?;
        whole.push_str(before);
        whole.push_str(&value);
        rest = &after[end + 1..];
    }
    whole.push_str(rest);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_defaults_and_escapes() {
        let environment = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let replaced = |text| replaced(text, &environment);
        assert_eq!(replaced("x${A}y${B:-2}${EMPTY}${EMPTY:-e}").unwrap(), "x1y2e");
        assert_eq!(replaced("$${A} $5 ${A}").unwrap(), "${A} $5 1");
        assert_eq!(replaced("${B:-}").unwrap(), "");
        assert!(matches!(replaced("${B}"), Err(Problem::Unset(name)) if name == "B"));
        assert!(matches!(replaced("${A"), Err(Problem::Unclosed)));
        assert!(matches!(replaced("${A B}"), Err(Problem::BadName(_))));
    }
}
