//! Google Cloud Storage, by its XML API.

use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result, Storage, StorageSettings};

use super::place::{Place, authority};
use super::{Checksums, Own};
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
    let host = endpoint.as_deref().map(authority).transpose()?;
    let file = options.text("service_account");
    if let Some(Err(e)) = file.as_ref().map(std::fs::File::open) {
        let error = Error::new(ErrorKind::Config, "the service account's file cannot be read")
            .with("file", file.unwrap_or_default());
        let hint = "service_account is the path of the JSON file; service_account_key its text";
        return Err(error.with("hint", hint).with_source(e));
    }
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
    let (name, endpoint) = (place.describe("gs", endpoint.as_deref()), endpoint.as_deref());
    let is_store = |host: &str| host == "storage.googleapis.com";
    let (prefix, checksums, bundle) = (place.prefix, Checksums::Off, None);
    let own = Own { name, prefix, pairs, endpoint, host, is_store, bundle, checksums, anonymous };
    adapter::gcs(own.recipe(options)?)
}
