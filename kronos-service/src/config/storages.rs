//! `[storages.*]`: a URL, and further keys that are options of its kind. Which there are is for the
//! storage to know: it names those that it has when it meets one that it has not.

use std::collections::BTreeMap;
use std::fmt;

use kronos_core::{Result, nearest};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Environment;
use super::schema::{Key, Kind, Table};
use super::secrets::SecretFrom;
use super::section::Section;
use crate::mask::mask;

const SECRET: &str = "A secret option; its value can also come from elsewhere.";

pub(super) static TABLE: Table = Table::open(
    "A place that holds backups. docs/storages.md has all options of each kind; these are the common ones.",
    &[
        Key::new("url", Kind::Text, "A directory, or `s3://`, `gs://` or `az://` with bucket and prefix.")
            .used("\"/var/backups/kronos\""),
        Key::new("region", Kind::Setting, "S3: where the bucket is.")
            .otherwise("the variables of AWS, `us-east-1`")
            .example("\"eu-central-1\""),
        Key::new("endpoint", Kind::Setting, "Where the store is, if not with the cloud itself.")
            .example("\"https://s3.example.com:9000\""),
        Key::new("storage_class", Kind::Setting, "The class of data packs.")
            .otherwise("the bucket's")
            .example("\"STANDARD_IA\""),
        Key::new("metadata_storage_class", Kind::Setting, "The class of everything else.")
            .otherwise("the bucket's")
            .example("\"STANDARD\""),
        Key::new("upload_limit", Kind::Setting, "Bytes a second that are written.")
            .otherwise("no limit")
            .example("\"50MB/s\""),
        Key::new("download_limit", Kind::Setting, "Bytes a second that are read.")
            .otherwise("no limit")
            .example("\"50MB/s\""),
        Key::new("timeout", Kind::Setting, "Clouds: how long nothing may move.").otherwise("`60s`").example("\"60s\""),
        Key::new("connect_timeout", Kind::Setting, "Clouds: how long connecting may take.")
            .otherwise("`10s`")
            .example("\"10s\""),
        Key::new("tls_ca", Kind::Setting, "Clouds: file with certificates that are trusted beside the system's.")
            .example("\"/etc/kronos/store-ca.pem\""),
        Key::new("proxy", Kind::Setting, "Clouds: the way out, or `none`.")
            .otherwise("the variables")
            .example("\"http://proxy.internal:3128\""),
        Key::new("profile", Kind::Setting, "S3: a profile of the AWS tools.").example("\"backup\""),
        Key::new("access_key_id", Kind::Secret, "S3: the id of the key.")
            .otherwise("the cloud's own ways")
            .example("\"BACKUP_KEY_ID\""),
        Key::new("secret_access_key", Kind::Secret, "S3: the key.").example("\"BACKUP_KEY\""),
        Key::new("session_token", Kind::Secret, SECRET).example("\"BACKUP_TOKEN\""),
        Key::new("sse_customer_key", Kind::Secret, SECRET).example("\"SSE_KEY\""),
        Key::new("service_account_key", Kind::Secret, SECRET).example("\"GOOGLE_KEY\""),
        Key::new("bearer_token", Kind::Secret, SECRET).example("\"GOOGLE_TOKEN\""),
        Key::new("access_key", Kind::Secret, SECRET).example("\"AZURE_KEY\""),
        Key::new("sas_token", Kind::Secret, SECRET).example("\"AZURE_SAS\""),
        Key::new("encryption_key", Kind::Secret, SECRET).example("\"AZURE_ENCRYPTION_KEY\""),
    ],
);

/// One storage.
#[derive(Clone, PartialEq, Eq)]
pub struct StorageEntry {
    /// Its location, as `kronos_storage::parse_storage_url` takes it: the URL of the file, with the
    /// further keys of its section as options. May hold secrets; those of `secrets` are not in it.
    pub url: String,
    /// Options that are got when they are needed: from a program or the key store.
    pub secrets: BTreeMap<String, SecretFrom>,
}

impl StorageEntry {
    /// The location with all its options; gets the secrets.
    pub fn location(&self, environment: Environment<'_>) -> Result<String> {
        let mut url = self.url.clone();
        for (name, from) in &self.secrets {
            let secret = from.read(environment).map_err(|e| e.with("option", name))?;
            append(&mut url, name, secret.expose());
        }
        Ok(url)
    }

    pub(super) fn from_section(section: &Section<'_>) -> Option<Self> {
        if section.find("url").is_none() {
            // Without it nobody can tell which further keys there are; but one that is nearly it is meant.
            let strangers = section.all().filter(|entry| TABLE.find(&entry.name).is_none());
            let mut near = strangers.filter_map(|entry| Some((entry, nearest(&entry.name, ["url"])?)));
            if let Some((entry, near)) = near.next() {
                section.tell(section.at(entry, "unknown key").with("did you mean", near));
                return None;
            }
        }
        let mut url = section.required("url")?;
        if let Some(option) = section.all().find(|entry| entry.name != "url").filter(|_| !url.contains("://")) {
            let error = section.at(option, "unknown key");
            section.tell(match nearest(&option.name, ["url"]) {
                Some(near) => error.with("did you mean", near),
                None => error.with("hint", "a directory with options is written as a URL: file:///srv/backups"),
            });
            return None;
        }
        let mut secrets = BTreeMap::new();
        for entry in section.all().filter(|entry| entry.name != "url") {
            match TABLE.find(&entry.name) {
                // The storage knows the others itself.
                Some((key, "_command" | "_keyring")) => {
                    secrets.insert(key.name.to_owned(), SecretFrom::from_section(section, key.name)?);
                }
                _ => append(&mut url, &entry.name, &section.setting(&entry.name)?),
            }
        }
        Some(Self { url, secrets })
    }
}

impl fmt::Debug for StorageEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageEntry").field("url", &mask(&self.url)).field("secrets", &self.secrets).finish()
    }
}

/// Adds an option, so that a storage is named in one way only.
fn append(url: &mut String, name: &str, value: &str) {
    let escaped = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
    url.push(if url.contains('?') { '&' } else { '?' });
    url.extend([name, "=", &escaped]);
}
