//! Addresses of other servers that users write into plugins: taken apart, and judged as an upstream's nodes are.

use std::net::IpAddr;

use serde_json::json;
use usher_pipeline::env::Env;
use usher_pipeline::plugin::BuildError;

/// Checks the URL in the member of this name.
///
/// # Errors
/// It is no `http://` or `https://` URL of a host, or of one that the gateway never calls.
pub(crate) fn check_url(member: &str, url: &str, env: &Env<'_>) -> Result<(), BuildError> {
    let wrong = |reason: &str| {
        BuildError::new(format!(
            "property \"{member}\" validation failed: {url:?} {reason}; write something like http://127.0.0.1:9000/path"
        ))
    };
    let (host, port) = authority(url).map_err(wrong)?;
    check_host(member, &host, port, env)
}

/// Checks a host and a port in the member of this name.
///
/// # Errors
/// It is an address that the gateway never calls.
pub(crate) fn check_host(member: &str, host: &str, port: u16, env: &Env<'_>) -> Result<(), BuildError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        // A node of IPv6 is written in brackets.
        let host = if address.is_ipv6() { format!("[{host}]") } else { host.to_owned() };
        // Which addresses the gateway never calls is the proxy's to say: it judges this one as it judges a node's.
        let node = json!({ "type": "roundrobin", "nodes": [{ "host": host, "port": port, "weight": 1 }] });
        env.target(member, &node).map_err(|error| {
            BuildError::new(format!(
                "property \"{member}\" validation failed: {host}:{port} can't be called: {error}"
            ))
        })?;
    }
    Ok(())
}

/// Host and port of a URL; the host without the brackets of an IPv6 address.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn authority(uri: &str) -> Result<(String, u16), &'static str> {
    let lower = uri.to_ascii_lowercase();
    let schemes = [("http://", 80), ("https://", 443)];
    let known = schemes.iter().find_map(|(scheme, port)| Some((lower.strip_prefix(scheme)?, *port)));
    let (rest, default_port) = known.ok_or("does not begin with http:// or https://")?;
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has a character that can't stand in a URI");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("has a user name in it, which belongs into a member of its own");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err("has no host");
    }
    let port = match port {
        None => default_port,
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or("has a port that is none")?,
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use usher_pipeline::harness::try_harness;

    use super::authority;

    #[test]
    fn addresses_of_ipv6_may_be_called() {
        for uri in ["http://[::1]:9411/", "http://127.0.0.1:9411/"] {
            let body = serde_json::json!({ "endpoint": uri, "sample_ratio": 1 });
            assert!(try_harness(&crate::zipkin::PLUGIN, body).is_ok(), "{uri}");
        }
    }

    #[test]
    fn only_http_addresses_of_a_host_are_taken() {
        for (uri, wanted) in [
            ("http://a", Some(("a", 80))),
            ("https://a.test/x/y?z=1:2", Some(("a.test", 443))),
            ("https://a.test:8443?x", Some(("a.test", 8443))),
            ("http://[::1]/", Some(("::1", 80))),
            ("http://[::1]:9000/auth", Some(("::1", 9000))),
            ("HTTP://A#b", Some(("a", 80))),
            ("a.test/auth", None),
            ("file:///etc/passwd", None),
            ("gopher://a", None),
            ("http://", None),
            ("http:///x", None),
            ("http://:80/", None),
            ("http://[]/", None),
            ("http://a:0/", None),
            ("http://a:99999/", None),
            ("http://a:b/", None),
            ("http://user:secret@a/", None),
            ("http://a/ b", None),
            ("http://a\r\nX: y", None),
        ] {
            let found = authority(uri).ok();
            assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), wanted, "{uri}");
        }
    }
}
