//! The pipeline: cut, id, gather, compress, seal, upload – and its inverse.

mod cache;
mod common;
mod cut;
mod destination;
mod fetch;
mod fold;
mod intake;
mod known;
mod ledger;
mod meta;
mod packing;
mod playback;
mod rewrite;
mod streams;
mod upload;
mod window;

#[cfg(feature = "testing")]
pub(crate) use cut::Cutter;
pub(crate) use fetch::{ChunkAt, Fetcher};
pub(crate) use fold::{Fold, Visitor};
pub(crate) use intake::{ChunkPlace, Each, Intake, Offer, OpenPlace, Stored};
pub(crate) use meta::LARGEST_META_PACK;
#[cfg(feature = "testing")]
pub(crate) use meta::{MetaWriter, keyed_id};
pub(crate) use rewrite::{Relocation, Rewriter};
