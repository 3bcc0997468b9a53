//! Which addresses no upstream node may have: link-local ones, cloud metadata, and Usher's own other listeners.
//!
//! Asked when a node is written as an address, and by the engine for every address that a name resolved to, right before it connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Metadata services that don't live on link-local addresses.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Why the gateway doesn't connect to this address; `None` where it may. `own` are Usher's other listeners.
pub(crate) fn forbidden(address: SocketAddr, own: &[SocketAddr]) -> Option<&'static str> {
    let ip = plain(address.ip());
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if link_local {
        return Some("it is a link-local address, which the gateway never calls");
    }
    if METADATA.contains(&ip) {
        return Some("it is a cloud metadata service, which the gateway never calls");
    }
    own.iter()
        .any(|own| own.port() == address.port() && reaches(ip, plain(own.ip())))
        .then_some("it is a listener of Usher's own, which the gateway never calls")
}

/// An address without its IPv6 wrapping: IPv4-mapped (RFC 4291) and the well-known NAT64 prefix (RFC 6052).
fn plain(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(six) => match six.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            _ => ip.to_canonical(),
        },
        four => four,
    }
}

/// Whether a connection to `ip` comes to a listener that is bound to `own`.
fn reaches(ip: IpAddr, own: IpAddr) -> bool {
    // Connecting to the unspecified address means loopback, whatever the family.
    let local = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    if own.is_unspecified() {
        return local(ip) || is_of_this_machine(ip);
    }
    ip == own || (ip.is_unspecified() && own.is_loopback())
}

/// Only an address of this machine can be bound; asked only where port and wildcard already agree, so hardly ever.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::forbidden;

    #[test]
    fn link_local_metadata_and_own_listeners_are_refused() {
        let own = ["127.0.0.1:9180".parse().unwrap(), "0.0.0.0:5000".parse().unwrap()];
        for (address, wanted) in [
            ("10.0.0.1:80", None),
            ("127.0.0.1:80", None),
            ("192.168.1.1:9180", None),
            ("[::1]:80", None),
            ("169.254.169.254:80", Some("link-local")),
            ("169.254.0.1:443", Some("link-local")),
            ("[fe80::1]:80", Some("link-local")),
            ("[::ffff:169.254.169.254]:80", Some("link-local")),
            ("[64:ff9b::a9fe:a9fe]:80", Some("link-local")),
            ("100.100.100.200:80", Some("metadata")),
            ("168.63.129.16:80", Some("metadata")),
            ("[fd00:ec2::254]:80", Some("metadata")),
            ("127.0.0.1:9180", Some("Usher's own")),
            ("[::ffff:127.0.0.1]:9180", Some("Usher's own")),
            ("0.0.0.0:9180", Some("Usher's own")),
            ("127.0.0.2:9180", None),
            ("127.0.0.1:5000", Some("Usher's own")),
            ("127.9.9.9:5000", Some("Usher's own")),
            ("[::1]:5000", Some("Usher's own")),
            ("192.0.2.1:5000", None),
        ] {
            let found = forbidden(address.parse().unwrap(), &own);
            match wanted {
                None => assert_eq!(found, None, "{address}"),
                Some(part) => {
                    assert!(found.is_some_and(|found| found.contains(part)), "{address}: {found:?}")
                }
            }
        }
    }
}
