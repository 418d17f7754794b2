//! A panic within a run is an error of that run: whoever follows it hears of it as of any other.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use kronos_core::{Error, ErrorKind, Result};

use crate::mask::mask;

/// Of what a panic says so much is told, in bytes.
const SHOWN: usize = 500;

/// What some work came to; after a panic an error with this message, and what the panic said as its cause.
///
/// What the work wrote down until then must be right at each step, as it must be after an error.
pub(super) async fn caught<T>(message: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => done,
        Err(panic) => Err(Error::new(ErrorKind::Internal, message).with_source(words(&*panic))),
    }
}

/// In one line, without the logins of URLs.
fn words(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why");
    let mut line = mask(said).split_whitespace().collect::<Vec<_>>().join(" ");
    line.truncate(line.floor_char_boundary(SHOWN));
    line
}
