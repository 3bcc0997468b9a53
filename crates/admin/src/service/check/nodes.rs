//! Upstream nodes that no gateway may send requests to: link-local and cloud metadata addresses, and Usher's own other listeners.
//!
//! Loopback and private addresses are ordinary upstreams. Names are looked at here as far as they spell an address; what they resolve to is
//! checked again where the proxy connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::Value;
use usher_model::kind::Kind;
use usher_model::resource::Upstream;

use super::super::references::each_object_in_plugins;

/// Names under which clouds serve a machine's own credentials.
const METADATA_NAMES: [&str; 4] =
    ["metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"];

/// The same as addresses outside the link-local ranges: Alibaba, Azure, Oracle, and AWS over IPv6.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Checks every node of a resource, those of upstreams inside plugins too.
///
/// # Errors
/// The sentence and the JSON pointer of the first node that is refused.
pub(super) fn check(own: &[SocketAddr], kind: Kind, value: &Value) -> Result<(), (String, String)> {
    match kind {
        Kind::Upstream => upstream(own, value, "")?,
        Kind::Route | Kind::Service | Kind::StreamRoute => {
            if let Some(inline) = value.get("upstream") {
                upstream(own, inline, "/upstream")?;
            }
        }
        _ => {}
    }
    let mut judged = Ok(());
    each_object_in_plugins(value, &mut |object, pointer| {
        if judged.is_ok() && object.get("nodes").is_some() {
            judged = upstream(own, object, pointer);
        }
    });
    judged
}

fn upstream(own: &[SocketAddr], value: &Value, pointer: &str) -> Result<(), (String, String)> {
    // Whatever else has a member `nodes` inside a plugin's body is no upstream.
    let Ok(upstream) = Upstream::from_value(value) else { return Ok(()) };
    for node in &upstream.nodes {
        if node.host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            let sentence = format!(
                "the upstream node {:?} is refused: a host holds no blanks and no control characters; \
                 name a host or an address",
                node.host
            );
            return Err((sentence, format!("{pointer}/nodes")));
        }
        let port = node.port.unwrap_or_else(|| upstream.scheme.port());
        if let Some(reason) = refused(own, &node.host, port) {
            let address =
                if node.host.contains(':') { format!("[{}]", node.host) } else { node.host.clone() };
            let sentence = format!(
                "the upstream node {address}:{port} is refused: it is {reason}; name a server of your own"
            );
            return Err((sentence, format!("{pointer}/nodes")));
        }
    }
    Ok(())
}

/// Why the gateway may not send requests to a host and port, if it may not.
pub(in crate::service) fn refused(own: &[SocketAddr], host: &str, port: u16) -> Option<&'static str> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if METADATA_NAMES.contains(&name.as_str()) {
        return Some("a cloud metadata service");
    }
    let is_local = name == "localhost" || name.ends_with(".localhost");
    let address = if is_local { Some(Ipv4Addr::LOCALHOST.into()) } else { address(&name) }?;
    if is_metadata(address) {
        return Some("a link-local or cloud metadata address");
    }
    own.iter()
        .any(|own| reaches(address, is_local, port, *own))
        .then_some("a listener of Usher itself that is no gateway")
}

/// The address that a name spells, in any form that a resolver would take.
fn address(name: &str) -> Option<IpAddr> {
    match name.split('%').next().unwrap_or_default().parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => Some(inner(v6).map_or(IpAddr::V6(v6), IpAddr::V4)),
        Ok(v4) => Some(v4),
        Err(_) => loose(name).map(IpAddr::V4),
    }
}

/// The IPv4 address inside a mapped or translated IPv6 one.
fn inner(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let bytes = || {
        let ([w, x], [y, z]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(w, x, y, z)
    };
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(bytes()),
        _ => None,
    }
}

/// `127.1`, `0x7f000001` and `017700000001`: the C library's resolver takes these for addresses too.
fn loose(name: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = name.split('.').map(number).collect::<Option<_>>()?;
    let (last, firsts) = parts.split_last()?;
    let bits = 32_u32.checked_sub(8 * u32::try_from(firsts.len()).ok()?).filter(|bits| *bits >= 8)?;
    if firsts.iter().any(|part| *part > 255) || u64::from(*last) >= 1 << bits {
        return None;
    }
    let high = firsts.iter().fold(0_u32, |high, part| high << 8 | part);
    Some(Ipv4Addr::from(high.checked_shl(bits).unwrap_or(0) | last))
}

fn number(part: &str) -> Option<u32> {
    let (digits, base) = match part.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if part.len() > 1 && part.starts_with('0') => (part, 8),
        None => (part, 10),
    };
    // `from_str_radix` takes a sign, which no address has.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, base).ok())?
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == METADATA_V6,
    }
}

/// Whether a connection to `address` and `port` ends at the listener `own`.
fn reaches(address: IpAddr, is_local: bool, port: u16, own: SocketAddr) -> bool {
    if port != own.port() {
        return false;
    }
    let listener = match own.ip() {
        IpAddr::V6(v6) => inner(v6).map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    };
    let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    match (here(listener), here(address)) {
        // A listener on every address is met on any of this machine; of those only loopback is known here.
        _ if listener.is_unspecified() => here(address),
        // A connection to 0.0.0.0 or :: goes to loopback, and `localhost` may be either family.
        (true, true) => is_local || address.is_unspecified() || address == listener,
        _ => address == listener,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_model::kind::Kind;

    use super::check;

    fn own() -> [std::net::SocketAddr; 3] {
        ["127.0.0.1:9180", "[::1]:5000", "0.0.0.0:9091"].map(|text| text.parse().unwrap())
    }

    #[test]
    fn metadata_and_own_listeners_are_refused_in_every_spelling() {
        for (host, port, good) in [
            ("127.0.0.1", 8080, true),
            ("10.0.0.1", 80, true),
            ("192.168.1.1", 9180, true),
            ("example.com", 80, true),
            ("face.com", 80, true),
            ("169.254.169.254", 80, false),
            ("169.254.1.1", 80, false),
            ("[fe80::1]", 80, false),
            ("[::ffff:169.254.169.254]", 80, false),
            ("[64:ff9b::a9fe:a9fe]", 80, false),
            ("[fd00:ec2::254]", 80, false),
            ("[fd00:ec2::253]", 80, true),
            ("100.100.100.200", 80, false),
            ("metadata.google.internal", 80, false),
            ("Metadata.Google.Internal.", 80, false),
            ("0xa9fea9fe", 80, false),
            ("2852039166", 80, false),
            ("169.254.43518", 80, false),
            ("0251.0376.0251.0376", 80, false),
            ("127.0.0.1", 9180, false),
            ("127.1", 9180, false),
            ("localhost", 9180, false),
            ("0.0.0.0", 9180, false),
            ("[::]", 9180, false),
            ("[::ffff:127.0.0.1]", 9180, false),
            ("127.0.0.2", 9180, true),
            ("localhost", 5000, false),
            ("[::1]", 5000, false),
            ("127.0.0.1", 5000, true),
            ("127.0.0.9", 9091, false),
            ("a.localhost", 9091, false),
        ] {
            let upstream = json!({ "nodes": [{ "host": host, "port": port, "weight": 1 }] });
            assert_eq!(check(&own(), Kind::Upstream, &upstream).is_ok(), good, "{host}:{port}");
        }
    }

    #[test]
    fn hosts_with_blanks_or_control_characters_are_refused_and_shown_on_one_line() {
        for (host, shown) in [
            ("a b", r#""a b""#),
            ("a\r\nb", r#""a\r\nb""#),
            ("a\u{0}", r#""a\0""#),
            (" a", r#"" a""#),
            ("a\u{a0}b", r#""a\u{a0}b""#),
        ] {
            for nodes in
                [json!({ format!("{host}:80"): 1 }), json!([{ "host": host, "port": 80, "weight": 1 }])]
            {
                let (sentence, at) =
                    check(&[], Kind::Route, &json!({ "upstream": { "nodes": nodes } })).unwrap_err();
                assert_eq!(at, "/upstream/nodes");
                assert!(sentence.starts_with(&format!("the upstream node {shown} is refused")), "{sentence}");
            }
        }
    }

    #[test]
    fn upstreams_are_found_wherever_they_are_written() {
        let bad = json!({ "nodes": { "169.254.169.254": 1 } });
        let rules = json!([{ "weighted_upstreams": [{ "upstream": bad }] }]);
        let places: [(Kind, Value, &str); 4] = [
            (Kind::Route, json!({ "upstream": bad }), "/upstream/nodes"),
            (Kind::Service, json!({ "upstream": bad }), "/upstream/nodes"),
            (
                Kind::GlobalRule,
                json!({ "plugins": { "traffic-split": { "rules": rules } } }),
                "/plugins/traffic-split/rules/0/weighted_upstreams/0/upstream/nodes",
            ),
            (Kind::Upstream, bad.clone(), "/nodes"),
        ];
        for (kind, value, pointer) in places {
            let (sentence, at) = check(&[], kind, &value).unwrap_err();
            assert_eq!(at, pointer);
            assert!(sentence.contains("169.254.169.254:80"), "{sentence}");
        }
        let schema = json!({ "plugins": { "x": { "properties": { "nodes": { "type": "array" } } } } });
        assert!(check(&[], Kind::Route, &schema).is_ok());
    }
}
