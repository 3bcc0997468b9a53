//! Which counter a request belongs to, and the numbers of a limit where they vary.

use std::borrow::Cow;
use std::net::IpAddr;

use usher_model::variables::Variables;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::BuildError;

use super::config::{Amount, KeyType};
use super::counters::Counters;
use crate::text::Text;

/// What requests are told apart by.
pub(super) enum Key {
    /// The client's network: an IPv4 address, or a /64 of IPv6.
    Address,
    /// The variable of this name.
    Variable(String),
    /// A text with variables.
    Combination(Text),
    /// Not at all.
    Constant,
}

impl Key {
    pub(super) fn new(kind: KeyType, key: &str) -> Self {
        match kind {
            KeyType::Var if key == "remote_addr" => Self::Address,
            KeyType::Var => Self::Variable(key.to_owned()),
            KeyType::VarCombination => Self::Combination(Text::parse(key)),
            KeyType::Constant => Self::Constant,
        }
    }

    /// The counter of this request; the client's network where the key has no value.
    pub(super) fn counter(&self, exchange: &Exchange, counters: &Counters, space: u64) -> u64 {
        let text = match self {
            Self::Address => None,
            Self::Variable(name) => exchange.variable(name),
            Self::Combination(text) => text.render_resolved(&ByNetwork(exchange)),
            Self::Constant => return counters.key(space, ()),
        };
        match text {
            Some(text) => counters.key(space, (0_u8, &*text)),
            None => counters.key(space, (1_u8, network(exchange.client.ip()))),
        }
    }
}

/// The part of an address that one client can't change at will.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // Shifted down, the upper half is all that is left. IPv4 never meets it: public networks begin with 2000::.
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

/// Answers `remote_addr` by the network, so that nobody gets a new counter by another address of his own.
pub(super) struct ByNetwork<'a>(pub(super) &'a Exchange);

impl Variables for ByNetwork<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match self.0.client.ip().to_canonical() {
            IpAddr::V6(address) if name == "remote_addr" => {
                let network = std::net::Ipv6Addr::from_bits(address.to_bits() >> 64 << 64);
                Some(Cow::Owned(network.to_string().into_bytes()))
            }
            _ => self.0.variable(name),
        }
    }
}

/// A number of a limit.
pub(super) enum Number {
    Fixed(u64),
    Varying(Text),
}

/// The largest number that a limit may vary to: what a double still tells apart from the next.
const MAX_NUMBER: f64 = 9_007_199_254_740_991.0;

impl Number {
    /// The number that the member of this name says.
    ///
    /// # Errors
    /// A text that has no variable and is no whole number above 0.
    pub(super) fn new(member: &str, amount: &Amount) -> Result<Self, BuildError> {
        let text = match amount {
            Amount::Fixed(number) => return Ok(Self::Fixed(*number)),
            Amount::Varying(text) => text,
        };
        match Text::parse(text) {
            Text::Constant(constant) => whole(&constant).map(Self::Fixed).ok_or_else(|| {
                BuildError::new(format!(
                    "property \"{member}\" validation failed: {text:?} is neither a whole number above 0 nor a text with a variable, such as \"${{http_x_quota ?? 10}}\""
                ))
            }),
            varying @ Text::Varying(_) => Ok(Self::Varying(varying)),
        }
    }

    /// The number for this request.
    ///
    /// # Errors
    /// The text that is no whole number above 0.
    pub(super) fn resolve(&self, exchange: &Exchange) -> Result<u64, String> {
        let text = match self {
            Self::Fixed(number) => return Ok(*number),
            Self::Varying(text) => text.render(exchange),
        };
        let number = std::str::from_utf8(&text).ok().and_then(whole);
        number.ok_or_else(|| format!("{:?} is not a whole number above 0", String::from_utf8_lossy(&text)))
    }
}

/// The whole number above 0 that a text spells, as Lua reads it: `5`, `5.0` and `5e0` are one.
fn whole(text: &str) -> Option<u64> {
    let number = text.trim().parse::<f64>().ok()?;
    ((1.0..=MAX_NUMBER).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}
