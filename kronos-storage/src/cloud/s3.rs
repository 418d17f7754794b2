//! Amazon S3 and everything that speaks its language.

use std::sync::Arc;

use kronos_core::{Error, ErrorKind, Result, Storage, StorageSettings};

use super::place::{Place, authority};
use super::{Checksums, Own, Profile};
use crate::options::Options;
use crate::{Environment, adapter};

/// Variables of the cloud's own that are heard. They have the names of the client library's settings.
const VARIABLES: [&str; 14] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// `bucket/prefix`, with options.
pub(crate) fn open(settings: &StorageSettings, environment: &Environment) -> Result<Arc<dyn Storage>> {
    let mut options = Options::new(settings, environment);
    let place = Place::bucket(&settings.location)?;
    let mut pairs = options.variables(&VARIABLES);
    let mut set = |name: &str, value: String| {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name.to_owned(), value));
    };
    set("aws_bucket", place.bucket.clone());

    let endpoint = options
        .text("endpoint")
        .or_else(|| options.variable("AWS_ENDPOINT_URL_S3"))
        .or_else(|| options.variable("AWS_ENDPOINT_URL"));
    let region = options.text("region");
    let path_style = options.flag("path_style")?;
    if let Some(endpoint) = &endpoint {
        let authority = authority(endpoint)?;
        let path_style = path_style.unwrap_or(true);
        let endpoint = endpoint.trim_end_matches('/');
        // Where the bucket is part of the host's name, the client library wants the whole name.
        let whole = match endpoint.split_once("://") {
            Some((scheme, _)) if !path_style => format!("{scheme}://{}.{authority}", place.bucket),
            _ => endpoint.to_owned(),
        };
        set("aws_endpoint_url_s3", whole);
        set("aws_virtual_hosted_style_request", (!path_style).to_string());
    } else {
        set("aws_virtual_hosted_style_request", (!path_style.unwrap_or(place.bucket.contains('.'))).to_string());
    }
    if let Some(region) = region {
        set("aws_region", region);
    }

    let names_profile = settings.options.contains_key("profile");
    let key = options.secret("access_key_id", "access_key_id_env", "access_key_id_file")?;
    let secret = options.secret("secret_access_key", "secret_access_key_env", "secret_access_key_file")?;
    let token = options.secret("session_token", "session_token_env", "session_token_file")?;
    match (key, secret) {
        (Some(_), Some(_)) if names_profile => {
            return Err(Error::new(ErrorKind::Config, "a profile is named and keys are given: one of them will do"));
        }
        (Some(key), Some(secret)) => {
            set("aws_access_key_id", key);
            set("aws_secret_access_key", secret);
            // The one of the environment belongs to other keys.
            set("aws_session_token", token.unwrap_or_default());
        }
        (None, None) if token.is_none() => {}
        _ => {
            let error = Error::new(ErrorKind::Config, "access_key_id and secret_access_key belong together");
            return Err(error.with("hint", "give both, each by itself or as …_env or …_file, and check their spelling"));
        }
    }
    let anonymous = options.flag("anonymous")?.unwrap_or(false);
    if anonymous {
        set("aws_skip_signature", "true".to_owned());
    }
    if let Some(fallback) = options.flag("imdsv1_fallback")? {
        set("aws_imdsv1_fallback", fallback.to_string());
    }
    if options.flag("requester_pays")?.unwrap_or(false) {
        set("aws_request_payer", "true".to_owned());
    }
    if options.flag("express")?.unwrap_or(false) {
        set("aws_s3_express", "true".to_owned());
    }
    encryption(&mut options, &mut set)?;
    let checksums = match options.word("checksum", &["auto", "sha256", "crc64nvme", "off"])?.as_deref() {
        Some("off") => Checksums::Off,
        Some("auto") | None => Checksums::Try("SHA256"),
        Some("crc64nvme") => Checksums::Must("CRC64NVME"),
        Some(_) => Checksums::Must("SHA256"),
    };
    let profile = profile(&mut options, anonymous, &pairs)?;
    pairs.retain(|(_, value)| !value.is_empty());

    // With the bucket in the host's name, the host is another.
    let host = endpoint.as_deref().map(authority).transpose()?;
    let host = host.map(|host| if path_style == Some(false) { format!("{}.{host}", place.bucket) } else { host });
    let (name, endpoint) = (place.describe("s3", endpoint.as_deref()), endpoint.as_deref());
    let is_store = |host: &str| host.contains(".s3") || host.starts_with("s3");
    let (prefix, bundle) = (place.prefix, Some("AWS_CA_BUNDLE"));
    let own = Own { name, prefix, pairs, endpoint, host, is_store, bundle, checksums, anonymous };
    adapter::s3(own.recipe(options)?, profile)
}

fn encryption(options: &mut Options<'_>, set: &mut impl FnMut(&str, String)) -> Result<()> {
    let kind = options.word("sse", &["AES256", "aws:kms", "aws:kms:dsse", "sse-c"])?;
    let key = options.text("sse_kms_key_id");
    let bucket_key = options.flag("sse_bucket_key")?;
    let own = options.secret("sse_customer_key", "sse_customer_key_env", "sse_customer_key_file")?;
    let bad = |message: &str| Err(Error::new(ErrorKind::Config, message).with("option", "sse"));
    match (kind.as_deref(), &key, &own) {
        (Some("sse-c"), _, None) => return bad("sse=sse-c needs sse_customer_key, 32 bytes in base64"),
        (Some("sse-c"), None, Some(_)) | (_, _, None) => {}
        _ => return bad("sse_customer_key goes with sse=sse-c alone"),
    }
    if key.is_some() && !kind.as_deref().is_some_and(|kind| kind.starts_with("aws:kms")) {
        return bad("sse_kms_key_id goes with sse=aws:kms");
    }
    if let Some(kind) = kind {
        set("aws_server_side_encryption", kind);
    }
    if let Some(key) = key {
        set("aws_sse_kms_key_id", key);
    }
    if let Some(bucket_key) = bucket_key {
        set("aws_sse_bucket_key_enabled", bucket_key.to_string());
    }
    if let Some(own) = own {
        set("aws_sse_customer_key_base64", own);
    }
    Ok(())
}

/// The profile whose credentials are wanted. Keys win over a profile of the environment; which of the
/// two wins when a profile is named is for the AWS tools' own order.
#[cfg(feature = "aws-profiles")]
#[allow(clippy::unnecessary_wraps, reason = "as in a build without profiles")]
fn profile(options: &mut Options<'_>, anonymous: bool, pairs: &[(String, String)]) -> Result<Option<Profile>> {
    let given = options.text("profile");
    let role = options.text("role_arn");
    let external_id = options.text("external_id");
    let has_keys = pairs.iter().any(|(name, _)| name == "aws_access_key_id");
    if anonymous || (has_keys && given.is_none() && role.is_none()) {
        return Ok(None);
    }
    let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let region = value("aws_region").or_else(|| value("aws_default_region"));
    let keys = value("aws_access_key_id").zip(value("aws_secret_access_key")).filter(|_| given.is_none());
    let keys = keys.map(|(id, secret)| (id, secret, value("aws_session_token").filter(|token| !token.is_empty())));
    Ok(Some(Profile { name: given, role, external_id, region, keys }))
}

#[cfg(not(feature = "aws-profiles"))]
fn profile(options: &mut Options<'_>, _: bool, _: &[(String, String)]) -> Result<Option<Profile>> {
    for name in ["profile", "role_arn", "external_id"] {
        if options.text(name).is_some() {
            let error = Error::new(ErrorKind::Unsupported, "this build leaves profiles and assumed roles out");
            return Err(error.with("option", name).with("cargo feature", "aws-profiles"));
        }
    }
    Ok(None)
}
