//! Kronos storage.
