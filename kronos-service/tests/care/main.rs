//! What the daemon does beside running jobs, on a clock that tests set: what people hear, when storages
//! are caught up, what figures show.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod behind;
#[path = "../cellar/mod.rs"]
mod cellar;
mod house;
#[path = "../notify/common.rs"]
mod notes;
mod player;
mod seeds;
mod shown;
mod told;
#[path = "../wall/world.rs"]
mod world;
