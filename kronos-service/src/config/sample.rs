//! The sample: every key there is, with what it is for; what is not in use stands as a comment.

use std::fmt::Write;

use super::literal;
use super::schema::{Key, Kind, Table};
use super::{Format, TOP, toml};

/// The longest line of a comment.
const WIDTH: usize = 100;
/// The names of the sections whose names users choose.
const NAMES: [(&str, &str); 4] = [("databases", "app"), ("storages", "main"), ("jobs", "app"), ("notify", "ops")];

const HEAD: &str = "The configuration of Kronos, with every key there is. What stands as a comment is not in use: \
                    its value is an example, or what holds without it. `kronos validate` checks this file.";
const VALUES: &str = "Times are written as 30s, 15m, 48h, 7d, 2w; sizes as 256MiB, 50MB; speeds as 50MB/s. \
                      ${NAME} and ${NAME:-default} put variables into any text. A secret can also come from a \
                      variable, a file, a program or the key store of the system: password_env, password_file, \
                      password_command, password_keyring instead of password, and so for every secret.";

/// A commented sample of a configuration. It is valid as it is, and backs up a SQLite file into a
/// directory once the paths are right.
pub fn sample(format: Format) -> String {
    Sample { format, whole: false, text: String::new() }.make()
}

/// The same with every key in use. It makes no sense as a whole, but each value is of its key's kind.
#[cfg(test)]
pub(super) fn everything(format: Format) -> String {
    Sample { format, whole: true, text: String::new() }.make()
}

struct Sample {
    format: Format,
    whole: bool,
    text: String,
}

impl Sample {
    fn make(mut self) -> String {
        self.comment("", HEAD);
        self.text.push_str("#\n");
        self.comment("", VALUES);
        for key in TOP.keys {
            self.text.push('\n');
            self.comment("", key.doc);
            match key.kind {
                Kind::Named(table) => {
                    let name = NAMES.iter().find(|(section, _)| *section == key.name).map_or("name", |(_, name)| name);
                    let mark = if self.is_used(table) { "" } else { "#" };
                    if self.format == Format::Yaml {
                        let _ = writeln!(self.text, "{mark}{}:", key.name);
                    }
                    self.section(&[key.name, name], table, mark);
                }
                Kind::Table(table) => {
                    let mark = if self.is_used(table) { "" } else { "#" };
                    self.section(&[key.name], table, mark);
                }
                _ => self.key("", "", key),
            }
        }
        self.text
    }

    /// A table; what is put before its lines makes all of it a comment.
    fn section(&mut self, names: &[&str], table: &'static Table, mark: &str) {
        let (head, indent) = match self.format {
            Format::Toml => (format!("[{}]", names.join(".")), String::new()),
            Format::Yaml => {
                let deep = "  ".repeat(names.len() - 1);
                (format!("{deep}{}:", names[names.len() - 1]), format!("{deep}  "))
            }
        };
        let _ = writeln!(self.text, "{mark}{head}");
        let is_section = |key: &&Key| section_of(&key.kind).is_some();
        for key in table.keys.iter().filter(|key| !is_section(key) && !matches!(key.kind, Kind::Later)) {
            self.key(&indent, mark, key);
        }
        for key in table.keys.iter().filter(is_section) {
            let Some(inner) = section_of(&key.kind) else { continue };
            let mark = if self.is_used(inner) { mark } else { "#" };
            if self.format == Format::Toml {
                self.text.push('\n');
            }
            self.comment_below(&indent, mark, key);
            self.section(&[names, &[key.name]].concat(), inner, mark);
        }
    }

    fn key(&mut self, indent: &str, mark: &str, key: &Key) {
        let example = key.default.filter(|_| key.example.is_empty()).unwrap_or(key.example);
        let Some(value) = toml::value(example) else { return };
        self.comment_below(indent, mark, key);
        let ending = match (&key.kind, example.starts_with("\"/")) {
            (Kind::Secret, true) => "_file",
            (Kind::Secret, false) => "_env",
            _ => "",
        };
        let name = literal::name(&format!("{}{ending}", key.name), self.format);
        let line = format!("{name}{}{}", literal::assign(self.format), literal::value(&value, self.format));
        let off = if key.in_use || self.whole || !mark.is_empty() { "" } else { "#" };
        let _ = writeln!(self.text, "{mark}{indent}{off}{line}");
    }

    /// What a key is for, and what holds without it.
    fn comment_below(&mut self, indent: &str, mark: &str, key: &Key) {
        let otherwise = match key.default {
            Some(_) if key.example.is_empty() => String::new(),
            Some(value) => format!(" Default: {}.", value.trim_matches('"')),
            None if key.otherwise.is_empty() => String::new(),
            None => format!(" Default: {}.", key.otherwise),
        };
        // In YAML a comment within a comment goes away with it.
        let before =
            if mark.is_empty() || self.format == Format::Toml { indent.to_owned() } else { format!("#{indent}") };
        self.comment(&before, &format!("{}{otherwise}", key.doc));
    }

    fn comment(&mut self, before: &str, text: &str) {
        let mut line = String::new();
        for word in text.replace('`', "").split_whitespace() {
            if !line.is_empty() && before.len() + line.len() + word.len() + 3 > WIDTH {
                let _ = writeln!(self.text, "{before}# {line}");
                line.clear();
            }
            line.extend([if line.is_empty() { "" } else { " " }, word]);
        }
        let _ = writeln!(self.text, "{before}# {line}");
    }

    fn is_used(&self, table: &'static Table) -> bool {
        let used = |key: &Key| key.in_use || section_of(&key.kind).is_some_and(|inner| self.is_used(inner));
        self.whole || table.keys.iter().any(used)
    }
}

/// The table that is a section of its own.
fn section_of(kind: &Kind) -> Option<&'static Table> {
    match kind {
        Kind::Table(table) | Kind::ChoiceOr(_, table) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, check, origin, problems};

    /// Line by line, without places.
    fn tree(text: &str, format: Format) -> String {
        literal::value(&format.read(text).expect(text).value, Format::Toml)
    }

    #[test]
    fn the_sample_is_valid_and_the_same_in_both_languages() {
        let read = |format| Config::parse(&sample(format), format, &|_| None).unwrap();
        let config = read(Format::Toml);
        assert_eq!(config, read(Format::Yaml));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        assert!(config.jobs["app"].schedule.is_some() && config.jobs["app"].keep.is_some());
        for text in [sample(Format::Toml), sample(Format::Yaml)] {
            assert!(text.lines().all(|line| line.len() <= 140 && !line.ends_with(' ')), "{text}");
        }
    }

    #[test]
    fn every_example_is_of_its_kind() {
        for format in [Format::Toml, Format::Yaml] {
            let text = everything(format);
            let tree = format.read(&text).expect(&text);
            let layers = [origin::Layer { kind: origin::LayerKind::Project, place: origin::Place::Text }];
            let context = problems::Context::new(&layers);
            check::table(&context, "", &tree, &TOP);
            context.finish().expect(&text);
            each(&TOP, &text);
        }
        assert_eq!(
            tree(&everything(Format::Toml), Format::Toml).len(),
            tree(&everything(Format::Yaml), Format::Yaml).len()
        );
    }

    /// Every key of the description is in the sample.
    fn each(table: &Table, text: &str) {
        for key in table.keys.iter().filter(|key| !matches!(key.kind, Kind::Later)) {
            let is_there = key.names().any(|name| text.contains(&literal::name(&name, Format::Toml)));
            assert!(is_there, "{} is not in\n{text}", key.name);
            assert!(!key.doc.is_empty() && key.doc.ends_with('.'), "{}", key.name);
            match key.kind {
                Kind::Named(inner) | Kind::Table(inner) | Kind::ChoiceOr(_, inner) => each(inner, text),
                _ => {}
            }
        }
    }
}
