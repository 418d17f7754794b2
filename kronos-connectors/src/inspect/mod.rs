//! The database service: any engine behind `kronos_core::inspect::Inspect`.
//!
//! What all engines have in common is here: how a statement is judged, runs on a task of its own, is
//! stopped, and how its rows come back. Each engine's own part lies in its folder.

mod any;
mod backend;
mod count;
mod error;
mod forward;
mod page;
mod permitted;
mod rows;
mod running;
mod safety;
mod service;
mod settle;
mod transaction;

pub(crate) use backend::{Backend, Browse, Connection, Control, Ran, Statement, Stop};
pub(crate) use count::{Count, One};
pub(crate) use error::{TO_WRITE, closed, exhausted, of_kind, patience, unanswered, used_up};
pub(crate) use forward::{Holds, inspect_by_what_it_holds};
pub(crate) use page::{part_in_sql, place_in_sql, whole_in_sql};
pub(crate) use rows::Rows;
pub(crate) use service::Service;

pub use any::AnyDatabase;
pub(crate) use any::register;
pub use safety::judge;
pub(crate) use safety::{Statement as Reading, read};
