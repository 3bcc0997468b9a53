//! What must hold of any input, one function a fuzz target. Ordinary tests replay the corpora by the same functions.

pub mod admin;
pub mod model;
pub mod mqtt;
pub mod plugins;
pub mod proxy;
pub mod script;
pub mod store;
pub mod texts;
