//! The pipeline: cut, id, gather, compress, seal, upload – and its inverse.

mod cache;
mod cut;
mod fetch;
mod intake;
mod known;
mod ledger;
mod meta;
mod upload;

#[cfg(feature = "testing")]
pub(crate) use cut::Cutter;
pub(crate) use fetch::Fetcher;
pub(crate) use intake::{Intake, Offer, Stored};
