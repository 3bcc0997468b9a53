//! The plugins of Usher: one file a plugin, and the one visible list of them.
//!
//! A plugin exists by two lines here: its `mod` line and its line in [`all`]. Nothing registers itself, so that what this list shows is what runs;
//! `tests/every_plugin.rs` fails when a file of this folder is missing from it.

mod schema;

use usher_pipeline::spec::Spec;

/// Every plugin, in the order of the alphabet. Priorities are the plugins' own.
static ALL: &[&Spec] = &[];

/// Every plugin of this program.
#[must_use]
pub fn all() -> &'static [&'static Spec] {
    ALL
}
