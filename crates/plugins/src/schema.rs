//! What a derive can't say of a configuration: rules over several members, and defaults that stand beside their field.
//!
//! The functions are named in `#[schemars(transform = ..)]` and `#[serde(default = "..")]`, so that schema, manual and reader see the same text.

use schemars::Schema;
use serde_json::{Value, json};

/// Exactly one of these sets of members has to be there.
pub(crate) fn one_of_required(sets: &'static [&'static [&'static str]]) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("oneOf".to_owned(), required(sets));
    }
}

/// At least one of these sets of members has to be there.
pub(crate) fn any_of_required(sets: &'static [&'static [&'static str]]) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("anyOf".to_owned(), required(sets));
    }
}

fn required(sets: &[&[&str]]) -> Value {
    sets.iter().map(|set| json!({ "required": set })).collect()
}

/// The default `N` of a whole number.
pub(crate) const fn number<const N: u64>() -> u64 {
    N
}

/// The default `N` of a status.
pub(crate) const fn status<const N: u16>() -> u16 {
    N
}

/// The default `true`.
pub(crate) const fn yes() -> bool {
    true
}

/// The largest body that a plugin reads unless told otherwise: 64 MiB.
pub(crate) const MAX_BODY_BYTES: u64 = 64 << 20;
