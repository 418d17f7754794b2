//! MongoDB, 6.0 and newer.
