//! Stands in for the ways over the network in builds without them.

use kronos_core::{Error, ErrorKind, Result};

use super::courier::Receipt;
use super::letter::Letter;
use super::settings::{Channel, Way};

/// Says how they come into the build.
pub(super) fn check(_: &Channel) -> Result<()> {
    Err(left_out())
}

/// The same.
#[expect(clippy::unused_async, reason = "the ways over the network wait")]
pub(super) async fn send(_: &Channel, _: &Way, _: &Letter) -> Result<Receipt> {
    Err(left_out())
}

fn left_out() -> Error {
    Error::new(ErrorKind::Unsupported, "this build leaves notifications out").with("cargo feature", "notify")
}
