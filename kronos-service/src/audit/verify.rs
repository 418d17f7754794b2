//! Proves that an audit log is what was written, or names the lines that are not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kronos_core::{Digest, Result};
use serde::Serialize;

use super::entry::{Entry, Mark, parse};
use super::files::{Files, Found};
use super::tail::TORN;

/// Something about a log, at one of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; `None` when it is about the file as a whole.
    pub line: Option<u64>,
    /// One line of text.
    pub message: String,
}

/// What became of a log. Shown as `kronos.audit/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditReport {
    /// How many entries were read.
    pub entries: u64,
    /// How many files they are in.
    pub files: u64,
    /// The last entry: worth being kept elsewhere.
    pub last: Option<Mark>,
    /// What is not as it was written. Empty when all is well.
    pub problems: Vec<Finding>,
    /// What crashes left, and the log has noted itself.
    pub notes: Vec<Finding>,
}

/// Reads a whole log and checks every line, the order of the lines, and the end.
///
/// A change, a removal, an insertion, another order and a missing end are found, unless whoever did
/// it had the right to write there and worked out every hash anew, up to the head beside the log.
/// That can be seen only by a [`Mark`] that was kept elsewhere: each of `known` must be there.
pub fn verify_audit(directory: &Path, known: &[Mark]) -> Result<AuditReport> {
    let files = Files::new(directory);
    let lock = files.lock_shared()?;
    let mut reader = Reader::new(known);
    for (_, path) in files.all_older()? {
        reader.file(&path, &Files::read(&path)?);
    }
    let current = files.current();
    reader.file(&current, &Files::read(&current)?);
    let report = reader.finish(&current, files.head()?);
    drop(lock);
    Ok(report)
}

#[derive(Debug)]
struct Reader {
    report: AuditReport,
    last: Mark,
    /// Bytes that are no entries, and the lines they stand in; the next entry may explain them.
    odd: Vec<u8>,
    odd_lines: Vec<(PathBuf, u64)>,
    /// Marks to be met, and whether they were.
    known: BTreeMap<u64, (Digest, bool)>,
    /// The hash of each of the last entries, for the head may be behind.
    recent: Vec<Mark>,
}

impl Reader {
    fn new(known: &[Mark]) -> Self {
        let report = AuditReport { entries: 0, files: 0, last: None, problems: Vec::new(), notes: Vec::new() };
        Self {
            report,
            last: Mark::START,
            odd: Vec::new(),
            odd_lines: Vec::new(),
            known: known.iter().map(|mark| (mark.seq, (mark.hash, false))).collect(),
            recent: Vec::new(),
        }
    }

    fn file(&mut self, path: &Path, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.report.files += 1;
        for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            if let Some(entry) = line.strip_suffix(b"\n").and_then(parse) {
                self.entry(path, number, &entry);
            } else {
                self.odd.extend_from_slice(line);
                self.odd_lines.push((path.to_owned(), number));
            }
        }
    }

    fn entry(&mut self, path: &Path, line: u64, entry: &Entry) {
        let lost = self.settle_odd(Some(entry));
        let next = self.last.seq + 1;
        let message = if entry.seq == next {
            let before = "the entry before this one is not the one it was written after";
            (entry.prev != self.last.hash && lost == 0).then(|| before.to_owned())
        } else if self.last == Mark::START && lost == 0 {
            Some(format!("the log begins with entry {}: those before it are not here", entry.seq))
        } else if entry.seq > next {
            // Each line that could not be read was one of those that are missing.
            (entry.seq - next > lost)
                .then(|| format!("entries {next} to {} are missing before this line", entry.seq - 1))
        } else {
            Some(format!("entry {} stands behind entry {}", entry.seq, self.last.seq))
        };
        if let Some(message) = message {
            self.problem(path, Some(line), message);
        }
        if let Some((hash, met)) = self.known.get_mut(&entry.seq) {
            *met = *hash == entry.hash;
        }
        self.last = Mark { seq: entry.seq, hash: entry.hash };
        if self.recent.len() == 64 {
            self.recent.remove(0);
        }
        self.recent.push(self.last);
        self.report.entries += 1;
    }

    /// Bytes between entries are a note's, if it names exactly them; else somebody changed them.
    /// Tells how many lines nobody explained.
    fn settle_odd(&mut self, next: Option<&Entry>) -> u64 {
        let (odd, lines) = (std::mem::take(&mut self.odd), std::mem::take(&mut self.odd_lines));
        let Some((file, line)) = lines.first().cloned() else { return 0 };
        let noted = next.is_some_and(|entry| {
            let detail = |name: &str| entry.details.get(name).map(String::as_str);
            let torn = entry.action == "log" && detail("found") == Some(TORN);
            // The newline that closed a cut line was added after the note's digest was taken.
            let open = odd.strip_suffix(b"\n").unwrap_or(&odd);
            torn && [&odd[..], open].iter().any(|bytes| detail("digest") == Some(&Digest::of(bytes).to_string()))
        });
        if noted {
            let message = format!("{} bytes that a crash cut off, as the entry after them says", odd.len());
            self.report.notes.push(Finding { file, line: Some(line), message });
            return 0;
        }
        for (file, line) in &lines {
            self.problem(file, Some(*line), "this line is not an entry, or was changed".to_owned());
        }
        lines.len() as u64
    }

    fn finish(mut self, current: &Path, head: Found) -> AuditReport {
        let reached = |head: &super::files::Head| self.last.seq >= head.seq;
        match head {
            // What follows a whole log up to its head is what a crash cut off.
            Found::Head(head) if reached(&head) && !self.odd.is_empty() => {
                let message = "the last line is not whole: a crash cut it off, and the next entry will say so";
                let line = self.odd_lines.first().map(|(_, line)| *line);
                self.report.notes.push(Finding { file: current.to_owned(), line, message: message.to_owned() });
            }
            _ => _ = self.settle_odd(None),
        }
        match head {
            Found::Head(head) if self.last.seq < head.seq => {
                let message = format!("entries {} to {} are missing at the end", self.last.seq + 1, head.seq);
                self.problem(current, None, message);
            }
            Found::Head(head) if !self.recent.contains(&head.mark()) => {
                self.problem(current, None, format!("entry {} is not the one that the head knows", head.seq));
            }
            Found::Damaged => {
                self.problem(
                    current,
                    None,
                    "the head beside the log is damaged: a missing end could not be seen".into(),
                );
            }
            Found::Nothing if self.last.seq > 1 => {
                self.problem(
                    current,
                    None,
                    "the head beside the log is missing: a missing end could not be seen".into(),
                );
            }
            Found::Head(_) | Found::Nothing => {}
        }
        for (seq, (_, met)) in std::mem::take(&mut self.known) {
            if !met {
                self.problem(current, None, format!("entry {seq} is missing, or not the one that was known"));
            }
        }
        self.report.last = (self.last != Mark::START).then_some(self.last);
        self.report
    }

    fn problem(&mut self, file: &Path, line: Option<u64>, message: String) {
        self.report.problems.push(Finding { file: file.to_owned(), line, message });
    }
}
