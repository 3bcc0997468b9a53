//! The URL of a call, taken apart.

use usher_model::resource::Scheme;
use usher_pipeline::worker::FetchError;

/// Where a call goes.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) url: &'a str,
    pub(crate) scheme: Scheme,
    /// Name or address; IPv6 without brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) path_and_query: String,
}

impl<'a> Target<'a> {
    /// Takes a URL apart. Users and passwords in URLs are refused: they would end up in logs.
    ///
    /// # Errors
    /// [`FetchError::BadUrl`].
    pub(crate) fn parse(url: &'a str) -> Result<Self, FetchError> {
        let bad = |reason: &str| FetchError::BadUrl { url: url.to_owned(), reason: reason.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(bad("its scheme is neither http nor https")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        if authority.contains('@') {
            return Err(bad("it has a user or password in it; send them in a header"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(|| bad("its address has no end"))?;
                (host, rest.strip_prefix(':'))
            }
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => scheme.port(),
            Some(port) => port.parse().map_err(|_| bad("its port is no number from 0 to 65535"))?,
        };
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("it has no usable host"));
        }
        let behind = behind.split('#').next().unwrap_or_default();
        let slash = if behind.starts_with('/') { "" } else { "/" };
        Ok(Self { url, scheme, host, port, path_and_query: format!("{slash}{behind}") })
    }

    /// The server as it stands in `Host`.
    pub(crate) fn authority(&self) -> String {
        crate::engine::nodes::authority(self.host, self.port, self.scheme)
    }

    /// The server, for people.
    pub(crate) fn peer(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn urls_are_taken_apart() {
        for (url, host, port, path) in [
            ("http://a.test", "a.test", 80, "/"),
            ("https://a.test/x?y=1#z", "a.test", 443, "/x?y=1"),
            ("http://a.test:8080?y=1", "a.test", 8080, "/?y=1"),
            ("https://[::1]:9000/x", "::1", 9000, "/x"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                (target.host, target.port, target.path_and_query.as_str()),
                (host, port, path),
                "{url}"
            );
        }
    }

    #[test]
    fn urls_that_cannot_be_called_say_why() {
        for (url, reason) in [
            ("a.test/x", "scheme"),
            ("file:///etc/passwd", "neither http nor https"),
            ("gopher://a.test", "neither http nor https"),
            ("http://user:pass@a.test/", "header"),
            ("http://:80/", "host"),
            ("http://a.test:x/", "port"),
            ("http://[::1/", "no end"),
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}
