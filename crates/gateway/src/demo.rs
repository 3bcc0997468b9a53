//! The demo: a sample API, a server in front of it, and the conversation that manages it.

pub(crate) mod conference;
pub(crate) mod walk;
