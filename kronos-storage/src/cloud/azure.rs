//! Azure Blob Storage.

use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result, Storage, StorageSettings};

use super::place::{Place, authority};
use super::{Checksums, Own};
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
        (Some(key), None, false) => {
            let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
            if key.is_empty() || key.len() % 4 != 0 || !key.chars().all(is_base64) {
                let error = Error::new(ErrorKind::Config, "this is no key of an account").with("option", "access_key");
                return Err(error.with("hint", "it is base64, as the portal shows it; in a URL + is %2B and / is %2F"));
            }
            vec![("azure_storage_account_key".to_owned(), key)]
        }
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
    let host = endpoint.as_deref().map(authority).transpose()?;
    if let Some(endpoint) = &endpoint {
        pairs.push(("azure_storage_endpoint".to_owned(), endpoint.trim_end_matches('/').to_owned()));
    }
    let shown = Place { bucket: format!("{account}/{}", place.bucket), ..place.clone() };
    let (name, endpoint) = (shown.describe("az", endpoint.as_deref()), endpoint.as_deref());
    let is_store = |host: &str| host.contains(".blob.") || host.contains(".dfs.");
    let (prefix, checksums, bundle) = (place.prefix, Checksums::Off, None);
    let own = Own { name, prefix, pairs, endpoint, host, is_store, bundle, checksums, anonymous };
    adapter::azure(own.recipe(options)?)
}
