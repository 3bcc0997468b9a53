//! The plugins of Usher: one file a plugin, and the one visible list of them.
//!
//! A plugin exists by two lines here: its `mod` line and its line in [`all`]. Nothing registers itself, so that what this list shows is what
//! runs; `tests/every_plugin.rs` fails when a file of this folder is missing from it.

mod cors;
mod field_edits;
mod forward_auth;
mod ip_restriction;
mod key_auth;
mod limit_count;
mod origins;
mod pattern;
pub mod prometheus;
mod proxy_cache;
mod proxy_rewrite;
mod redirect;
mod request_id;
mod request_validation;
mod response_rewrite;
mod schema;
mod text;
mod traffic_split;

use usher_pipeline::spec::Spec;

/// Every plugin, in the order of the alphabet. Priorities are the plugins' own.
static ALL: &[&Spec] = &[
    &cors::PLUGIN,
    &forward_auth::PLUGIN,
    &ip_restriction::PLUGIN,
    &key_auth::PLUGIN,
    &limit_count::PLUGIN,
    &prometheus::PLUGIN,
    &proxy_cache::PLUGIN,
    &proxy_rewrite::PLUGIN,
    &redirect::PLUGIN,
    &request_id::PLUGIN,
    &request_validation::PLUGIN,
    &response_rewrite::PLUGIN,
    &traffic_split::PLUGIN,
];

/// Every plugin of this program.
#[must_use]
pub fn all() -> &'static [&'static Spec] {
    ALL
}
