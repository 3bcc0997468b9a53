//! What must hold of any input, one function a fuzz target. Ordinary tests replay the corpora by the same functions.

pub mod admin;
pub mod model;
pub mod store;
