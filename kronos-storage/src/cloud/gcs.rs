//! Google Cloud Storage, by its XML API.

use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result, Storage, StorageSettings};

use super::http::Http;
use super::place::{Place, authority};
use super::{Checksums, Classes, Pairs, Recipe};
use crate::options::Options;
use crate::{Environment, adapter};

/// Variables of the cloud's own that are heard. They have the names of the client library's settings.
const VARIABLES: [&str; 4] = [
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
];

/// `bucket/prefix`, with options.
pub(crate) fn open(settings: &StorageSettings, environment: &Environment) -> Result<Arc<dyn Storage>> {
    let mut options = Options::new(settings, environment);
    let place = Place::bucket(&settings.location)?;
    let endpoint = options.text("endpoint");
    if let Some(endpoint) = &endpoint {
        authority(endpoint)?;
    }
    let file = options.text("service_account");
    let key = options.secret("service_account_key", "service_account_key_env", "service_account_key_file")?;
    let token = options.secret("bearer_token", "bearer_token_env", "bearer_token_file")?;
    let anonymous = options.flag("anonymous")?.unwrap_or(false);
    let mut pairs: Vec<(String, String)> = match (&file, &key, &token, anonymous) {
        (None, None, None, false) => options.variables(&VARIABLES),
        (Some(file), None, None, false) => vec![("google_service_account".to_owned(), file.clone())],
        (None, Some(key), None, false) => vec![("google_service_account_key".to_owned(), key.clone())],
        (None, None, Some(token), false) => vec![("google_bearer_token".to_owned(), token.clone())],
        (None, None, None, true) => vec![("google_skip_signature".to_owned(), "true".to_owned())],
        _ => {
            let message = "one of service_account, service_account_key, bearer_token and anonymous can be given";
            return Err(Error::new(ErrorKind::Config, message));
        }
    };
    pairs.push(("google_bucket".to_owned(), place.bucket.clone()));
    if let Some(endpoint) = &endpoint {
        pairs.push(("google_base_url".to_owned(), endpoint.trim_end_matches('/').to_owned()));
    }
    let classes = Classes { packs: options.text("storage_class"), rest: options.text("metadata_storage_class") };
    let single_writer = options.flag("single_writer")?.unwrap_or(false);
    let http = options.http(endpoint.as_deref(), None)?;
    options.finish()?;

    let host = endpoint.as_deref().map(authority).transpose()?;
    let http = Http::new(&http, host, |host| host == "storage.googleapis.com")?;
    let name = place.describe("gs", endpoint.as_deref());
    let checksums = Checksums::Off;
    adapter::gcs(Recipe {
        name,
        prefix: place.prefix,
        pairs: Pairs(pairs),
        http,
        classes,
        single_writer,
        checksums,
        anonymous,
    })
}
