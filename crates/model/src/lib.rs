//! What a gateway is configured with: resources, their schemas and sentences, expressions, variables, changes.
//!
//! Nothing here does I/O or waits: every other room imports this one, so it has to stay light and sure.
//!
//! What it is not: no I/O, and nothing that waits.

pub mod aws;
pub mod certificate;
pub mod change;
pub mod chat_files;
pub mod compat;
pub mod diff;
pub mod document;
pub mod expr;
pub mod help;
pub mod invisible;
pub mod jose;
pub mod json_path;
pub mod kind;
pub mod live;
pub mod mask;
pub mod nearest;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod reference;
pub mod resource;
pub mod schema;
pub mod scope;
pub mod seal;
pub mod secret;
pub mod template;
pub mod traffic;
pub mod variables;
