//! Storages in a cloud: what the three have in common.

#[cfg(feature = "azure")]
mod azure;
mod crowd;
mod failure;
#[cfg(feature = "gcs")]
mod gcs;
mod http;
mod http_options;
mod place;
#[cfg(feature = "aws-profiles")]
mod profile;
#[cfg(feature = "s3")]
mod s3;
mod tls;
pub(crate) mod unfinished;

use kronos_core::Result;

#[cfg(feature = "azure")]
pub(crate) use azure::open as open_azure;
pub(crate) use failure::{Failure, chain};
#[cfg(feature = "gcs")]
pub(crate) use gcs::open as open_gcs;
pub(crate) use http::{Http, Receiving};
#[cfg(feature = "aws-profiles")]
pub(crate) use profile::{Profile, Session};
#[cfg(feature = "s3")]
pub(crate) use s3::open as open_s3;

use crate::options::Options;

/// A profile of the cloud's own files: nothing that this build knows.
#[cfg(all(feature = "s3", not(feature = "aws-profiles")))]
#[derive(Debug)]
pub(crate) enum Profile {}

/// What a storage in a cloud is made of.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// For people.
    pub(crate) name: String,
    /// What precedes every name.
    pub(crate) prefix: Option<String>,
    /// Settings of the client library, by its own names. Some are secret.
    pub(crate) pairs: Pairs,
    pub(crate) http: Http,
    pub(crate) classes: Classes,
    /// The user vouches that nobody else writes.
    pub(crate) single_writer: bool,
    pub(crate) checksums: Checksums,
    /// No credentials are asked for and nothing is signed.
    pub(crate) anonymous: bool,
}

/// What a cloud has of its own, once its options have been taken.
struct Own<'a> {
    name: String,
    prefix: Option<String>,
    pairs: Vec<(String, String)>,
    endpoint: Option<&'a str>,
    /// The host of the endpoint, as requests name it.
    host: Option<String>,
    /// Knows the store's hosts where there is no endpoint.
    is_store: fn(&str) -> bool,
    /// The variable that names a file of authorities.
    bundle: Option<&'static str>,
    checksums: Checksums,
    anonymous: bool,
}

impl Own<'_> {
    /// Takes the options that all clouds have; one that is left over is an error.
    fn recipe(self, mut options: Options<'_>) -> Result<Recipe> {
        let classes = Classes { packs: options.text("storage_class"), rest: options.text("metadata_storage_class") };
        let single_writer = options.flag("single_writer")?.unwrap_or(false);
        let http = options.http(self.endpoint, self.bundle)?;
        options.finish()?;
        let http = Http::new(&http, self.host, self.is_store)?;
        let Self { name, prefix, checksums, anonymous, .. } = self;
        Ok(Recipe { name, prefix, pairs: Pairs(self.pairs), http, classes, single_writer, checksums, anonymous })
    }
}

/// Names and values; the values are not shown.
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl std::fmt::Debug for Pairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The store's classes of storage, such as `STANDARD_IA`: packs of data may lie in a colder one
/// than what is read each time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Classes {
    pub(crate) packs: Option<String>,
    pub(crate) rest: Option<String>,
}

/// Whether the store is sent checksums of what it receives, by which algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksums {
    /// As long as it takes them.
    Try(&'static str),
    Must(&'static str),
    Off,
}
