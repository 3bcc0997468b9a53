//! `real-ip` takes the client's address from where a proxy in front of the gateway wrote it: a header, an argument, any variable.
//!
//! Everything behind it, limits and restrictions included, goes by that address. So it is only believed from `trusted_addresses`, where those are
//! given, and of a list of hops only the last counts, or with `recursive` the last one that isn't trusted itself.
//!
//! Example: `{"source": "http_x_forwarded_for", "trusted_addresses": ["127.0.0.0/8", "10.0.0.0/8"], "recursive": true}`

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_model::variables::Variables as _;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::Spec;

use crate::schema::Network;

/// `real-ip`.
pub(crate) static PLUGIN: Spec = Spec::of::<RealIp>();

/// Takes the client's address from where a proxy in front of the gateway wrote it.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The variable that holds the address, without `$`, such as `http_x_forwarded_for` or `arg_realip`. A port may stand behind the address.
    #[schemars(length(min = 1))]
    source: String,
    /// Networks of the proxies that are believed; without them everybody is.
    #[schemars(length(min = 1))]
    trusted_addresses: Option<Vec<Network>>,
    /// Of the hops in `X-Forwarded-For`, takes the last that isn't in `trusted_addresses`, instead of the last.
    #[serde(default)]
    recursive: bool,
}

struct RealIp {
    source: String,
    trusted: Option<Vec<IpNet>>,
    recursive: bool,
}

/// The header that is a list of hops.
const HOPS: &str = "http_x_forwarded_for";

impl Plugin for RealIp {
    const NAME: &'static str = "real-ip";
    const PRIORITY: i32 = 23000;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::settle)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let trusted = config.trusted_addresses.map(|list| {
            let read = |Network(text): &Network| {
                let address = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
                address.map_err(|_| BuildError::new(format!("invalid ip address: {text}")))
            };
            list.iter().map(read).collect::<Result<Vec<_>, _>>()
        });
        Ok(Self {
            source: config.source.to_ascii_lowercase(),
            trusted: trusted.transpose()?,
            recursive: config.recursive,
        })
    }
}

impl RealIp {
    fn settle(&self, exchange: &mut Exchange) -> Flow {
        let Some(text) = self.written(exchange) else {
            tracing::debug!(source = self.source, "a request has no real address");
            return Flow::Continue;
        };
        let old = exchange.client;
        match parse(&text, old.port()) {
            None => tracing::debug!(address = text, "a request's real address is none"),
            Some(_) if self.trusted.is_some() && !self.trusts(old.ip()) => {}
            Some(address) => {
                exchange.client = address;
                tell(exchange, old.ip(), address.ip());
            }
        }
        Flow::Continue
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().flatten().any(|network| network.contains(&address))
    }

    /// The text of the address.
    fn written(&self, exchange: &Exchange) -> Option<String> {
        if self.source != HOPS {
            let text = exchange.variable(&self.source)?;
            return Some(std::str::from_utf8(&text).ok()?.trim().to_owned());
        }
        let hops = hops(exchange)?;
        let mut found = None;
        for hop in hops.rsplit(',').map(str::trim) {
            found = Some(hop);
            if !self.recursive || parse(hop, 0).is_none_or(|address| !self.trusts(address.ip())) {
                break;
            }
        }
        found.filter(|hop| !hop.is_empty()).map(str::to_owned)
    }
}

/// The hops in front of the gateway, as they came: the gateway adds the peer's own to what it sends on.
fn hops(exchange: &Exchange) -> Option<String> {
    if let Some(original) = exchange.variable("original_x_forwarded_for") {
        return String::from_utf8(original.into_owned()).ok();
    }
    let mut all = String::new();
    for line in exchange.request.head.get_all("x-forwarded-for") {
        let line = std::str::from_utf8(line).ok()?;
        if !all.is_empty() {
            all.push(',');
        }
        all.push_str(line);
    }
    let peer = exchange.client.ip().to_canonical();
    let (before, last) = all.rsplit_once(',').unwrap_or(("", &all));
    let is_ours = parse(last.trim(), 0).is_some_and(|hop| hop.ip() == peer);
    let hops = if is_ours { before } else { &all };
    (!hops.trim().is_empty()).then(|| hops.to_owned())
}

/// An address with or without a port; IPv6 also in brackets.
fn parse(text: &str, port: u16) -> Option<SocketAddr> {
    let plain = text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
    let bracketed = || {
        let ip = text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
        Some(SocketAddr::new(ip, port))
    };
    let with_port = || text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0);
    let found = plain.or_else(bracketed).or_else(with_port)?;
    Some(SocketAddr::new(found.ip().to_canonical(), found.port()))
}

/// What the upstream is told of the client.
fn tell(exchange: &mut Exchange, old: IpAddr, new: IpAddr) {
    let head = &mut exchange.request.head;
    let (old, new) = (old.to_canonical().to_string(), new.to_string());
    let forwarded = head.get_str("x-forwarded-for").and_then(|text| text.strip_suffix(old.as_str()));
    let forwarded = forwarded.map(|before| format!("{before}{new}"));
    for (name, value) in [("X-Real-IP", Some(new)), ("X-Forwarded-For", forwarded)] {
        if let Some(value) = value.filter(|_| head.contains(name) || name == "X-Real-IP")
            && let Err(error) = head.set(name, value)
        {
            tracing::debug!(%error, "left out a forwarding header");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    fn seen(body: Value, target: &str, fields: &[(&str, &str)]) -> String {
        let mut bench = harness(&PLUGIN, body).from("10.0.0.1");
        bench.send("GET", target, fields, "").exchange.client.to_string()
    }

    #[test]
    fn the_address_comes_from_any_variable_with_or_without_a_port() {
        for (target, wanted) in [
            ("/?ip=1.2.3.4", "1.2.3.4:40000"),
            ("/?ip=1.2.3.4:99", "1.2.3.4:99"),
            ("/?ip=[2001:db8::1]:99", "[2001:db8::1]:99"),
            ("/?ip=[2001:db8::1]", "[2001:db8::1]:40000"),
            ("/?ip=2001:db8::1", "[2001:db8::1]:40000"),
            ("/?ip=::ffff:1.2.3.4", "1.2.3.4:40000"),
            ("/?ip=1.2.3.4:0", "10.0.0.1:40000"),
            ("/?ip=1.2.3.4:99999", "10.0.0.1:40000"),
            ("/?ip=nowhere", "10.0.0.1:40000"),
            ("/", "10.0.0.1:40000"),
        ] {
            assert_eq!(seen(json!({ "source": "arg_ip" }), target, &[]), wanted, "{target}");
        }
    }

    #[test]
    fn of_the_hops_the_last_counts_or_the_last_that_is_not_trusted() {
        let trusted = json!(["10.0.0.0/8", "192.0.2.7"]);
        for (hops, last, recursive) in [
            ("1.1.1.1", "1.1.1.1", "1.1.1.1"),
            ("1.1.1.1, 2.2.2.2", "2.2.2.2", "2.2.2.2"),
            ("6.6.6.6, 1.1.1.1, 192.0.2.7,10.9.9.9", "10.9.9.9", "1.1.1.1"),
            ("6.6.6.6, nonsense, 10.9.9.9", "10.9.9.9", "10.0.0.1"),
            ("10.1.1.1, 10.2.2.2", "10.2.2.2", "10.1.1.1"),
            ("1.1.1.1, 10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ] {
            for (is_recursive, wanted) in [(false, last), (true, recursive)] {
                let body = json!({
                    "source": "http_x_forwarded_for", "trusted_addresses": trusted, "recursive": is_recursive
                });
                let found = seen(body, "/", &[("X-Forwarded-For", hops)]);
                assert_eq!(found, format!("{wanted}:40000"), "{hops} {is_recursive}");
            }
        }
    }

    #[test]
    fn only_trusted_peers_are_believed() {
        let body = json!({ "source": "http_x_real_client", "trusted_addresses": ["192.0.2.0/24"] });
        let fields = [("X-Real-Client", "1.1.1.1")];
        assert_eq!(seen(body.clone(), "/", &fields), "10.0.0.1:40000");
        let mut bench = harness(&PLUGIN, body).from("192.0.2.9");
        assert_eq!(bench.send("GET", "/", &fields, "").exchange.client.to_string(), "1.1.1.1:40000");
    }

    #[test]
    fn the_upstream_is_told_the_same_address() {
        let mut bench = harness(&PLUGIN, json!({ "source": "arg_ip" })).from("10.0.0.1");
        let fields = [("X-Real-IP", "10.0.0.1"), ("X-Forwarded-For", "9.9.9.9, 10.0.0.1")];
        let outcome = bench.send("GET", "/?ip=1.1.1.1", &fields, "");
        let head = &outcome.seen().head;
        assert_eq!(head.get_str("X-Real-IP"), Some("1.1.1.1"));
        assert_eq!(head.get_str("X-Forwarded-For"), Some("9.9.9.9, 1.1.1.1"));
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), "property \"source\" is required"),
            (json!({ "source": "" }), "string too short"),
            (json!({ "source": "a", "trusted_addresses": [] }), "expect array to have at least 1 items"),
            (
                json!({ "source": "a", "trusted_addresses": ["a.test"] }),
                "property \"trusted_addresses\" validation failed",
            ),
            (json!({ "source": "a", "trusted_addresses": ["1.2.3.4/40"] }), "trusted_addresses"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(
                error.message.contains(sentence) || error.message.contains("invalid ip address"),
                "{body}: {error}"
            );
        }
    }
}
