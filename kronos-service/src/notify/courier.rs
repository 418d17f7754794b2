//! Who carries letters.

use std::fmt;

use async_trait::async_trait;
use kronos_core::Result;

use super::letter::Letter;
use super::send;
use super::settings::{Channel, Way};

/// Carries letters. Kronos brings [`Post`]; a program may bring another, to try things or to reach its own
/// people.
#[async_trait]
pub trait Courier: fmt::Debug + Send + Sync {
    /// Carries one letter by one way of a channel. An error whose `retry` is not `Never` means that the
    /// letter is to be brought again later, not before its `retry_after`.
    async fn deliver(&self, channel: &Channel, way: &Way, letter: &Letter) -> Result<Receipt>;
}

/// A letter has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// What should be looked at all the same, such as a recipient who was refused.
    pub remarks: Vec<String>,
}

/// The courier that sends over the network, in builds with the feature `notify`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Post;

#[async_trait]
impl Courier for Post {
    async fn deliver(&self, channel: &Channel, way: &Way, letter: &Letter) -> Result<Receipt> {
        send::send(channel, way, letter).await
    }
}
