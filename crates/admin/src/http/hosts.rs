//! Under which names the console is served: a page of somebody else's that points its own name at us comes under that name.
//!
//! No such page can come under an address, nor under `localhost`, because nobody else decides where those lead. All other names have to be said.
//! Over TLS a browser asks the name of the certificate itself. Clients that bring a key are none of its business: no foreign page has one.

use std::net::IpAddr;

use axum::http::uri::Authority;

/// What the settings call it that names further hosts.
const SETTING: &str = "console.hosts";

/// The names of one console.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Vec<String>);

/// What a request carries that came under a name which isn't one of ours: the sentence for whoever would need one of ours.
#[derive(Clone, Debug)]
pub(crate) struct ForeignHost(pub(crate) String);

/// What to do about it.
pub(crate) const NEXT: &str = "open it by an address, such as 127.0.0.1, or as localhost; or name this host in console.hosts of config.yaml and start Usher again";

impl Hosts {
    /// These names beside addresses and `localhost`; one without a port counts at every port.
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// What is said to a request for this host, where it is none of ours.
    pub(super) fn refuse(&self, host: Option<&str>) -> Option<ForeignHost> {
        if host.is_some_and(|host| self.has(host)) {
            return None;
        }
        let host: String = host.unwrap_or_default().chars().take(255).collect();
        Some(ForeignHost(format!(
            "the console isn't served as {host:?}: it is no address, not localhost, and not in {SETTING}"
        )))
    }

    fn has(&self, host: &str) -> bool {
        let Ok(authority) = host.to_ascii_lowercase().parse::<Authority>() else { return false };
        let name = authority.host();
        let name = name.strip_suffix('.').unwrap_or(name);
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        if authority.as_str().contains('@') {
            return false;
        }
        bare.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.0.iter().any(|own| own == name || own == authority.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Hosts;

    #[test]
    fn addresses_and_what_was_named_are_its_own() {
        let hosts = Hosts::new(&["gateway.test".to_owned(), "Other.test:8443".to_owned()]);
        for (host, wanted) in [
            ("127.0.0.1:9180", true),
            ("10.1.2.3", true),
            ("[::1]:9180", true),
            ("localhost:19180", true),
            ("usher.localhost", true),
            ("gateway.test", true),
            ("GATEWAY.test.:9180", true),
            ("other.test:8443", true),
            ("other.test", false),
            ("evil.test:9180", false),
            ("127.0.0.1.evil.test", false),
            ("localhost.evil.test:9180", false),
            ("evil.test@127.0.0.1", false),
            ("notlocalhost", false),
            ("", false),
        ] {
            assert_eq!(hosts.refuse(Some(host)).is_none(), wanted, "{host}");
        }
        let sentence = hosts.refuse(None).unwrap().0;
        assert!(sentence.contains("console.hosts"), "{sentence}");
    }
}
