//! What a person writes about a running APISIX, and what is read of it.

use std::path::PathBuf;
use std::time::Duration;

use usher_model::secret::Secret;

const PORT: u16 = 9180;

/// How a running APISIX is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its Admin API, as `http://host:port` or `https://host:port`.
    pub address: String,
    /// An admin key of its, with the role `admin`.
    pub key: Secret<String>,
    /// Whether it has to prove who it is, over https. Default true.
    pub verify: bool,
    /// Certificates that it is trusted by, in PEM; the system's where none are given.
    pub ca: Option<PathBuf>,
    /// How often it is looked at for changes of others. Default 2 s; while it is away the pauses grow to 30 s.
    pub every: Duration,
    /// How long one request to it may take. Default 5 s.
    pub timeout: Duration,
    /// The folder of the copy of its configuration and of Usher's own keys.
    pub folder: PathBuf,
}

impl Options {
    /// Reads `apisix+http://host[:9180]` or `apisix+https://host[:9180]`; the key and the folder are given apart.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("apisix+http", rest)) => ("http", rest),
            Some(("apisix+https", rest)) => ("https", rest),
            _ => {
                return Err(format!(
                    "{text}: the address of an APISIX begins with apisix+http:// or apisix+https://"
                ));
            }
        };
        let authority = rest.trim_end_matches('/');
        let example = format!("write apisix+{scheme}://HOST:{PORT}");
        if authority.contains('@') {
            return Err(format!(
                "{text}: no user belongs into it; {example}, and the admin key into USHER_APISIX_KEY or store_key_file"
            ));
        }
        if authority.contains(['/', '?', '#']) {
            return Err(format!("{text}: nothing may follow the host and port; {example}"));
        }
        let bare = authority.rsplit_once(']').map_or(authority, |(_, port)| port);
        let (host, port) = match bare.rsplit_once(':') {
            Some((_, port)) => {
                let number: u16 = port
                    .parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| format!("{text}: {port} is no port; {example}"))?;
                (authority.strip_suffix(&format!(":{port}")).unwrap_or(authority), number)
            }
            None => (authority, PORT),
        };
        let open = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || open || host.contains(char::is_whitespace) {
            return Err(format!("{text}: the host is missing or can't be read; {example}"));
        }
        Ok(Self {
            address: format!("{scheme}://{host}:{port}"),
            key: Secret::new(String::new()),
            verify: true,
            ca: None,
            every: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            folder: PathBuf::new(),
        })
    }

    /// Whether secrets and the key go over a network in clear.
    #[must_use]
    pub fn is_open_to_the_network(&self) -> bool {
        let Some(rest) = self.address.strip_prefix("http://") else { return false };
        let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host).trim_matches(['[', ']']);
        let loopback = host.parse::<std::net::IpAddr>().map_or(host == "localhost", |ip| ip.is_loopback());
        !loopback
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("apisix+http://127.0.0.1:9180", Ok("http://127.0.0.1:9180")),
            ("apisix+http://apisix.example/", Ok("http://apisix.example:9180")),
            ("apisix+https://[::1]:443", Ok("https://[::1]:443")),
            ("apisix+https://[::1]", Ok("https://[::1]:9180")),
            ("http://a", Err("begins with apisix+http://")),
            ("apisix+http://", Err("the host is missing")),
            ("apisix+http://a:b", Err("b is no port")),
            ("apisix+http://a:0", Err("0 is no port")),
            ("apisix+http://::1:9180", Err("the host is missing or can't be read")),
            ("apisix+http://a/apisix/admin", Err("nothing may follow")),
            ("apisix+http://key@a", Err("USHER_APISIX_KEY")),
        ] {
            match (Options::parse(text), wanted) {
                (Ok(options), Ok(address)) => assert_eq!(options.address, address),
                (Err(said), Err(part)) => assert!(said.contains(part), "{text}: {said}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
        for (text, wanted) in [
            ("apisix+http://127.0.0.1", false),
            ("apisix+http://localhost:1", false),
            ("apisix+http://[::1]:1", false),
            ("apisix+http://10.0.0.1", true),
            ("apisix+https://10.0.0.1", false),
        ] {
            assert_eq!(Options::parse(text).unwrap().is_open_to_the_network(), wanted, "{text}");
        }
    }
}
