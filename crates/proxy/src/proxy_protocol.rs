//! The PROXY protocol, versions 1 and 2, as a load balancer sends it in front of a connection: where the client really is.
//!
//! Strict, because it decides who somebody is: what isn't exactly as HAProxy's specification says it ends the connection. Nothing beyond the header is
//! ever taken, so that what follows it can be read by whoever speaks next.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, with its line's end.
pub const LONGEST_V1: usize = 107;

/// The longest header of version 2 that is read: addresses, and more extensions than balancers send.
pub const LONGEST_V2: usize = 16 + 4096;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const V1: &[u8] = b"PROXY ";

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes that it takes.
    pub length: usize,
    /// Where the client is; `None` where the balancer speaks for itself, or doesn't know.
    pub client: Option<SocketAddr>,
}

/// What has come isn't the beginning of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no header of the PROXY protocol: {0}")]
pub struct Malformed(&'static str);

/// Reads a header; `None` asks for more bytes.
///
/// # Errors
/// [`Malformed`], at the first byte that is wrong.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if starts_alike(bytes, &SIGNATURE) {
        return v2(bytes);
    }
    if starts_alike(bytes, V1) {
        return v1(bytes);
    }
    Err(Malformed("neither of both beginnings"))
}

/// A header of version 1, for whoever is told where the client is.
#[must_use]
pub fn line(client: SocketAddr, server: SocketAddr) -> String {
    let (source, own) = (client.ip().to_canonical(), server.ip().to_canonical());
    let kind = match (source, own) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        // Both have to be of one kind.
        _ => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("PROXY {kind} {source} {own} {} {}\r\n", client.port(), server.port())
}

/// How many further bytes are certainly part of the header; `None` where only looking for the line's end tells.
#[must_use]
pub fn needs(bytes: &[u8]) -> Option<usize> {
    let wanted = match bytes.len() {
        // The shortest header of all is longer.
        0..12 => 12,
        _ if bytes.starts_with(V1) => return None,
        12..16 => 16,
        _ => 16 + length_of(bytes),
    };
    Some(wanted.saturating_sub(bytes.len()))
}

/// Whether one is the beginning of the other.
fn starts_alike(bytes: &[u8], wanted: &[u8]) -> bool {
    let length = bytes.len().min(wanted.len());
    bytes.get(..length) == wanted.get(..length)
}

fn length_of(bytes: &[u8]) -> usize {
    match bytes.get(14..16) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    }
}

fn v2(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let command = match bytes.get(12) {
        None => return Ok(None),
        Some(command @ (0x20 | 0x21)) => *command,
        Some(_) => return Err(Malformed("another version or command than 2.0 and 2.1")),
    };
    let Some(family) = bytes.get(13) else { return Ok(None) };
    if bytes.len() < 16 {
        return Ok(None);
    }
    let length = 16 + length_of(bytes);
    if length > LONGEST_V2 {
        return Err(Malformed("it is too long"));
    }
    let Some(addresses) = bytes.get(16..length) else { return Ok(None) };
    let client = match (command, family) {
        // The balancer's own connection, such as a health check: whatever it says of addresses is left out.
        (0x20, _) | (_, 0x00 | 0x31 | 0x32) => None,
        (_, 0x11) => Some(SocketAddr::new(ip4(addresses)?.into(), number(addresses, 8)?)),
        (_, 0x21) => Some(SocketAddr::new(ip6(addresses)?, number(addresses, 32)?)),
        _ => return Err(Malformed("addresses of a kind that no TCP connection has")),
    };
    Ok(Some(Header { length, client }))
}

const SHORT: Malformed = Malformed("it is too short for its addresses");

fn ip4(addresses: &[u8]) -> Result<Ipv4Addr, Malformed> {
    // The source; both addresses and both ports have to be there.
    let octets: [u8; 4] = addresses.get(..12).and_then(|all| all.get(..4)?.try_into().ok()).ok_or(SHORT)?;
    Ok(octets.into())
}

fn ip6(addresses: &[u8]) -> Result<IpAddr, Malformed> {
    let octets: [u8; 16] = addresses.get(..36).and_then(|all| all.get(..16)?.try_into().ok()).ok_or(SHORT)?;
    Ok(Ipv6Addr::from(octets).to_canonical())
}

fn number(addresses: &[u8], at: usize) -> Result<u16, Malformed> {
    match addresses.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(SHORT),
    }
}

fn v1(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let within = bytes.get(..bytes.len().min(LONGEST_V1)).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if bytes.len() >= LONGEST_V1 { Err(Malformed("its line is too long")) } else { Ok(None) };
    };
    let line = within.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(Malformed("its line has no proper end"))?;
    let length = end + 1;
    let mut words = line.split(' ').skip(1);
    let is_v4 = match words.next() {
        Some("UNKNOWN") => return Ok(Some(Header { length, client: None })),
        Some("TCP4") => true,
        Some("TCP6") => false,
        _ => return Err(Malformed("another protocol than TCP4, TCP6 and UNKNOWN")),
    };
    let mut address = || {
        let ip: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
        ip.filter(|ip| ip.is_ipv4() == is_v4).ok_or(Malformed("an address that is none of its kind"))
    };
    let (source, _destination) = (address()?, address()?);
    let mut port = || words.next().and_then(decimal).ok_or(Malformed("a port that is none"));
    let (source_port, _destination_port) = (port()?, port()?);
    if words.next().is_some() {
        return Err(Malformed("something behind its ports"));
    }
    Ok(Some(Header { length, client: Some(SocketAddr::new(source.to_canonical(), source_port)) }))
}

/// A port without a sign or zeros in front.
fn decimal(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if plain { word.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::{Header, LONGEST_V1, SIGNATURE, needs, parse};

    /// Version 2: command, family, what follows.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    const FOUR: [u8; 12] = [10, 1, 2, 3, 10, 0, 0, 1, 0x11, 0x5c, 0, 80];

    fn six() -> Vec<u8> {
        let (source, own): (std::net::Ipv6Addr, std::net::Ipv6Addr) =
            ("2001:db8::7".parse().unwrap(), "2001:db8::1".parse().unwrap());
        [&source.octets()[..], &own.octets(), &[0x11, 0x5c, 0, 80]].concat()
    }

    #[test]
    fn headers_say_where_the_client_is() {
        let with_extensions = [&FOUR[..], &[4, 0, 1, 0]].concat();
        for (bytes, client) in [
            (b"PROXY TCP4 10.1.2.3 10.0.0.1 4444 80\r\n".to_vec(), Some("10.1.2.3:4444")),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 4444 80\r\n".to_vec(), Some("[2001:db8::7]:4444")),
            (b"PROXY TCP6 ::ffff:10.1.2.3 ::1 1 2\r\n".to_vec(), Some("10.1.2.3:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN whatever else\r\n".to_vec(), None),
            (v2(0x21, 0x11, &FOUR), Some("10.1.2.3:4444")),
            (v2(0x21, 0x11, &with_extensions), Some("10.1.2.3:4444")),
            (v2(0x21, 0x21, &six()), Some("[2001:db8::7]:4444")),
            (v2(0x20, 0x11, &FOUR), None),
            (v2(0x20, 0x00, b""), None),
            (v2(0x21, 0x00, b""), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let client = client.map(|text| text.parse().unwrap());
            let whole = Header { length: bytes.len(), client };
            let behind = [bytes.as_slice(), b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&behind), Ok(Some(whole)), "{:?}", String::from_utf8_lossy(&bytes));
            for cut in 0..bytes.len() {
                let part = &bytes[..cut];
                assert_eq!(parse(part), Ok(None), "{part:?}");
                assert!(needs(part).is_none_or(|more| more > 0 && cut + more <= bytes.len()), "{part:?}");
            }
        }
    }

    #[test]
    fn what_is_not_exactly_a_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1));
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY  TCP4 10.1.2.3 10.0.0.1 4444 80\r\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 4444 80\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 4444\r\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 4444 80 \r\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 04444 80\r\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 +4444 80\r\n".to_vec(),
            b"PROXY TCP4 10.1.2.3 10.0.0.1 70000 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY TCP4 10.1.2.03 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY UDP4 10.1.2.3 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY \xff\xff\r\n".to_vec(),
            b"proxy TCP4 10.1.2.3 10.0.0.1 1 80\r\n".to_vec(),
            long.into_bytes(),
            v2(0x11, 0x11, &FOUR),
            v2(0x22, 0x11, &FOUR),
            v2(0x21, 0x11, &FOUR[..11]),
            v2(0x21, 0x21, &FOUR),
            v2(0x21, 0x12, &FOUR),
            v2(0x21, 0x41, &FOUR),
            v2(0x21, 0x11, &[0; 5000]),
        ] {
            assert!(parse(&bytes).is_err(), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
