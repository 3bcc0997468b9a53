//! The web console: built pages, embedded, so that the binary needs no Node and no network.
//!
//! This version has none yet: what a person sees of the chat side is the plain page that `chat` serves.
