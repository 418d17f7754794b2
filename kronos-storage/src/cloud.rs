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
