//! The address of a request, taken apart as curl does.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

/// An address, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Host, with a port where one is written.
    pub(super) host: String,
    /// Path and query.
    pub(super) target: String,
    /// `name:password` before the host.
    pub(super) user: Option<String>,
}

/// Takes an address apart. Without a scheme it is `http`, without a path `/`; what stands behind `#` is never sent.
///
/// # Errors
/// Another scheme, or no host.
pub(super) fn read(text: &str) -> Result<Url, String> {
    let rest = match text.split_once("://") {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
        {
            rest
        }
        Some((scheme, _))
            if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) =>
        {
            return Err(format!("{scheme} is not HTTP"));
        }
        _ => text,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = (rest.get(..end).unwrap_or_default(), rest.get(end..).unwrap_or_default());
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(percent_decode_str(user).decode_utf8_lossy().into_owned()), host),
        None => (None, authority),
    };
    if host.is_empty() {
        return Err(format!("{text:?} has no host"));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(Url { host: host.to_owned(), target: sendable(&format!("{slash}{path}")), user })
}

/// The same with everything escaped that may not stand in a request line.
fn sendable(target: &str) -> String {
    let mut out = String::with_capacity(target.len());
    for byte in target.bytes() {
        if byte.is_ascii_graphic() {
            out.push(char::from(byte));
        } else {
            // Writing to a String never fails.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, host, target) in [
            ("http://a.test", "a.test", "/"),
            ("HTTPS://a.test:8443/x?y=1#z", "a.test:8443", "/x?y=1"),
            ("a.test?x", "a.test", "/?x"),
            ("a.test:9080/x", "a.test:9080", "/x"),
            ("http://a.test/?u=http://b.test", "a.test", "/?u=http://b.test"),
            ("a.test/?u=http://b.test", "a.test", "/?u=http://b.test"),
            ("http://a.test/\u{e4}", "a.test", "/%C3%A4"),
        ] {
            let url = read(text).unwrap();
            assert_eq!((url.host.as_str(), url.target.as_str(), url.user), (host, target, None), "{text}");
        }
        assert!(read("ftp://a.test").is_err() && read("http:///x").is_err());
    }
}
