//! What a file looks like from outside, and whether that proves that it has not changed.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use kronos_core::{Previous, Result, StreamInfo, Timestamp};

use super::error;
use super::open::side_file;

/// File systems keep times coarsely: a file may change twice within this and show one time.
const GRANULARITY: Duration = Duration::from_secs(2);

/// The attributes that the proof rests on. They are recorded only when all of them are known.
const STAT: &str = "stat";
const HEADER: &str = "header";

/// One look at a file and at those beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// Device, inode, size, mtime, ctime.
    stat: String,
    /// The later of mtime and ctime.
    touched: Timestamp,
    /// No log and no journal holds changes that the file does not show.
    settled: bool,
}

impl Look {
    /// Looks without opening anything.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let found = fs::metadata(path).map_err(|e| error::io(e, path))?;
        let log_is_empty = fs::metadata(side_file(path, "-wal")).map_or(true, |log| log.size() == 0);
        let journal = fs::symlink_metadata(side_file(path, "-journal")).is_ok();
        Ok(Self { stat: stat(&found), touched: touched(&found), settled: log_is_empty && !journal })
    }

    /// Records what was seen, if it was the same before and after the snapshot was taken and shows
    /// the whole state; else nothing, and the next backup reads the file.
    pub(super) fn record(before: &Self, after: &Self, header: Option<&[u8]>, info: &mut StreamInfo) {
        if let (true, true, Some(header)) = (before == after, after.settled, header) {
            info.attributes.insert(STAT.to_owned(), after.stat.clone());
            info.attributes
                .insert(HEADER.to_owned(), header.iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}")));
        }
    }

    /// Whether the stream is proven to equal that of the previous backup. Any doubt means no.
    pub(super) fn proves_unchanged(
        &self,
        info: &StreamInfo,
        previous: &Previous,
        now: Timestamp,
        trust: Duration,
    ) -> bool {
        let Some(then) = previous.streams.get(&info.name) else { return false };
        let recorded = info.attributes.contains_key(STAT) && info.attributes.contains_key(HEADER);
        let old_enough = self.touched <= previous.started.minus(GRANULARITY);
        let trusted = previous.read_in_full <= now && now.since(previous.read_in_full) < trust;
        recorded
            && old_enough
            && trusted
            && info.attributes == then.info.attributes
            && info.size_hint == Some(then.end.length)
    }
}

fn stat(found: &Metadata) -> String {
    format!(
        "{}:{}:{}:{}.{:09}:{}.{:09}",
        found.dev(),
        found.ino(),
        found.size(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec()
    )
}

fn touched(found: &Metadata) -> Timestamp {
    let micros = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000).saturating_add(nanos / 1000);
    Timestamp::from_micros(micros(found.mtime(), found.mtime_nsec()).max(micros(found.ctime(), found.ctime_nsec())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kronos_core::{Digest, PreviousStream, StreamEnd};

    const DAY: i64 = 24 * 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn look(stat: &str, touched: i64) -> Look {
        Look { stat: stat.to_owned(), touched: at(touched), settled: true }
    }

    fn info(look: &Look, header: &[u8]) -> StreamInfo {
        let mut info = StreamInfo::new("a.db");
        info.size_hint = Some(4096);
        Look::record(look, look, Some(header), &mut info);
        info
    }

    fn previous(info: StreamInfo, started: i64, read_in_full: i64) -> Previous {
        let end = StreamEnd { length: 4096, digest: Digest::of(b""), rows: None };
        let streams = [("a.db".to_owned(), PreviousStream { info, end })].into();
        Previous { started: at(started), read_in_full: at(read_in_full), streams }
    }

    #[test]
    fn only_an_old_equal_and_recently_read_file_is_unchanged() {
        let week = Duration::from_hours(7 * 24);
        let seen = look("1:2", 100);
        let then = info(&seen, b"h");
        let proves = |look: &Look, info: &StreamInfo, started, read, now| {
            look.proves_unchanged(info, &previous(then.clone(), started, read), at(now), week)
        };
        assert!(proves(&seen, &then, 102, 102, 200));
        assert!(!proves(&look("1:3", 100), &info(&look("1:3", 100), b"h"), 102, 102, 200), "another inode");
        assert!(!proves(&seen, &info(&seen, b"i"), 102, 102, 200), "another header");
        assert!(!proves(&seen, &then, 101, 102, 200), "touched while the previous backup began");
        assert!(!proves(&seen, &then, 102, 102, 102 + 7 * DAY), "last read a week ago");
        assert!(!proves(&seen, &then, 102, 300, 200), "read in the future");
        let mut longer = then.clone();
        longer.size_hint = Some(8192);
        assert!(!proves(&seen, &longer, 102, 102, 200), "another length");
    }

    #[test]
    fn what_moved_or_was_not_settled_is_not_recorded() {
        let mut info = StreamInfo::new("a.db");
        Look::record(&look("1", 1), &look("2", 1), Some(b"h"), &mut info);
        let unsettled = Look { settled: false, ..look("1", 1) };
        Look::record(&unsettled, &unsettled, Some(b"h"), &mut info);
        Look::record(&look("1", 1), &look("1", 1), None, &mut info);
        assert!(info.attributes.is_empty());
        // And nothing recorded proves nothing, even if the previous backup recorded nothing either.
        assert!(!look("1", 1).proves_unchanged(&info, &previous(info.clone(), 50, 50), at(60), Duration::MAX));
    }
}
