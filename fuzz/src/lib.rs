//! The doors that all targets share.

use kronos_core::testing::Parsers;

/// The parsers, over one little repository that is made once.
pub fn parsers() -> &'static Parsers {
    thread_local!(static PARSERS: &'static Parsers = Box::leak(Box::new(Parsers::new())));
    PARSERS.with(|parsers| *parsers)
}

/// The input as text, if it is.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// What was understood and written again must be understood the same way.
pub fn again(bytes: &[u8], parse: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if let Some(written) = parse(bytes) {
        assert_eq!(parse(&written).as_ref(), Some(&written), "it reads otherwise once written");
    }
}
