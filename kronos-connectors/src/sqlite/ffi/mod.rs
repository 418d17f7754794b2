//! The only `unsafe` of this connector: what SQLite offers to C alone.
#![allow(unsafe_code)]

mod main_file;
mod sink_vfs;

pub(super) use main_file::{read_main_file, remove_shared_memory};
pub(super) use sink_vfs::copy_pages;
