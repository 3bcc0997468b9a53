//! What of a request's head is believed: who is calling, which headers a client may not send, what the upstream is told instead.
//!
//! One pass over the fields drops what only the gateway may say, before any plugin runs; then the gateway says it.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use usher_http1::head::Head;
use usher_model::compat::Behaviour;
use usher_pipeline::exchange::Exchange;

use super::client::Client;
use crate::config::Shared;
use crate::options::Options;

/// The rules, made once per worker.
pub(super) struct Ingress {
    /// Lower case, with hyphens.
    identity: Vec<&'static str>,
    /// A bit for each length and one for each first letter that a guarded name has, so that most names cost one test.
    lengths: u64,
    initials: u32,
    trusted: Vec<IpNet>,
    real_ip_from_loopback: bool,
}

/// What a client said of where it comes from. Kept by a worker's states and refilled.
#[derive(Debug, Default)]
pub(super) struct Said {
    forwarded_for: Vec<u8>,
    real_ip: Vec<u8>,
    proto: Vec<u8>,
    host: Vec<u8>,
    port: Vec<u8>,
    scratch: String,
}

/// A field that clients may send, but that isn't simply passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guarded {
    Identity,
    RealIp,
    Forwarded,
    ForwardedFor,
    ForwardedProto,
    ForwardedHost,
    ForwardedPort,
    /// Says that the request is another one than it is.
    Override,
    /// `Expect`: answered by the gateway itself.
    Expect,
    /// `Connection`, which may name others.
    Connection,
}

/// Hops over the same neighbour after which a request is no longer handed on (reliability row HO-5).
const MOST_HOPS: usize = 10;

const FORWARDING: [(&str, Guarded); 11] = [
    ("expect", Guarded::Expect),
    ("connection", Guarded::Connection),
    ("x-real-ip", Guarded::RealIp),
    ("forwarded", Guarded::Forwarded),
    ("x-forwarded-for", Guarded::ForwardedFor),
    ("x-forwarded-proto", Guarded::ForwardedProto),
    ("x-forwarded-host", Guarded::ForwardedHost),
    ("x-forwarded-port", Guarded::ForwardedPort),
    ("x-original-url", Guarded::Override),
    ("x-rewrite-url", Guarded::Override),
    ("x-http-method-override", Guarded::Override),
];

impl Ingress {
    pub(super) fn new(options: &Options, shared: &Shared) -> Self {
        let identity = shared.registry().identity_headers();
        let names = || identity.iter().copied().chain(FORWARDING.iter().map(|(name, _)| *name));
        Self {
            lengths: names().fold(0, |lengths, name| lengths | length_bit(name.len())),
            initials: names().fold(0, |initials, name| initials | name.bytes().next().map_or(0, initial_bit)),
            identity,
            trusted: options.trusted_addresses.clone(),
            real_ip_from_loopback: options.compat.has(Behaviour::RealIpFromLoopback),
        }
    }

    /// Whether a peer's word on where a request came from is believed.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|network| network.contains(&peer))
    }

    /// Drops what a client may not say, settles the client's address, and says to the upstream where the request comes from.
    /// `authority` is the `Host` field as it came.
    pub(super) fn settle(&self, client: &Client, exchange: &mut Exchange, said: &mut Said, authority: &str) {
        said.clear();
        let trusted = client.trusted;
        let mut nominates = false;
        let head = &mut exchange.request.head;
        let concerns =
            |first, length| self.lengths & length_bit(length) != 0 && self.initials & initial_bit(first) != 0;
        head.remove_named(concerns, |name, value| {
            let Some(guarded) = self.guarded(name) else { return false };
            if guarded == Guarded::Connection {
                nominates |= nominates_others(value);
                return false;
            }
            if name.contains(&b'_') {
                // A spelling that no honest sender uses.
                return true;
            }
            said.note(guarded, value);
            match guarded {
                Guarded::ForwardedProto
                | Guarded::ForwardedHost
                | Guarded::ForwardedPort
                | Guarded::Forwarded
                | Guarded::Override => !trusted,
                _ => true,
            }
        });
        if nominates {
            // Before the gateway's own fields are there, which no client can name away.
            head.drop_hop_by_hop();
        }
        if let Some(address) = self.address(client, said) {
            exchange.client.set_ip(address);
        }
        self.tell(client, exchange, said, authority);
    }

    /// Whether a request came through this gateway so often that it runs in a circle: its last ten hops are one and the same. Looked at only where
    /// the chain of hops is long enough for that. Where clients are trusted by address and this one isn't, the chain begins anew at each hop, and
    /// a circle is ended by the bound on connections.
    pub(super) fn runs_in_a_circle(said: &Said) -> bool {
        // An address has two characters at least, and a comma behind it.
        if said.forwarded_for.len() < MOST_HOPS * 3 {
            return false;
        }
        let mut hops = said.forwarded_for.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let Some(last) = hops.next() else { return false };
        hops.take_while(|hop| *hop == last).take(MOST_HOPS - 1).count() == MOST_HOPS - 1
    }

    fn guarded(&self, name: &[u8]) -> Option<Guarded> {
        let known = FORWARDING.iter().find(|(known, _)| is_spelled(name, known)).map(|(_, guarded)| *guarded);
        known.or_else(|| {
            self.identity.iter().any(|known| is_spelled(name, known)).then_some(Guarded::Identity)
        })
    }

    /// The client's address, where it isn't the peer's: the first hop from the right that isn't trusted.
    fn address(&self, client: &Client, said: &Said) -> Option<IpAddr> {
        if client.trusted {
            let hops = std::str::from_utf8(&said.forwarded_for).ok()?;
            let mut found = None;
            for hop in hops.rsplit(',') {
                // What can't be read ends the chain: what lies in front of it could be made up.
                let Some(address) = address(hop.trim()) else { break };
                found = Some(address);
                if !self.trusts(address) {
                    break;
                }
            }
            return found;
        }
        if self.real_ip_from_loopback && client.peer.ip().to_canonical().is_loopback() {
            return address(std::str::from_utf8(&said.real_ip).ok()?.trim());
        }
        None
    }

    fn tell(&self, client: &Client, exchange: &mut Exchange, said: &mut Said, authority: &str) {
        let trusted = client.trusted;
        if !trusted {
            for (name, value) in [
                ("original_x_forwarded_proto", &said.proto),
                ("original_x_forwarded_host", &said.host),
                ("original_x_forwarded_port", &said.port),
                ("original_x_forwarded_for", &said.forwarded_for),
            ] {
                if !value.is_empty() {
                    exchange.set_variable(name, String::from_utf8_lossy(value));
                }
            }
        }
        // Once anybody is trusted, what others say of earlier hops is worth nothing.
        let chained = !said.forwarded_for.is_empty() && (trusted || self.trusted.is_empty());
        let port = exchange.request.port().filter(|port| *port != client.server.port());
        let scheme = exchange.request.scheme();
        let is_peer = exchange.client.ip() == client.peer.ip();
        let head = &mut exchange.request.head;
        // Host was checked by the decoder, addresses and numbers are ours, and forwarded values were field values before.
        let refused = |error| tracing::debug!(%error, "left out a forwarding header");
        if !trusted && !chained && is_peer && port.is_none() {
            let mut told = client.told.borrow_mut();
            told.about(client, scheme, authority);
            return head.append_all(&told.fields).unwrap_or_else(refused);
        }
        let mut put = |name: &str, value: &[u8]| head.append(name, value).unwrap_or_else(refused);
        if (!trusted || said.host.is_empty()) && !authority.is_empty() {
            put("X-Forwarded-Host", authority.as_bytes());
        }
        if !is_peer {
            said.written(exchange.client.ip().to_canonical());
        }
        let Said { forwarded_for, scratch, .. } = &mut *said;
        let address = if is_peer { client.peer_text.as_bytes() } else { scratch.as_bytes() };
        put("X-Real-IP", address);
        if chained {
            forwarded_for.extend_from_slice(b", ");
            forwarded_for.extend_from_slice(address);
            put("X-Forwarded-For", forwarded_for);
        } else {
            put("X-Forwarded-For", address);
        }
        if !trusted || said.proto.is_empty() {
            put("X-Forwarded-Proto", scheme.as_bytes());
        }
        if !trusted || said.port.is_empty() {
            put("X-Forwarded-Port", said.written(port.unwrap_or(client.server.port())).as_bytes());
        }
    }
}

/// What upstreams are told of a connection's requests, unless somebody in front of us said more. A connection's requests nearly always ask for
/// the same host, so that it is made once and used for all of them.
#[derive(Default)]
pub(super) struct Told {
    authority: String,
    fields: Head,
}

impl Told {
    /// Makes it anew where it is about another host.
    fn about(&mut self, client: &Client, scheme: &str, authority: &str) {
        if !self.fields.is_empty() && self.authority == authority {
            return;
        }
        self.authority.clear();
        self.authority.push_str(authority);
        self.fields.clear();
        let port = client.server.port().to_string();
        for (name, value) in [
            ("X-Real-IP", &*client.peer_text),
            ("X-Forwarded-For", &client.peer_text),
            ("X-Forwarded-Proto", scheme),
            ("X-Forwarded-Host", authority),
            ("X-Forwarded-Port", &port),
        ] {
            if !value.is_empty()
                && let Err(error) = self.fields.append(name, value)
            {
                tracing::debug!(%error, "left out a forwarding header");
            }
        }
    }
}

impl Said {
    fn clear(&mut self) {
        for text in
            [&mut self.forwarded_for, &mut self.real_ip, &mut self.proto, &mut self.host, &mut self.port]
        {
            text.clear();
        }
    }

    /// Something as text.
    fn written(&mut self, value: impl std::fmt::Display) -> &str {
        self.scratch.clear();
        // Writing to a String can't fail.
        let _ = write!(self.scratch, "{value}");
        &self.scratch
    }

    fn note(&mut self, guarded: Guarded, value: &[u8]) {
        let text = match guarded {
            Guarded::ForwardedFor => {
                if !self.forwarded_for.is_empty() {
                    self.forwarded_for.extend_from_slice(b", ");
                }
                self.forwarded_for.extend_from_slice(value);
                return;
            }
            Guarded::RealIp => &mut self.real_ip,
            Guarded::ForwardedProto => &mut self.proto,
            Guarded::ForwardedHost => &mut self.host,
            Guarded::ForwardedPort => &mut self.port,
            _ => return,
        };
        if text.is_empty() {
            text.extend_from_slice(value);
        }
    }
}

/// An address with or without a port, as proxies write hops.
fn address(hop: &str) -> Option<IpAddr> {
    let plain = hop.parse::<IpAddr>().ok();
    let bracketed = || hop.strip_prefix('[')?.split_once(']')?.0.parse().ok();
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    plain.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

const fn length_bit(length: usize) -> u64 {
    if length < 64 { 1 << length } else { 1 << 63 }
}

const fn initial_bit(first: u8) -> u32 {
    1 << (first & 0x1f)
}

/// Whether `name` is this name in any case, or with underscores for hyphens, which some servers read alike.
fn is_spelled(name: &[u8], known: &str) -> bool {
    name.len() == known.len()
        && name
            .iter()
            .zip(known.as_bytes())
            .all(|(byte, wanted)| byte.eq_ignore_ascii_case(wanted) || (*byte == b'_' && *wanted == b'-'))
}

/// Host and port of a `Host` field; the host keeps the brackets of an IPv6 address.
pub(crate) fn split_host(authority: &str) -> (&str, Option<u16>) {
    // From behind, because ports are short. A colon inside of brackets belongs to the host.
    match authority.bytes().rposition(|byte| matches!(byte, b':' | b']')).map(|at| authority.split_at(at)) {
        Some((host, port)) if port.starts_with(':') => {
            (host, port.get(1..).and_then(|port| port.parse().ok()))
        }
        _ => (authority, None),
    }
}

/// Whether a `Connection` field names others than itself always means.
pub(super) fn nominates_others(value: &[u8]) -> bool {
    // What nearly everybody says comes first.
    value != b"keep-alive"
        && ![b"keep-alive".as_slice(), b"close", b"upgrade"]
            .iter()
            .any(|usual| value.eq_ignore_ascii_case(usual))
}

#[cfg(test)]
mod tests {
    use super::{address, is_spelled, split_host};

    #[test]
    fn hosts_are_split_from_their_ports() {
        for (authority, wanted) in [
            ("a.test", ("a.test", None)),
            ("a.test:80", ("a.test", Some(80))),
            ("[::1]", ("[::1]", None)),
            ("[::1]:9080", ("[::1]", Some(9080))),
            ("", ("", None)),
        ] {
            assert_eq!(split_host(authority), wanted);
        }
    }

    #[test]
    fn hops_are_read_with_and_without_ports() {
        for (hop, wanted) in [
            ("1.2.3.4", Some("1.2.3.4")),
            ("1.2.3.4:5", Some("1.2.3.4")),
            ("::ffff:1.2.3.4", Some("1.2.3.4")),
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("unknown", None),
            ("_hidden", None),
            ("", None),
        ] {
            assert_eq!(address(hop), wanted.map(|text| text.parse().unwrap()), "{hop}");
        }
    }

    #[test]
    fn names_are_known_in_any_case_and_with_underscores() {
        assert!(is_spelled(b"X_Real-ip", "x-real-ip"));
        assert!(!is_spelled(b"X-Real-IPs", "x-real-ip") && !is_spelled(b"x-real.ip", "x-real-ip"));
    }
}
