//! Azure Blob Storage.

use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result, Storage, StorageSettings};

use super::http::Http;
use super::place::{Place, authority};
use super::{Checksums, Classes, Pairs, Recipe};
use crate::options::Options;
use crate::{Environment, adapter};

/// Variables of the cloud's own that are heard. They have the names of the client library's settings.
const VARIABLES: [&str; 14] = [
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_IDENTITY_ENDPOINT",
    "AZURE_MSI_ENDPOINT",
    "IDENTITY_ENDPOINT",
    "AZURE_USE_AZURE_CLI",
];

/// `account/container/prefix`, with options.
pub(crate) fn open(settings: &StorageSettings, environment: &Environment) -> Result<Arc<dyn Storage>> {
    let mut options = Options::new(settings, environment);
    let Some((account, rest)) = settings.location.split_once('/') else {
        return Err(Error::new(ErrorKind::Config, "a location in Azure lacks its container")
            .with("location", &settings.location)
            .with("hint", "write az://ACCOUNT/CONTAINER/PREFIX"));
    };
    let place = Place::bucket(rest)?;
    let endpoint = options.text("endpoint");
    let key = options.secret("access_key", "access_key_env", "access_key_file")?;
    let sas = options.secret("sas_token", "sas_token_env", "sas_token_file")?;
    let anonymous = options.flag("anonymous")?.unwrap_or(false);
    let mut pairs: Vec<(String, String)> = match (key, sas, anonymous) {
        (None, None, false) => options.variables(&VARIABLES),
        (Some(key), None, false) => vec![("azure_storage_account_key".to_owned(), key)],
        (None, Some(sas), false) => vec![("azure_storage_sas_key".to_owned(), sas)],
        (None, None, true) => vec![("azure_skip_signature".to_owned(), "true".to_owned())],
        _ => {
            let message = "one of access_key, sas_token and anonymous can be given";
            return Err(Error::new(ErrorKind::Config, message));
        }
    };
    let kinds =
        ["auto", "access_key", "sas_token", "client_secret", "workload_identity", "managed_identity", "azure_cli"];
    if let Some(kind) = options.word("credentials", &kinds)? {
        pairs.push(("azure_credential_type".to_owned(), kind));
    }
    if let Some(key) = options.secret("encryption_key", "encryption_key_env", "encryption_key_file")? {
        pairs.push(("azure_storage_encryption_key".to_owned(), key));
    }
    pairs.push(("account_name".to_owned(), account.to_owned()));
    pairs.push(("container_name".to_owned(), place.bucket.clone()));
    if let Some(endpoint) = &endpoint {
        authority(endpoint)?;
        pairs.push(("azure_storage_endpoint".to_owned(), endpoint.trim_end_matches('/').to_owned()));
        pairs.push(("azure_allow_http".to_owned(), endpoint.starts_with("http://").to_string()));
    }
    let classes = Classes { packs: options.text("storage_class"), rest: options.text("metadata_storage_class") };
    let single_writer = options.flag("single_writer")?.unwrap_or(false);
    let http = options.http(endpoint.as_deref(), None)?;
    options.finish()?;

    let host = endpoint.as_deref().map(authority).transpose()?;
    let http = Http::new(&http, host, |host| host.contains(".blob.") || host.contains(".dfs."))?;
    let shown = Place { bucket: format!("{account}/{}", place.bucket), ..place.clone() };
    let name = shown.describe("az", endpoint.as_deref());
    let checksums = Checksums::Off;
    adapter::azure(Recipe {
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
