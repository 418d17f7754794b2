//! Where the chain goes on, and what has to be noted before it does.

use kronos_core::{Digest, Result};

use super::deed::{Action, Deed, Outcome};
use super::entry::{Mark, parse};
use super::files::{Files, Found};

/// What the details of a note call a line that a crash cut off.
pub(super) const TORN: &str = "torn";

/// The end of the log, as the next writer finds it.
#[derive(Debug)]
pub(super) struct Tail {
    /// The entry on which the next one follows.
    pub(super) last: Mark,
    /// The newest of the older files.
    pub(super) older: u64,
    /// The length of the current file.
    pub(super) length: u64,
    /// The current file does not end with a newline.
    pub(super) open: bool,
    /// What has to be written down first.
    pub(super) notes: Vec<Deed>,
}

impl Tail {
    pub(super) fn find(files: &Files) -> Result<Self> {
        let older = files.all_older()?.pop();
        let bytes = Files::read(&files.current())?;
        let found = files.head()?;
        let mut notes = Vec::new();
        let number = older.as_ref().map_or(0, |(number, _)| *number);
        let (mut last, mut at) = match found {
            Found::Head(head) if head.older == number => {
                let length = usize::try_from(head.length).unwrap_or(usize::MAX);
                if bytes.len() < length {
                    notes.push(note("shortened").with("last", head.seq));
                }
                (head.mark(), length.min(bytes.len()))
            }
            // A crash came between putting the file aside and the first entry of the new one.
            Found::Head(head) if head.seq == number => (head.mark(), 0),
            other => {
                let old = older.as_ref().map(|(_, path)| Files::read(path)).transpose()?.unwrap_or_default();
                let (mut mark, mut at) = (last_of(&old).map_or(Mark::START, |(mark, _)| mark), 0);
                if let Some((newer, end)) = last_of(&bytes) {
                    (mark, at) = (newer, end);
                }
                if let Found::Head(head) = other {
                    // Files were removed or renamed. The head knows of more than they show.
                    notes.push(note("files changed").with("last", head.seq));
                    if head.seq > mark.seq {
                        mark = head.mark();
                    }
                } else if mark.seq > 1 || other == Found::Damaged {
                    notes.push(note("head missing or damaged"));
                }
                (mark, at)
            }
        };
        // Whole entries after the head: a crash came before it was written.
        while let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n') {
            match parse(&bytes[at..at + end]) {
                Some(entry) if entry.seq == last.seq + 1 && entry.prev == last.hash => {
                    last = Mark { seq: entry.seq, hash: entry.hash };
                    at += end + 1;
                }
                _ => break,
            }
        }
        let open = bytes.last().is_some_and(|byte| *byte != b'\n');
        let torn = &bytes[at..];
        if !torn.is_empty() {
            notes.insert(0, note(TORN).with("bytes", torn.len()).with("digest", Digest::of(torn)));
        }
        Ok(Self { last, older: number, length: bytes.len() as u64, open, notes })
    }
}

fn note(what: &str) -> Deed {
    Deed::new(Action::Log, "audit log", Outcome::Warnings).with("found", what)
}

/// The last whole entry of a file, and where it ends.
fn last_of(bytes: &[u8]) -> Option<(Mark, usize)> {
    let mut end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    loop {
        let start = bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
        if let Some(entry) = parse(&bytes[start..end]) {
            return Some((Mark { seq: entry.seq, hash: entry.hash }, end + 1));
        }
        end = start.checked_sub(1)?;
    }
}
