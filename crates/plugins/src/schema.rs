//! What a derive can't say of a configuration: rules over several members, and defaults that stand beside their field.
//!
//! The functions are named in `#[schemars(transform = ..)]` and `#[serde(default = "..")]`, so that schema, manual and reader see the same text.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
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

/// An address or a network, such as `10.0.0.1` or `10.0.0.0/8`.
#[derive(Deserialize)]
pub(crate) struct Network(pub(crate) String);

impl JsonSchema for Network {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "title": "IPv4", "type": "string", "format": "ipv4" },
                { "title": "IPv4/CIDR", "type": "string", "pattern": "^([0-9]{1,3}\\.){3}[0-9]{1,3}/([0-9]|[1-2][0-9]|3[0-2])$" },
                { "title": "IPv6", "type": "string", "format": "ipv6" },
                { "title": "IPv6/CIDR", "type": "string", "pattern": "^([a-fA-F0-9]{0,4}:){1,8}(:[a-fA-F0-9]{0,4}){0,8}([a-fA-F0-9]{0,4})?/[0-9]{1,3}$" }
            ]
        })
    }
}

/// What APISIX lets be said of connections to a server that a plugin calls. Whoever reads a configuration takes it and does nothing with it.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "the worker's pool decides")]
pub(crate) struct Keepalive {
    /// Accepted for APISIX's sake: connections to the server are kept open by the worker's own pool.
    #[serde(default = "yes")]
    keepalive: bool,
    /// Milliseconds, at least 1000. Accepted for APISIX's sake, as `keepalive`.
    #[serde(default = "number::<60000>")]
    #[schemars(range(min = 1000))]
    keepalive_timeout: u64,
    /// At least 1. Accepted for APISIX's sake, as `keepalive`.
    #[serde(default = "number::<5>")]
    #[schemars(range(min = 1))]
    keepalive_pool: u64,
}

/// An object's id: a text, or a number that stands for its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, or a whole number from 1 to 18446744073709551615")]
pub(crate) enum Id {
    Text(Arc<str>),
    Number(u64),
}

impl Id {
    /// The id as it stands in the object's key.
    pub(crate) fn text(&self) -> Arc<str> {
        match self {
            Self::Text(text) => Arc::clone(text),
            Self::Number(number) => number.to_string().into(),
        }
    }
}

impl JsonSchema for Id {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-_.]+$" },
                { "type": "integer", "minimum": 1 },
            ]
        })
    }
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

/// Says that a type is written as another: what runs is read from it, and its schema is that one's.
macro_rules! written_as {
    ($runs:ty, $written:ty) => {
        impl schemars::JsonSchema for $runs {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$written as schemars::JsonSchema>::schema_name()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$written as schemars::JsonSchema>::json_schema(generator)
            }
        }
    };
}
pub(crate) use written_as;
