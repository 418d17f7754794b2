//! What moves when new collections take the place of old ones, as the journal keeps it.

use kronos_core::Result;
use mongodb::bson::{Document, doc};

use super::super::catalog::Entry;
use super::super::error::corrupt;
use super::super::plan::Form;

/// One thing that moves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) what: What,
    pub(super) number: usize,
    pub(super) entry: Entry,
    pub(super) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A collection that was there.
    Old,
    OldView,
    /// A time series that was there.
    OldSeries,
    New,
    /// One whose name a time series has.
    NewLate,
    NewCopy,
    NewView,
}

impl What {
    const NAMES: [(&str, Self); 7] = [
        ("old", Self::Old),
        ("old-view", Self::OldView),
        ("old-series", Self::OldSeries),
        ("new", Self::New),
        ("new-late", Self::NewLate),
        ("new-copy", Self::NewCopy),
        ("new-view", Self::NewView),
    ];
}

impl Step {
    pub(super) fn document(&self) -> Document {
        let name = What::NAMES.iter().find(|(_, what)| *what == self.what).map_or("old", |(name, _)| name);
        let form = match self.form {
            Form::Documents => "documents",
            Form::Buckets => "buckets",
            Form::Measurements => "measurements",
        };
        let number = i64::try_from(self.number).unwrap_or(i64::MAX);
        let mut step = doc! { "what": name, "number": number, "form": form };
        step.extend(self.entry.description());
        step
    }

    pub(super) fn of(document: &Document) -> Result<Self> {
        let strange = || corrupt("a journal that a restore has left cannot be read");
        let text = |key: &str| document.get_str(key).map_err(|_| strange());
        let what = text("what")?;
        let what = What::NAMES.iter().find(|(name, _)| *name == what).map(|(_, what)| *what).ok_or_else(strange)?;
        let form = match text("form")? {
            "documents" => Form::Documents,
            "buckets" => Form::Buckets,
            "measurements" => Form::Measurements,
            _ => return Err(strange()),
        };
        let number = document.get_i64("number").ok().and_then(|n| usize::try_from(n).ok()).ok_or_else(strange)?;
        let entry = Entry::of(document).ok_or_else(strange)?;
        Ok(Self { what, number, entry, form })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_survives_the_journal() {
        for (n, (_, what)) in What::NAMES.iter().enumerate() {
            let entry = Entry {
                name: "a".into(),
                options: doc! { "capped": true },
                indexes: vec![doc! { "name": "_id_", "key": { "_id": 1 } }],
                uuid: Some([7; 16]),
            };
            let step = Step { what: *what, number: n, entry, form: Form::Buckets };
            assert_eq!(Step::of(&step.document()).unwrap(), step);
        }
        assert!(Step::of(&doc! { "what": "other" }).is_err());
    }
}
