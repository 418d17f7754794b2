//! One request, and what its answer means. Addresses are secrets: no error has one.

use std::time::{Duration, UNIX_EPOCH};

use kronos_core::{Error, ErrorKind, Result, Retry, Secret, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, NoProxy, Proxy, Response, StatusCode, Url};

use super::tls;
use crate::notify::redact::Redactor;
use crate::notify::settings::Channel;

/// Of an answer that says no, so much is shown, in bytes.
const SHOWN: usize = 300;

/// An address of HTTP.
pub(super) fn url(text: &Secret) -> Result<Url> {
    let bad = |message: &str| Error::new(ErrorKind::Config, message).with("hint", "it begins with https:// or http://");
    let url = Url::parse(text.expose()).map_err(|_| bad("the address of a channel is no URL"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(bad("the address of a channel is none of HTTP")),
    }
}

/// A client for one request: they are rare, and a client that is kept holds memory.
pub(super) fn client(channel: &Channel, authorities: Option<&[u8]>) -> Result<Client> {
    let bad = |message: &'static str| {
        move |e: reqwest::Error| Error::new(ErrorKind::Config, message).with_source(e.without_url())
    };
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls::config(authorities)?)
        .http1_only()
        .no_proxy()
        // An address that is a secret, or a header that is one, goes nowhere else.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(channel.timeout)
        .timeout(channel.timeout)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("kronos/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = &channel.proxy {
        let cannot = "the proxy's address cannot be used";
        let proxy = Proxy::all(proxy.expose()).map_err(|_| Error::new(ErrorKind::Config, cannot))?;
        builder = builder.proxy(proxy.no_proxy(NoProxy::from_string("")));
    }
    builder.build().map_err(bad("the HTTP client cannot be made"))
}

/// Posts; an answer that says no is an error, whose `retry` says whether it may say yes later.
pub(super) async fn post(channel: &Channel, url: Url, headers: HeaderMap, body: Vec<u8>, now: Timestamp) -> Result<()> {
    let settings = channel.clone();
    let client = tokio::task::spawn_blocking(move || client(&settings, tls::authorities(&settings)?.as_deref()));
    let client = client
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "making an HTTP client panicked").with_source(e))??;
    let answer =
        client.post(url).headers(headers).body(body).send().await.map_err(|e| on_the_way(e, channel.timeout))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let pause =
        answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|value| wish(value, now));
    let error = refusal(status).with("status", status.as_u16());
    let said = beginning(answer, &Redactor::new(channel.secrets())).await;
    let error = if said.is_empty() { error } else { error.with("answer", said) };
    Err(match pause {
        Some(pause) => error.with_retry_after(pause),
        None => error,
    })
}

fn refusal(status: StatusCode) -> Error {
    let never = |kind, message: &str, hint: &str| Error::new(kind, message).with("hint", hint);
    match status.as_u16() {
        408 | 425 | 429 => {
            Error::new(ErrorKind::ConnectionFailed, "the receiver asks for a pause").with_retry(Retry::Later)
        }
        500.. => {
            Error::new(ErrorKind::ConnectionFailed, "the receiver has trouble of its own").with_retry(Retry::Later)
        }
        300..=399 => never(
            ErrorKind::Config,
            "the receiver sends elsewhere, which is not followed",
            "give the address that it sends to",
        ),
        401 | 403 => never(
            ErrorKind::Authentication,
            "the receiver refuses the message",
            "check that the address and its secrets are still valid",
        ),
        404 | 410 => never(
            ErrorKind::NotFound,
            "the receiver does not know the address",
            "check the address; it may have been withdrawn",
        ),
        _ => never(ErrorKind::Unsupported, "the receiver does not take the message", "see what it answers"),
    }
}

fn on_the_way(error: reqwest::Error, timeout: Duration) -> Error {
    let error = error.without_url();
    if error.is_timeout() {
        return Error::new(ErrorKind::Timeout, "the receiver does not answer in time")
            .with("timeout", format_args!("{} s", timeout.as_secs_f64()))
            .with_retry(Retry::Later);
    }
    let is_tls = is_of_tls(&error);
    let failed = Error::new(ErrorKind::ConnectionFailed, "the receiver cannot be reached").with_retry(Retry::Later);
    let failed = if is_tls { failed.with("hint", "name the authority of its certificate by `tls_ca`") } else { failed };
    failed.with_source(error)
}

/// Whether TLS is what went wrong.
pub(super) fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    // What an error of IO holds is not its source.
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || held.is_some_and(|held| is_of_tls(held)) || error.source().is_some_and(is_of_tls)
}

/// Seconds, or a date.
fn wish(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(date.as_micros()).ok()?).since(now))
}

/// The beginning of what is answered, in one line and without the channel's secrets: they are hidden before
/// it is cut, which would make them unknown.
async fn beginning(mut answer: Response, redactor: &Redactor) -> String {
    let (mut bytes, mut whole) = (Vec::new(), false);
    while bytes.len() < SHOWN && !whole {
        match answer.chunk().await {
            Ok(Some(more)) => bytes.extend_from_slice(&more),
            Ok(None) => whole = true,
            Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = if whole { redactor.text(&text) } else { redactor.cut_text(text.trim_end_matches('\u{fffd}')) };
    let words: Vec<_> = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let mut line = words.join(" ");
    line.truncate(line.floor_char_boundary(SHOWN));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_asks_for_a_pause_in_seconds_or_by_a_date() {
        let now = Timestamp::parse("1994-11-06T08:48:37Z").unwrap();
        assert_eq!(wish("120", now), Some(Duration::from_mins(2)));
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_mins(1)));
        assert_eq!(wish("Sun, 06 Nov 1994 08:40:37 GMT", now), Some(Duration::ZERO));
        assert_eq!((wish("soon", now), wish("-1", now)), (None, None));
    }

    #[test]
    fn an_address_that_is_none_is_not_shown() {
        for bad in ["hush", "ftp://hush/x", "https://", "https://[hush", "mailto:hush@x"] {
            let error = url(&Secret::new(bad)).unwrap_err();
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }
}
