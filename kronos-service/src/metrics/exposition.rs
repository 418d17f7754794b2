//! The figures in the text formats of Prometheus.
//!
//! Each metric has its name, its meaning and its labels in the files beneath. Names end in their
//! unit, and points in time are told instead of ages, so that a figure stays true until the next.

mod family;
mod jobs;
mod storages;

use kronos_core::{Error, ErrorKind, Result, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text as open_metrics_text};
use prometheus_client::registry::Registry;

use super::figures::{Figures, Service};
use family::Family;

type Written = std::fmt::Result;

/// Prometheus' text format 0.0.4. `written` is when a textfile was written, if it is one.
pub(super) fn text(figures: Figures, written: Option<Timestamp>) -> Result<String> {
    let mut page = String::new();
    prometheus_text::encode(&mut page, &registry(figures, written)).map_err(broken)?;
    Ok(page)
}

/// `OpenMetrics` 1.0.
pub(super) fn open_metrics(figures: Figures) -> Result<String> {
    let mut page = String::new();
    open_metrics_text::encode(&mut page, &registry(figures, None)).map_err(broken)?;
    Ok(page)
}

fn broken(error: std::fmt::Error) -> Error {
    Error::new(ErrorKind::Internal, "the metrics could not be written as text").with_source(error)
}

fn registry(figures: Figures, written: Option<Timestamp>) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page { figures, written }));
    registry
}

#[derive(Debug)]
struct Page {
    figures: Figures,
    written: Option<Timestamp>,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Written {
        let encoder = &mut encoder;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let help = "Always 1; the label says which version it is";
        Family::gauge("kronos_build_info", help).all(encoder, [(version, 1.0)])?;
        if let Some(written) = self.written {
            let help = "When this textfile was written";
            Family::gauge("kronos_textfile_written_timestamp_seconds", help).plain(encoder, seconds(written))?;
        } else {
            // These are of a process that goes on running.
            service(encoder, &self.figures.service)?;
        }
        jobs::write(encoder, &self.figures.jobs)?;
        storages::write(encoder, &self.figures.storages)?;
        pools(encoder, &self.figures)
    }
}

fn service(e: &mut DescriptorEncoder<'_>, service: &Service) -> Written {
    let queue = &service.queue;
    let waiting = "Runs that are due and wait for a place";
    let oldest = "When the run was due that waits for the longest";
    let succeeded = "Whether the configuration could be read when it was last asked to be";
    let reloaded = "When the configuration was last read anew";
    for (name, help, value) in [
        ("kronos_started_timestamp_seconds", "When the process began", service.started.map(seconds)),
        ("kronos_runs_waiting", waiting, Some(queue.waiting as f64)),
        ("kronos_runs_running", "Runs at work", Some(queue.running as f64)),
        ("kronos_runs_oldest_due_timestamp_seconds", oldest, queue.oldest.map(seconds)),
        ("kronos_config_reload_succeeded", succeeded, service.reload_succeeded.map(truth)),
        ("kronos_config_reloaded_timestamp_seconds", reloaded, service.reloaded.map(seconds)),
    ] {
        if let Some(value) = value {
            Family::gauge(name, help).plain(e, value)?;
        }
    }
    let help = "Lines of the log that could not be written";
    Family::counter("kronos_log_lines_lost", help).plain_count(e, service.log_lines_lost)
}

fn pools(e: &mut DescriptorEncoder<'_>, figures: &Figures) -> Written {
    let pools: Vec<_> = figures.pools.iter().filter_map(|(name, pool)| Some((name.as_str(), (*pool)?))).collect();
    let states = pools.iter().flat_map(|(name, pool)| {
        [("active", pool.active), ("idle", pool.idle)]
            .map(|(state, count)| ([("database", *name), ("state", state)], f64::from(count)))
    });
    Family::gauge("kronos_pool_connections", "Connections of a pool").all(e, states)?;
    let max = pools.iter().map(|(name, pool)| ([("database", *name)], f64::from(pool.max)));
    Family::gauge("kronos_pool_max_connections", "The most connections that a pool may have").all(e, max)?;
    let waiting = pools.iter().map(|(name, pool)| ([("database", *name)], f64::from(pool.waiting)));
    Family::gauge("kronos_pool_waiting", "Callers that wait for a connection").all(e, waiting)
}

fn truth(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}

fn seconds(time: Timestamp) -> f64 {
    time.as_micros() as f64 / 1e6
}
