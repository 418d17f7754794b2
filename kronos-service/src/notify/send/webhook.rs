//! JSON by HTTP, `kronos.notification/1`, signed.

use std::fmt::Write as _;

use kronos_core::{Error, ErrorKind, Id, Result, Secret, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use serde::Serialize;

use super::http;
use crate::notify::courier::Receipt;
use crate::notify::letter::{Contents, Letter};
use crate::notify::notice::Notice;
use crate::notify::render::{subject, text, zone};
use crate::notify::settings::{Channel, Webhook};

/// What is posted. Only ever added to.
#[derive(Serialize)]
struct Notification<'a> {
    schema: &'static str,
    /// The same when the same is sent again.
    id: Id,
    sent: Timestamp,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    /// Nothing has happened: somebody tries whether messages arrive.
    test: bool,
    /// How many notices before this were given up.
    lost: u64,
    title: String,
    /// All of it in words.
    text: String,
    notices: &'a [Notice],
}

/// Sends a letter.
pub(in crate::notify) async fn send(channel: &Channel, webhook: &Webhook, letter: &Letter) -> Result<Receipt> {
    let url = http::url(&webhook.url)?;
    let notification = Notification {
        schema: "kronos.notification/1",
        id: letter.id,
        sent: letter.at,
        channel: &channel.name,
        host: letter.host.as_deref(),
        test: letter.contents == Contents::Test,
        lost: letter.lost,
        title: subject(letter),
        text: text::letter(letter, &zone(channel)),
        notices: match &letter.contents {
            Contents::Notices(notices) => notices,
            Contents::Ping(_) | Contents::Test => &[],
        },
    };
    let body = serde_json::to_vec(&notification)
        .map_err(|e| Error::new(ErrorKind::Internal, "a notification is no JSON").with_source(e))?;
    let mut headers = headers(webhook)?;
    headers.insert("kronos-id", value(&letter.id.to_string())?);
    if let Some(key) = &webhook.signing_key {
        let seconds = letter.at.as_micros().div_euclid(1_000_000).to_string();
        headers.insert("kronos-signature", value(&format!("v1={}", signature(key, &seconds, &body)))?);
        headers.insert("kronos-timestamp", value(&seconds)?);
    }
    http::post(channel, url, headers, body, letter.at).await?;
    Ok(Receipt::default())
}

/// HMAC-SHA256 over the time in seconds, a full stop and the body, in hex: the time keeps an old message
/// from being sent again by somebody else.
fn signature(key: &Secret, seconds: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()));
    context.update(seconds.as_bytes());
    context.update(b".");
    context.update(body);
    context.sign().as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Text takes whatever is written to it.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The user's own headers.
pub(super) fn headers(webhook: &Webhook) -> Result<HeaderMap> {
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    for (name, secret) in &webhook.headers {
        let bad = |message: &str| Error::new(ErrorKind::Config, message).with("header", name);
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("this is no name of a header"))?;
        if key.as_str().starts_with("kronos-") || key == "content-length" || key == "host" {
            return Err(bad("this header is set by kronos itself"));
        }
        let mut value =
            HeaderValue::from_str(secret.expose()).map_err(|_| bad("this cannot be the value of a header"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|e| Error::new(ErrorKind::Internal, "this is no header").with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_other_programs_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let signed = signature(&Secret::new("key"), "1700000000", br#"{"a":1}"#);
        assert_eq!(signed, "a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03");
    }
}
