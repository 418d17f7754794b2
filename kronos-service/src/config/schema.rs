//! The keys there are: one description of each, from which files are checked, the sample is
//! printed, and the JSON Schema and the reference are made. None of them can know another key than
//! the others.

/// A table of the configuration.
#[derive(Debug)]
pub(super) struct Table {
    /// What it is for, in one or two sentences.
    pub(super) doc: &'static str,
    pub(super) keys: &'static [Key],
    /// Whether there may be further keys, which are for someone else to know.
    pub(super) open: bool,
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What it is for, in one or two sentences.
    pub(super) doc: &'static str,
    /// What holds when it is not written, as TOML.
    pub(super) default: Option<&'static str>,
    /// The same in words, where it is no value.
    pub(super) otherwise: &'static str,
    /// A value for the sample, as TOML.
    pub(super) example: &'static str,
    /// Whether the sample has it in use, or as a comment only.
    pub(super) in_use: bool,
    /// Whether what a table's keys say by default holds without the table.
    pub(super) always: bool,
}

/// What may stand at a key.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Flag,
    Integer {
        least: i64,
        most: i64,
    },
    /// `7d`, `1h30m`.
    Duration,
    /// `256MiB`.
    Size,
    /// `50MB/s`.
    Rate,
    /// A text, a number or yes or no, which is passed on as a text.
    Setting,
    /// One of some names.
    Choice(&'static [&'static str]),
    /// A list of texts; a single text is a list of one.
    Texts,
    /// A list of some names.
    Choices(&'static [&'static str]),
    /// A program and its arguments; a single text is a line.
    Command,
    /// The secret itself, or with `_env`, `_file`, `_command` or `_keyring` behind its name where it
    /// comes from.
    Secret,
    /// A table with keys of its own.
    Table(&'static Table),
    /// The same, or the text of one of some names.
    ChoiceOr(&'static [&'static str], &'static Table),
    /// The same, or a command.
    CommandOr(&'static Table),
    /// A list of such tables.
    Tables(&'static Table),
    /// Tables under names that the user chooses.
    Named(&'static Table),
    /// Settings under names that the user chooses; they may be secrets.
    Settings {
        secret: bool,
    },
    /// What this version cannot do. Ignoring the key would let a user believe that it works.
    Later,
}

/// Where a secret may come from, as the ending of its key.
pub(super) const SECRET_ENDINGS: [&str; 5] = ["", "_env", "_file", "_command", "_keyring"];

impl Table {
    pub(super) const fn new(doc: &'static str, keys: &'static [Key]) -> Self {
        Self { doc, keys, open: false }
    }

    /// One with further keys, which are for someone else to know.
    pub(super) const fn open(doc: &'static str, keys: &'static [Key]) -> Self {
        Self { doc, keys, open: true }
    }

    /// The key of a name, and which ending it has if it is a secret's.
    pub(super) fn find(&self, name: &str) -> Option<(&'static Key, &'static str)> {
        self.keys.iter().find_map(|key| match key.kind {
            Kind::Secret => {
                let ending = name.strip_prefix(key.name)?;
                SECRET_ENDINGS.into_iter().find(|known| *known == ending).map(|ending| (key, ending))
            }
            _ => (key.name == name).then_some((key, "")),
        })
    }

    /// All names that a file may have here.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.keys.iter().filter(|key| !matches!(key.kind, Kind::Later)).flat_map(Key::names)
    }
}

impl Key {
    pub(super) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, doc, default: None, otherwise: "", example: "", in_use: false, always: false }
    }

    /// What holds when it is not written, as TOML.
    pub(super) const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// What holds when it is not written, in words.
    pub(super) const fn otherwise(mut self, words: &'static str) -> Self {
        self.otherwise = words;
        self
    }

    /// A value for the sample, where it stands as a comment.
    pub(super) const fn example(mut self, value: &'static str) -> Self {
        self.example = value;
        self
    }

    /// A value for the sample, where it is in use.
    pub(super) const fn used(mut self, value: &'static str) -> Self {
        self.example = value;
        self.in_use = true;
        self
    }

    /// What its keys say by default holds without it.
    pub(super) const fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// The names it has in a file: more than one if it is a secret.
    pub(super) fn names(&self) -> impl Iterator<Item = String> + use<> {
        let (name, endings) = (self.name, if matches!(self.kind, Kind::Secret) { 5 } else { 1 });
        SECRET_ENDINGS.into_iter().take(endings).map(move |ending| format!("{name}{ending}"))
    }
}

/// Checks that what the description says holds is what holds.
#[cfg(test)]
pub(super) fn assert_default(table: &Table, name: &str, wanted: std::time::Duration) {
    let (key, _) = table.find(name).expect(name);
    let text = key.default.and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    assert_eq!(text.and_then(super::units::duration), Some(wanted), "{name}");
}
