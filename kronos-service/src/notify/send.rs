//! The ways over the network.

mod http;
mod mail;
mod ping;
mod slack;
mod tls;
mod webhook;

use kronos_core::{Error, ErrorKind, Result};

use super::courier::Receipt;
use super::letter::Letter;
use super::settings::{Channel, Way};

/// Sends a letter by one way.
pub(super) async fn send(channel: &Channel, way: &Way, letter: &Letter) -> Result<Receipt> {
    match way {
        Way::Slack(slack) => slack::send(channel, slack, letter).await,
        Way::Webhook(webhook) => webhook::send(channel, webhook, letter).await,
        Way::Email(email) => mail::send(channel, email, letter).await,
        Way::Ping(ping) => ping::send(channel, ping, letter).await,
    }
}

/// Checks all that the ways of a channel need, without a network.
pub(super) fn check(channel: &Channel) -> Result<()> {
    if channel.ways.is_empty() {
        return Err(Error::new(ErrorKind::Config, "a channel for notifications has no way")
            .with("hint", "give it slack, webhook, email or ping"));
    }
    if channel.timeout.is_zero() {
        return Err(Error::new(ErrorKind::Config, "the timeout of a channel is zero"));
    }
    let authorities = tls::authorities(channel)?;
    for way in &channel.ways {
        let checked = match way {
            Way::Slack(slack) => http::url(&slack.webhook).map(drop),
            Way::Webhook(webhook) => http::url(&webhook.url).and_then(|_| webhook::headers(webhook)).map(drop),
            Way::Email(email) => mail::check(email, authorities.as_deref()),
            Way::Ping(ping) => ping::url(&ping.url, None).map(drop),
        };
        checked.map_err(|error| error.with("way", way.name()))?;
    }
    http::client(channel, authorities.as_deref()).map(drop)
}
