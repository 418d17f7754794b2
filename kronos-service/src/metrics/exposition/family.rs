//! Series of one metric, written one after the other.

use std::borrow::Cow;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::super::latency::{BUCKETS, Latency};

/// One metric: its name with the unit at its end, and what it means, without a full stop.
#[derive(Debug)]
pub(super) struct Family<'a> {
    name: Cow<'a, str>,
    help: &'a str,
    kind: MetricType,
}

impl<'a> Family<'a> {
    pub(super) fn gauge(name: impl Into<Cow<'a, str>>, help: &'a str) -> Self {
        Self { name: name.into(), help, kind: MetricType::Gauge }
    }

    /// Its name is shown with `_total` at its end.
    pub(super) fn counter(name: impl Into<Cow<'a, str>>, help: &'a str) -> Self {
        Self { name: name.into(), help, kind: MetricType::Counter }
    }

    /// A gauge without labels.
    pub(super) fn plain(&self, e: &mut DescriptorEncoder<'_>, value: f64) -> std::fmt::Result {
        e.encode_descriptor(&self.name, self.help, None, self.kind)?.encode_gauge(&value)
    }

    /// A counter without labels.
    pub(super) fn plain_count(&self, e: &mut DescriptorEncoder<'_>, value: u64) -> std::fmt::Result {
        e.encode_descriptor(&self.name, self.help, None, self.kind)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    /// All series of a gauge; nothing at all when there is none.
    pub(super) fn all<L: EncodeLabelSet>(
        &self,
        e: &mut DescriptorEncoder<'_>,
        series: impl IntoIterator<Item = (L, f64)>,
    ) -> std::fmt::Result {
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return Ok(());
        }
        let mut family = e.encode_descriptor(&self.name, self.help, None, self.kind)?;
        series.try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }

    /// All series of a counter; nothing at all when there is none.
    pub(super) fn count<L: EncodeLabelSet>(
        &self,
        e: &mut DescriptorEncoder<'_>,
        series: impl IntoIterator<Item = (L, u64)>,
    ) -> std::fmt::Result {
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return Ok(());
        }
        let mut family = e.encode_descriptor(&self.name, self.help, None, self.kind)?;
        series.try_for_each(|(labels, value)| {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }
}

/// All series of a histogram.
pub(super) fn histogram<'a, L: EncodeLabelSet>(
    e: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (L, &'a Latency)>,
) -> std::fmt::Result {
    let mut series = series.into_iter().peekable();
    if series.peek().is_none() {
        return Ok(());
    }
    let mut family = e.encode_descriptor(name, help, None, MetricType::Histogram)?;
    series.try_for_each(|(labels, latency)| {
        let buckets: Vec<(f64, u64)> = BUCKETS.into_iter().zip(latency.counts).collect();
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(latency.sum, latency.count(), &buckets, None)
    })
}
