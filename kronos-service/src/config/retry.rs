//! `[retry]`: how patient a run is with what may pass by itself.

use std::time::Duration;

use kronos_core::Result;

use super::section::{Keys, Section};

pub(super) const KEYS: Keys = Keys { known: &["attempts", "base", "max"], later: &[] };

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
    pub(super) fn from_section(section: &Section<'_>) -> Result<Self> {
        Ok(Self {
            attempts: section.number("attempts", 1)?,
            base: section.duration("base")?,
            max: section.duration("max")?,
        })
    }
}
