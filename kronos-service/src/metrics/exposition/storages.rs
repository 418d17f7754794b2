//! Metrics of storages.

use std::collections::BTreeMap;

use prometheus_client::encoding::DescriptorEncoder;

use super::super::figures::StorageState;
use super::family::{Family, histogram};
use super::{Written, seconds, truth};

pub(super) fn write(e: &mut DescriptorEncoder<'_>, storages: &BTreeMap<String, StorageState>) -> Written {
    let each = |value: fn(&StorageState) -> Option<f64>| {
        storages.iter().filter_map(move |(name, s)| Some(([("storage", name.as_str())], value(s)?)))
    };
    let total = |value: fn(&StorageState) -> u64| {
        storages.iter().map(move |(name, s)| ([("storage", name.as_str())], value(s)))
    };
    let help = "Whether a storage answered when it was last needed";
    Family::gauge("kronos_storage_up", help).all(e, each(|s| s.up.map(truth)))?;
    let help = "When a storage last did what a run wanted of it";
    Family::gauge("kronos_storage_last_success_timestamp_seconds", help)
        .all(e, each(|s| s.last_success.map(seconds)))?;
    let failures = storages.iter().flat_map(|(name, s)| {
        s.failures.iter().map(|(kind, count)| ([("storage", name.as_str()), ("kind", kind.as_str())], *count))
    });
    let help = "Runs in which a storage failed, by the kind of error";
    Family::counter("kronos_storage_failures", help).count(e, failures)?;
    for (name, help, value) in COUNTS {
        Family::counter(*name, help).count(e, total(*value))?;
    }
    let requests = || {
        storages.iter().flat_map(|(name, s)| {
            let labels = move |request: &'_ String| [("storage", name.clone()), ("request", request.clone())];
            s.requests.iter().map(move |(request, latency)| (labels(request), latency))
        })
    };
    let failed = requests().map(|(labels, latency)| (labels, latency.failed));
    Family::counter("kronos_storage_failed_requests", "Requests to a storage that failed").count(e, failed)?;
    histogram(e, "kronos_storage_request_duration_seconds", "How long requests to a storage took", requests())
}

type Count = (&'static str, &'static str, fn(&StorageState) -> u64);

const COUNTS: &[Count] = &[
    ("kronos_storage_dropped", "Runs in which a storage was too slow and has to catch up", |s| s.dropped),
    ("kronos_storage_caught_up_backups", "Backups of earlier runs that were copied to a storage", |s| s.caught_up),
    ("kronos_storage_forgotten_backups", "Backups that the rules of retention let go", |s| s.forgotten),
    ("kronos_storage_freed_bytes", "Bytes freed in a storage", |s| s.freed),
    ("kronos_storage_sent_bytes", "Bytes written to a storage", |s| s.sent),
    ("kronos_storage_received_bytes", "Bytes read from a storage", |s| s.received),
];
