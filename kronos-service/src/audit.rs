//! The audit log: who did what, in lines of JSON that are chained by hash.
//!
//! ```
//! use std::sync::Arc;
//! use kronos_core::SystemClock;
//! use kronos_service::audit::{Action, AuditLog, Deed, Outcome, Who, verify_audit};
//!
//! # let place = tempfile::tempdir().unwrap();
//! # let state = place.path();
//! // The program knows who runs it; the library does not ask.
//! let who = Who { user: Some("alice".into()), host: Some("db1".into()), pid: std::process::id() };
//! let log = AuditLog::new(state, who, Arc::new(SystemClock));
//! log.append(&Deed::new(Action::Restore, "shop", Outcome::Started).with("target", "postgres://db2/shop"))?;
//!
//! let report = verify_audit(state, &[])?;
//! assert!(report.problems.is_empty());
//! assert_eq!(report.entries, 1);
//! # Ok::<(), kronos_core::Error>(())
//! ```

mod deed;
mod entry;
mod files;
mod follow;
mod tail;
mod verify;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kronos_core::{Clock, Digest, Id, Result, Timestamp};
use serde::Serialize;

pub(crate) use deed::name_of;
pub use deed::{Action, Deed, Outcome};
pub use entry::{Entry, Mark, Who};
use files::{Files, Head};
use tail::Tail;
pub use verify::{AuditReport, Finding, verify_audit};

/// A file of this many bytes is put aside, and a new one begun.
const ROTATE_AT: u64 = 16 << 20;

/// Appends to the audit log of one directory. Any number of processes may do so at a time.
#[derive(Debug, Clone)]
pub struct AuditLog {
    files: Files,
    who: Who,
    clock: Arc<dyn Clock>,
    rotate_at: u64,
}

/// An [`Entry`] before its hash is known. The fields have the order of the line.
#[derive(Serialize)]
struct Body<'a> {
    seq: u64,
    time: Timestamp,
    who: &'a Who,
    action: String,
    subject: &'a str,
    run: Option<Id>,
    outcome: String,
    details: &'a BTreeMap<String, String>,
    prev: Digest,
}

impl AuditLog {
    /// The log in a directory, which is made when the first entry is written.
    pub fn new(directory: &Path, who: Who, clock: Arc<dyn Clock>) -> Self {
        Self { files: Files::new(directory), who, clock, rotate_at: ROTATE_AT }
    }

    /// The same log, put aside when a file has so many bytes (else 16 MiB). Older files are never
    /// removed.
    #[must_use]
    pub fn rotated_at(mut self, bytes: u64) -> Self {
        self.rotate_at = bytes;
        self
    }

    /// Writes an entry, durably; tells its place. Waits for others that write, and for the disk:
    /// call it where blocking is allowed.
    ///
    /// What a crash left, and what it meets of damage at the end, it notes first, by entries of its
    /// own; it changes nothing that is there. So a deed is recorded even if the log was tampered
    /// with, and [`verify_audit`] finds that still.
    pub fn append(&self, deed: &Deed) -> Result<Mark> {
        let lock = self.files.lock()?;
        let Tail { mut last, mut older, length, open, notes } = Tail::find(&self.files)?;
        // A file that needs a note gets it where it happened.
        if length >= self.rotate_at && notes.is_empty() {
            self.files.rotate(last.seq)?;
            older = last.seq;
        }
        let mut lines = if open { "\n".to_owned() } else { String::new() };
        for deed in notes.iter().chain([deed]) {
            let (line, mark) = self.line(deed, last)?;
            lines.push_str(&line);
            last = mark;
        }
        let length = self.files.append(lines.as_bytes())?;
        self.files.write_head(&Head { seq: last.seq, entry: last.hash, older, length })?;
        drop(lock);
        Ok(last)
    }

    fn line(&self, deed: &Deed, last: Mark) -> Result<(String, Mark)> {
        let body = Body {
            seq: last.seq + 1,
            time: self.clock.now(),
            who: &self.who,
            action: name_of(deed.action),
            subject: &deed.subject,
            run: deed.run,
            outcome: name_of(deed.outcome),
            details: &deed.details,
            prev: last.hash,
        };
        let (line, hash) = entry::sealed(&body)?;
        Ok((line, Mark { seq: body.seq, hash }))
    }
}
