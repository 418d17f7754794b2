//! A storage: its URL, and further keys that are options of its kind. Which there are is for the
//! storage to know: it names those that it has when it meets one that it has not.

use kronos_core::{Result, nearest};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::section::Section;
use super::tree::Value;

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
