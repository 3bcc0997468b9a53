//! Under which addresses this side is known to clients: each is an issuer, and an audience together with what lies below it.
//!
//! On loopback a client may say `localhost` or `127.0.0.1`, and holds us to what it said; so the address of an answer is that of the request, among
//! those that the guard lets in.

use axum::http::HeaderMap;
use axum::http::header::HOST;

/// Where MCP lies below an address.
pub(crate) const MCP: &str = "/mcp";

/// The addresses.
#[derive(Debug)]
pub(crate) struct Addresses {
    public_url: String,
    hosts: Vec<String>,
}

impl Addresses {
    /// `public_url` is what stands in the files; `hosts` are the names that are admitted beside it, each `host:port`, over plain HTTP.
    pub(crate) fn new(public_url: &str, hosts: &[String]) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        Self { public_url, hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// The address under which a request came, without a slash at its end.
    pub(crate) fn of(&self, headers: &HeaderMap) -> String {
        let host =
            headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        let is_public = self
            .public_url
            .split_once("://")
            .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(&host));
        if !is_public && self.hosts.contains(&host) {
            return format!("http://{host}");
        }
        self.public_url.clone()
    }

    /// Whether an address is one of ours.
    fn is_own(&self, address: &str) -> bool {
        address.eq_ignore_ascii_case(&self.public_url)
            || address
                .strip_prefix("http://")
                .is_some_and(|host| self.hosts.contains(&host.to_ascii_lowercase()))
    }

    /// The audience that a client names, as it is kept; `None` for what isn't ours.
    pub(crate) fn audience(&self, resource: &str) -> Option<String> {
        let resource = resource.trim_end_matches('/');
        let address = resource.strip_suffix(MCP).unwrap_or(resource);
        self.is_own(address).then(|| resource.to_owned())
    }

    /// Whether a token for this audience is good for a path here.
    pub(crate) fn is_meant(&self, audience: &str, path: &str) -> bool {
        match audience.strip_suffix(MCP) {
            Some(address) => path == MCP && self.is_own(address),
            None => self.is_own(audience),
        }
    }

    /// What a client without a token is told at the path that it asked for: where to learn how to get one (RFC 9728, section 5.1).
    pub(crate) fn challenge(&self, headers: &HeaderMap, path: &str, error: Option<&str>) -> String {
        let below = if path == MCP { MCP } else { "" };
        let metadata = format!("{}/.well-known/oauth-protected-resource{below}", self.of(headers));
        let error = error.map(|error| format!("error=\"{error}\", ")).unwrap_or_default();
        format!("Bearer {error}resource_metadata=\"{metadata}\", scope=\"chat\"")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::Addresses;

    #[test]
    fn a_token_is_good_for_its_own_audience_alone() {
        let addresses = Addresses::new("https://gw.example.com/", &["127.0.0.1:5000".to_owned()]);
        for (resource, audience) in [
            ("https://gw.example.com", Some("https://gw.example.com")),
            ("https://gw.example.com/", Some("https://gw.example.com")),
            ("https://gw.example.com/mcp", Some("https://gw.example.com/mcp")),
            ("http://127.0.0.1:5000/mcp", Some("http://127.0.0.1:5000/mcp")),
            ("https://127.0.0.1:5000/mcp", None),
            ("https://gw.example.com.evil.test/mcp", None),
            ("https://gw.example.com/mcp/x", None),
            ("https://other.example.com/mcp", None),
            ("", None),
        ] {
            assert_eq!(addresses.audience(resource).as_deref(), audience, "{resource}");
        }
        assert!(addresses.is_meant("https://gw.example.com/mcp", "/mcp"));
        assert!(!addresses.is_meant("https://gw.example.com/mcp", "/apisix/admin/routes"));
        assert!(addresses.is_meant("https://gw.example.com", "/apisix/admin/routes"));
        assert!(!addresses.is_meant("https://other.example.com", "/mcp"));
    }

    #[test]
    fn the_address_is_the_one_that_was_asked() {
        let addresses = Addresses::new("https://gw.example.com", &["127.0.0.1:5000".to_owned()]);
        let asked = |host: &str| {
            let headers: HeaderMap = [("host".parse().unwrap(), host.parse().unwrap())].into_iter().collect();
            addresses.of(&headers)
        };
        assert_eq!(asked("127.0.0.1:5000"), "http://127.0.0.1:5000");
        assert_eq!(asked("gw.example.com"), "https://gw.example.com");
        assert_eq!(asked("evil.test"), "https://gw.example.com");
    }
}
