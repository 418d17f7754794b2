//! A storage: its URL, and further keys that are options of its kind. Which there are is for the
//! storage to know: it names those that it has when it meets one that it has not.

use kronos_core::{Result, nearest};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::section::Section;
use super::tree::Value;

/// Options whose values are secrets.
const SECRETS: [&str; 8] = [
    "access_key",
    "bearer_token",
    "encryption_key",
    "sas_token",
    "secret_access_key",
    "service_account_key",
    "session_token",
    "sse_customer_key",
];

/// The first secret that stands in the file itself, in the URL or as a key.
pub(super) fn plain_secret(section: &Section<'_>) -> Option<&'static str> {
    let of_file = |name: &str| match section.find(name).map(|entry| &entry.node.value) {
        Some(Value::Text { text, expanded: false }) => Some(text.as_str()),
        _ => None,
    };
    let query = of_file("url").and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
    let in_url = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    SECRETS.into_iter().find(|name| of_file(name).is_some() || in_url(name))
}

/// The URL with the further keys as options, so that a storage is named in one way only.
pub(super) fn url(section: &Section<'_>) -> Result<String> {
    let mut url = section.required("url")?;
    for entry in section.all().filter(|entry| entry.name != "url") {
        if !url.contains("://") {
            let error = section.at(entry, "unknown key");
            return Err(match nearest(&entry.name, ["url"]) {
                Some(near) => error.with("did you mean", near),
                None => error.with("hint", "a directory with options is written as a URL: file:///srv/backups"),
            });
        }
        let value = match &entry.node.value {
            Value::Text { text, .. } => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            other => {
                return Err(
                    section.at(entry, format!("a text, number or yes or no belongs here, not {}", other.kind()))
                );
            }
        };
        let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&entry.name);
        url.push('=');
        url.push_str(&escaped(&value));
    }
    Ok(url)
}
