//! Dead man's switches in the manner of healthchecks: the end of a path tells what has happened.

use kronos_core::{Id, Result, Secret};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::http;
use crate::notify::courier::Receipt;
use crate::notify::letter::{Contents, Letter, PingKind};
use crate::notify::render::{text, zone};
use crate::notify::settings::{Channel, Ping};

/// Sends a letter. A test goes to `/log`, which changes nothing about the switch.
pub(in crate::notify) async fn send(channel: &Channel, ping: &Ping, letter: &Letter) -> Result<Receipt> {
    let (end, run, body) = match &letter.contents {
        Contents::Ping(signal) => {
            let end = match signal.kind {
                PingKind::Start => Some("start"),
                PingKind::Success => None,
                PingKind::Failure => Some("fail"),
            };
            (end, Some(signal.run), signal.text.clone())
        }
        Contents::Test | Contents::Notices(_) => (Some("log"), None, text::letter(letter, &zone(channel))),
    };
    let mut address = url(&ping.url, end)?;
    if let Some(run) = run {
        // By it a switch tells which end belongs to which beginning.
        address.query_pairs_mut().append_pair("rid", &uuid(run));
    }
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    http::post(channel, address, HeaderMap::from_iter([(CONTENT_TYPE, text)]), body.into_bytes(), letter.at).await?;
    Ok(Receipt::default())
}

/// The switch's address with another end.
pub(super) fn url(base: &Secret, end: Option<&str>) -> Result<Url> {
    let mut url = http::url(base)?;
    if let (Some(end), Ok(mut path)) = (end, url.path_segments_mut()) {
        path.pop_if_empty().push(end);
    }
    Ok(url)
}

/// An id in the form that switches know.
fn uuid(id: Id) -> String {
    let hex = id.to_string();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_path_tells_what_happened() {
        let url = |base: &str, end| url(&Secret::new(base), end).unwrap().to_string();
        assert_eq!(url("https://hc.example/ping/abc", None), "https://hc.example/ping/abc");
        assert_eq!(url("https://hc.example/ping/abc/", Some("fail")), "https://hc.example/ping/abc/fail");
        assert_eq!(url("https://hc.example/abc?create=1", Some("start")), "https://hc.example/abc/start?create=1");
        assert_eq!(uuid(Id([0xab; 16])), "abababab-abab-abab-abab-abababababab");
    }
}
