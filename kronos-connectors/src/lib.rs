//! Kronos connectors.
