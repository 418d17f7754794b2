//! Kronos service.
