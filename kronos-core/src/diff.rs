//! What changed between two backups of one job.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::list::load;
use crate::manifest::BackupInfo;
use crate::pipeline::Fetcher;
use crate::repository::Repository;
use crate::repository::index::StoredStream;
use crate::run::RunContext;

/// How a stream differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only in the second backup.
    Added,
    /// Only in the first backup.
    Removed,
    /// In both, with other content.
    Changed,
}

/// One stream that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamDiff {
    /// Its name.
    pub name: String,
    /// How it differs.
    pub change: Change,
    /// Bytes in the first backup.
    pub bytes_before: u64,
    /// Bytes in the second backup.
    pub bytes_after: u64,
    /// Rows in the first backup, where the engine has such.
    pub rows_before: Option<u64>,
    /// Rows in the second backup.
    pub rows_after: Option<u64>,
    /// Bytes of the second backup's chunks that the first has not.
    pub bytes_new: u64,
    /// Bytes of the first backup's chunks that the second has not.
    pub bytes_gone: u64,
}

/// What changed.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DiffReport {
    /// The first backup.
    pub before: BackupInfo,
    /// The second backup.
    pub after: BackupInfo,
    /// Streams that differ, by name.
    pub changed: Vec<StreamDiff>,
    /// The number of streams that are the same.
    pub unchanged: u64,
}

/// Compares two backups. They must be of one job, for only there chunks can be compared.
pub async fn diff(
    repository: &Repository,
    before: &BackupInfo,
    after: &BackupInfo,
    run: &RunContext,
) -> Result<DiffReport> {
    if before.job != after.job {
        return Err(Error::new(ErrorKind::Config, "only backups of one job can be compared")
            .with("first", &before.job)
            .with("second", &after.job));
    }
    let (job, _, one) = load(repository, before, run).await?;
    let (_, _, two) = load(repository, after, run).await?;
    let (one_fetcher, two_fetcher) = (Fetcher::of_root(&job, &one, run), Fetcher::of_root(&job, &two, run));
    let names: BTreeSet<&str> = one.streams.iter().chain(&two.streams).map(|s| s.info.name.as_str()).collect();
    let mut report = DiffReport { before: before.clone(), after: after.clone(), changed: Vec::new(), unchanged: 0 };
    for name in names {
        let (a, b) = (one.stream(name), two.stream(name));
        if let (Some(a), Some(b)) = (a, b)
            && (a.end.length, a.end.digest) == (b.end.length, b.end.digest)
        {
            report.unchanged += 1;
            continue;
        }
        let (chunks_a, chunks_b) = (chunks(&one_fetcher, a).await?, chunks(&two_fetcher, b).await?);
        let only = |x: &BTreeMap<Id, u64>, y: &BTreeMap<Id, u64>| {
            x.iter().filter(|(id, _)| !y.contains_key(*id)).map(|(_, bytes)| bytes).sum()
        };
        report.changed.push(StreamDiff {
            name: name.to_owned(),
            change: match (a, b) {
                (None, _) => Change::Added,
                (_, None) => Change::Removed,
                _ => Change::Changed,
            },
            bytes_before: a.map_or(0, |s| s.end.length),
            bytes_after: b.map_or(0, |s| s.end.length),
            rows_before: a.and_then(|s| s.end.rows),
            rows_after: b.and_then(|s| s.end.rows),
            bytes_new: only(&chunks_b, &chunks_a),
            bytes_gone: only(&chunks_a, &chunks_b),
        });
    }
    Ok(report)
}

/// The chunks of a stream by id, with their length.
async fn chunks(fetcher: &std::sync::Arc<Fetcher>, stream: Option<&StoredStream>) -> Result<BTreeMap<Id, u64>> {
    let mut all = BTreeMap::new();
    let Some(stream) = stream else { return Ok(all) };
    let mut leaves = std::pin::pin!(fetcher.leaves(&stream.top));
    while let Some(leaf) = leaves.next().await {
        all.extend(fetcher.chunks(&leaf?.spans).await?.into_iter().map(|c| (c.id, u64::from(c.length))));
    }
    Ok(all)
}
