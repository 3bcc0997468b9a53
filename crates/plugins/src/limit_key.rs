//! Which counter of a limit a request belongs to, and the numbers of a limit where they vary with the request.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use usher_model::variables::Variables;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;

use crate::keyed::{Keyed, State};
use crate::text::Text;

/// How a limit's `key` is read.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyType {
    /// `key` is a variable's name.
    #[default]
    Var,
    /// `key` is a text with variables.
    VarCombination,
}

/// What requests are told apart by.
pub(crate) enum Key {
    /// The client's network: an IPv4 address, or a /64 of IPv6.
    Address,
    /// The variable of this name.
    Variable(String),
    /// A text with variables.
    Combination(Text),
    /// Not at all: one counter under this name.
    Constant(String),
}

/// The key of one request.
pub(crate) enum KeyText<'a> {
    /// What the key came to.
    Text(Cow<'a, [u8]>),
    /// It has no value, so that the client's network counts.
    Network(IpAddr),
    /// One for all.
    Constant,
}

impl Key {
    /// The key of this kind.
    pub(crate) fn new(kind: KeyType, key: &str) -> Self {
        match kind {
            KeyType::Var if key == "remote_addr" => Self::Address,
            KeyType::Var => Self::Variable(key.to_owned()),
            KeyType::VarCombination => Self::Combination(Text::parse(key)),
        }
    }

    /// The key of this request; the client's network where the key has no value.
    pub(crate) fn of<'a>(&'a self, exchange: &'a Exchange) -> KeyText<'a> {
        self.among(exchange, exchange.client.ip())
    }

    /// The same by these variables, of a client at this address.
    pub(crate) fn among<'a>(&'a self, variables: &'a dyn Variables, client: IpAddr) -> KeyText<'a> {
        let text = match self {
            Self::Address => None,
            Self::Variable(name) => variables.variable(name),
            Self::Combination(text) => text.render_resolved(&ByNetwork { variables, client }),
            Self::Constant(_) => return KeyText::Constant,
        };
        text.map_or_else(|| KeyText::Network(client), KeyText::Text)
    }

    /// The counter of this request.
    pub(crate) fn counter<S: State>(&self, exchange: &Exchange, counters: &Keyed<S>, space: u64) -> u64 {
        match self.of(exchange) {
            KeyText::Text(text) => counters.key(space, (0_u8, &*text)),
            KeyText::Network(address) => counters.key(space, (1_u8, network(address))),
            KeyText::Constant => counters.key(space, ()),
        }
    }

    /// The same as bytes that other gateways make too.
    pub(crate) fn bytes<'a>(&'a self, exchange: &'a Exchange) -> Cow<'a, [u8]> {
        match self.of(exchange) {
            KeyText::Text(text) => text,
            KeyText::Network(address) => Cow::Owned(network_text(address).into_bytes()),
            KeyText::Constant => match self {
                Self::Constant(name) => Cow::Borrowed(name.as_bytes()),
                _ => Cow::Borrowed(b""),
            },
        }
    }
}

/// The part of an address that one client can't change at will.
pub(crate) fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // Shifted down, the upper half is all that is left. IPv4 never meets it: public networks begin with 2000::.
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

fn network_text(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).to_string(),
        address @ IpAddr::V4(_) => address.to_string(),
    }
}

/// Answers `remote_addr` by the network, so that nobody gets a new counter by another address of his own.
pub(crate) struct ByNetwork<'a> {
    variables: &'a dyn Variables,
    client: IpAddr,
}

impl<'a> ByNetwork<'a> {
    /// The variables of a request.
    pub(crate) fn of(exchange: &'a Exchange) -> Self {
        Self { variables: exchange, client: exchange.client.ip() }
    }
}

impl Variables for ByNetwork<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match self.client.to_canonical() {
            address @ IpAddr::V6(_) if name == "remote_addr" => {
                Some(Cow::Owned(network_text(address).into_bytes()))
            }
            _ => self.variables.variable(name),
        }
    }
}

/// A number, or a text that makes one.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a whole number from 1 to 18446744073709551615, or a text with a variable that makes one"
)]
pub(crate) enum Amount {
    Fixed(u64),
    Varying(String),
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "integer", "exclusiveMinimum": 0 }, { "type": "string" }] })
    }
}

/// A number of a limit.
pub(crate) enum Number {
    Fixed(u64),
    Varying(Text),
}

/// The largest number that a limit may vary to: what a double still tells apart from the next.
const MAX_NUMBER: f64 = 9_007_199_254_740_991.0;

impl Number {
    /// The number above 0 that the member of this name says.
    ///
    /// # Errors
    /// A text that has no variable and is no whole number above 0.
    pub(crate) fn new(member: &str, amount: &Amount) -> Result<Self, BuildError> {
        Self::from(1, member, amount)
    }

    /// The number from `least` on that the member of this name says.
    ///
    /// # Errors
    /// A text that has no variable and is no such number.
    pub(crate) fn from(least: u64, member: &str, amount: &Amount) -> Result<Self, BuildError> {
        let text = match amount {
            Amount::Fixed(number) => return Ok(Self::Fixed(*number)),
            Amount::Varying(text) => text,
        };
        match Text::parse(text) {
            Text::Constant(constant) => whole(least, &constant).map(Self::Fixed).ok_or_else(|| {
                let wanted = if least == 0 { "a whole number from 0 on" } else { "a whole number above 0" };
                BuildError::new(format!(
                    "property \"{member}\" validation failed: {text:?} is neither {wanted} nor a text with a variable, such as \"${{http_x_quota ?? 10}}\""
                ))
            }),
            varying @ Text::Varying(_) => Ok(Self::Varying(varying)),
        }
    }

    /// The number above 0 for this request.
    ///
    /// # Errors
    /// The text that is no whole number above 0.
    pub(crate) fn resolve(&self, exchange: &Exchange) -> Result<u64, String> {
        self.resolve_from(1, exchange)
    }

    /// The number from `least` on for this request.
    ///
    /// # Errors
    /// The text that is no such number.
    pub(crate) fn resolve_from(&self, least: u64, exchange: &Exchange) -> Result<u64, String> {
        let text = match self {
            Self::Fixed(number) => return Ok(*number),
            Self::Varying(text) => text.render(exchange),
        };
        let number = std::str::from_utf8(&text).ok().and_then(|text| whole(least, text));
        number.ok_or_else(|| {
            format!("{:?} is not a whole number from {least} on", String::from_utf8_lossy(&text))
        })
    }
}

/// The whole number from `least` on that a text spells, as Lua reads it: `5`, `5.0` and `5e0` are one.
fn whole(least: u64, text: &str) -> Option<u64> {
    let number = text.trim().parse::<f64>().ok()?;
    let is_whole = (0.0..=MAX_NUMBER).contains(&number) && number.fract() == 0.0;
    Some(number as u64).filter(|number| is_whole && *number >= least)
}
