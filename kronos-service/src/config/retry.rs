//! `[retry]`: how patient a run is with what may pass by itself.

use std::time::Duration;

use super::schema::{Key, Kind, Table};
use super::section::Section;

pub(super) static TABLE: Table = Table::new(
    "How patient a run is with what may pass by itself: a store that is busy, a connection that broke.",
    &[
        Key::new("attempts", Kind::Integer { least: 1, most: 1_000 }, "All attempts, the first one as well.")
            .default("8"),
        Key::new("base", Kind::Duration, "The pause before the second attempt; it doubles each time.")
            .default("\"100ms\""),
        Key::new("max", Kind::Duration, "The longest pause.").default("\"30s\""),
    ],
);

/// How often what is transient is tried; `None` is the default of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retries {
    /// All attempts, the first one as well.
    pub attempts: Option<u32>,
    /// The pause before the second attempt, which doubles each time.
    pub base: Option<Duration>,
    /// The longest pause.
    pub max: Option<Duration>,
}

impl Retries {
    pub(super) fn from_section(section: &Section<'_>) -> Self {
        Self { attempts: section.number("attempts"), base: section.duration("base"), max: section.duration("max") }
    }
}

#[cfg(test)]
mod tests {
    use kronos_core::Limits;

    use super::*;
    use crate::config::schema::assert_default;

    #[test]
    fn the_defaults_are_those_of_the_core() {
        let core = Limits::default();
        assert_eq!(TABLE.find("attempts").unwrap().0.default, Some(core.attempts.to_string().as_str()));
        assert_default(&TABLE, "base", core.backoff);
        assert_default(&TABLE, "max", core.backoff_max);
    }
}
