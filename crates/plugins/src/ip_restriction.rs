//! `ip-restriction` admits or refuses a client by its address.
//!
//! The address is the client's as the gateway settled it: the socket's, or what a trusted proxy or `real-ip` says. Lists are merged into sorted
//! ranges once, so that a long list costs a binary search.
//!
//! Example: `{"whitelist": ["10.0.0.0/8", "2001:db8::1"]}`

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;
use usher_pipeline::stream::{OnConnections, Preread, Session, Verdict};

use crate::schema::{Network, one_of_required, status};

/// `ip-restriction`.
pub(crate) static PLUGIN: Spec = Spec::of::<IpRestriction>().on_connections::<IpRestriction>();

/// Admits or refuses a client by its address; exactly one of the two lists has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["whitelist"], &["blacklist"]]))]
struct Config {
    /// Addresses and networks that may come; all others may not.
    #[schemars(length(min = 1))]
    whitelist: Option<Vec<Network>>,
    /// Addresses and networks that may not come; all others may.
    #[schemars(length(min = 1))]
    blacklist: Option<Vec<Network>>,
    /// What a refused client reads, 1 to 1024 characters.
    #[serde(default = "refusal")]
    #[schemars(length(min = 1, max = 1024))]
    message: String,
    /// The status of a refusal: 403, or 404 so that the route seems not to exist.
    #[serde(default = "status::<403>")]
    #[schemars(extend("enum" = [403, 404]))]
    response_code: u16,
}

fn refusal() -> String {
    "Your IP address is not allowed".to_owned()
}

struct IpRestriction {
    listed: Ranges,
    /// Whether those in the list are the ones that may come.
    admits_listed: bool,
    refusal: FixedReply,
}

impl Plugin for IpRestriction {
    const NAME: &'static str = "ip-restriction";
    const PRIORITY: i32 = 3000;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::restrict)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let admits_listed = config.whitelist.is_some();
        let list = config.whitelist.or(config.blacklist).unwrap_or_default();
        Ok(Self {
            listed: Ranges::of(&list)?,
            admits_listed,
            refusal: Reply::message(config.response_code, &config.message).fixed(),
        })
    }
}

impl OnConnections for IpRestriction {
    const PREREAD: Option<Preread<Self>> = Some(Self::admit);
}

impl IpRestriction {
    /// A refused connection is closed without a word.
    fn admit(&self, session: &mut Session) -> Verdict {
        if self.listed.contains(session.client.ip()) == self.admits_listed {
            Verdict::Continue
        } else {
            Verdict::Close
        }
    }

    fn restrict(&self, exchange: &mut Exchange) -> Flow {
        if self.listed.contains(exchange.client.ip()) == self.admits_listed {
            return Flow::Continue;
        }
        self.refusal.reply().into()
    }
}

/// Disjoint ranges of addresses, in order.
struct Ranges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Ranges {
    fn of(list: &[Network]) -> Result<Self, BuildError> {
        let nets = list.iter().map(|entry| parse(&entry.0)).collect::<Result<Vec<_>, _>>()?;
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in IpNet::aggregate(&nets) {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        v4.sort_unstable();
        v6.sort_unstable();
        Ok(Self { v4, v6 })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
}

fn parse(text: &str) -> Result<IpNet, BuildError> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| BuildError::new(format!("invalid ip address: {text}")))?;
    // `::ffff:10.0.0.0/104` is `10.0.0.0/8` in other clothes, and clients are always looked at without them.
    let mapped: Option<(Ipv4Addr, u8)> = match net {
        IpNet::V6(net) => net.addr().to_ipv4_mapped().zip(net.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    let inner = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    Ok(inner.map_or(net, IpNet::V4))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    #[test]
    fn admits_and_refuses_by_the_lists() {
        let list = json!(["10.0.0.0/8", "192.168.1.7", "2001:db8::/32", "::ffff:ac10:0/108"]);
        for (address, listed) in [
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("172.16.5.5", true),
            ("172.32.0.0", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::ffff:10.1.1.1", true),
        ] {
            let white = harness(&PLUGIN, json!({ "whitelist": list })).from(address).get("/").status();
            let black = harness(&PLUGIN, json!({ "blacklist": list })).from(address).get("/").status();
            let expected = if listed { (200, 403) } else { (403, 200) };
            assert_eq!((white, black), expected, "{address}");
        }
    }

    #[test]
    fn refuses_with_the_message_and_status_that_were_asked_for() {
        let body = json!({ "whitelist": ["10.0.0.1"], "message": "no \"entry\"", "response_code": 404 });
        let outcome = harness(&PLUGIN, body).from("10.0.0.2").get("/");
        outcome.expect_status(404);
        assert_eq!(outcome.text(), "{\"message\":\"no \\\"entry\\\"\"}\n");
        assert_eq!(outcome.field("content-type"), Some("text/plain; charset=utf-8"));
        let outcome = harness(&PLUGIN, json!({ "blacklist": ["0.0.0.0/0"] })).get("/");
        assert_eq!(outcome.text(), "{\"message\":\"Your IP address is not allowed\"}\n");
    }

    #[test]
    fn refuses_a_list_that_is_none() {
        for body in [
            json!({}),
            json!({ "whitelist": [] }),
            json!({ "whitelist": ["10.0.0.1"], "blacklist": ["10.0.0.2"] }),
            json!({ "whitelist": ["10.0.0.1/33"] }),
            json!({ "whitelist": ["10.0.0.256"] }),
            json!({ "whitelist": ["a.test"] }),
            json!({ "whitelist": ["10.0.0.1"], "response_code": 200 }),
            json!({ "whitelist": ["10.0.0.1"], "message": "" }),
        ] {
            assert!(try_harness(&PLUGIN, body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn names_an_address_that_only_looks_like_one() {
        let error = try_harness(&PLUGIN, json!({ "whitelist": ["1.2.3.400/8"] })).err().unwrap();
        assert!(error.message.ends_with("invalid ip address: 1.2.3.400/8"), "{error}");
    }
}
