//! What the database service of all engines has in common. Each engine's own part lies in its folder.

mod safety;

pub use safety::judge;
