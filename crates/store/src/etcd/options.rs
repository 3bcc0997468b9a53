//! What a person writes about an etcd, and what is read of it.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use usher_model::secret::Secret;

const PORT: u16 = 2379;

/// How an etcd is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// The members, each as `http://host:port` or `https://host:port`; one that is healthy is enough.
    pub endpoints: Vec<String>,
    /// What the keys of resources begin with, as in APISIX's `deployment.etcd.prefix`. Default `/apisix`.
    pub prefix: String,
    /// The user, where etcd asks for one.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret<String>>,
    /// Certificates that members are trusted by, in PEM; the system's where none are given.
    pub ca: Option<PathBuf>,
    /// The certificate that Usher shows, in PEM, with its chain.
    pub cert: Option<PathBuf>,
    /// Its key, in PEM.
    pub key: Option<PathBuf>,
    /// Whether members have to prove who they are. Default true.
    pub verify: bool,
    /// The name that members are asked for by and have to prove in TLS; `None`: the host of their address.
    pub sni: Option<String>,
    /// How long a write, or a read that isn't served from memory, may take. Default 3 s.
    pub timeout: Duration,
    /// The folder of the snapshots from which Usher starts while etcd is away; without one it can't.
    pub snapshots: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            prefix: "/apisix".to_owned(),
            user: None,
            password: None,
            ca: None,
            cert: None,
            key: None,
            verify: true,
            sni: None,
            timeout: Duration::from_secs(3),
            snapshots: None,
        }
    }
}

impl Options {
    /// Reads `etcd://[user[:password]@]host[:2379][,host2...][/prefix]`, or `etcds://` for TLS.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(address: &str) -> Result<Self, String> {
        let (scheme, rest) = match address.split_once("://") {
            Some(("etcd", rest)) => ("http", rest),
            Some(("etcds", rest)) => ("https", rest),
            _ => return Err("the address of an etcd begins with etcd:// or etcds://".to_owned()),
        };
        let (hosts, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, hosts) = match hosts.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, hosts),
        };
        let mut options = Self::default();
        if let Some(login) = login {
            let (user, password) = match login.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (login, None),
            };
            options.user = Some(decoded(user)?);
            options.password = password.map(decoded).transpose()?.map(Secret::new);
        }
        for host in hosts.split(',') {
            let host = host.trim();
            let bare = host.rsplit_once(']').map_or(host, |(_, port)| port);
            let with_port = if bare.contains(':') { host.to_owned() } else { format!("{host}:{PORT}") };
            options.endpoints.push(format!("{scheme}://{with_port}"));
        }
        if !matches!(prefix, "" | "/") {
            options.prefix = prefix.to_owned();
        }
        options.check()?;
        Ok(options)
    }

    /// Whether a store can be made of them.
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub fn check(&self) -> Result<(), String> {
        if self.endpoints.is_empty() {
            return Err("no address of an etcd is given; write host:2379".to_owned());
        }
        for endpoint in &self.endpoints {
            let address = Address::parse(endpoint)?;
            if !address.tls && (self.ca.is_some() || self.cert.is_some()) {
                return Err(format!(
                    "{endpoint} is reached without TLS, but a certificate is given; write etcds:// or https://"
                ));
            }
        }
        let prefix = self.prefix.as_str();
        if !prefix.starts_with('/') || prefix.ends_with('/') || prefix.len() < 2 {
            return Err(format!(
                "the prefix {prefix:?} has to begin with / and not to end with it, such as /apisix"
            ));
        }
        if prefix == "/usher" || prefix.starts_with("/usher/") {
            return Err(format!("the prefix {prefix:?} is the place of Usher's own keys; take another"));
        }
        if let Some(name) = &self.sni
            && ServerName::try_from(name.as_str()).is_err()
        {
            return Err(format!(
                "the name {name:?} that members have to prove (sni) is no host name; write one such as etcd.example"
            ));
        }
        if self.cert.is_some() != self.key.is_some() {
            return Err("a client certificate needs both: its file and the file of its key".to_owned());
        }
        if self.user.is_some() != self.password.is_some() {
            return Err("a user needs a password, and a password a user".to_owned());
        }
        Ok(())
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| "the user or password isn't UTF-8 when decoded".to_owned())
}

/// One member's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Address {
    pub(super) fn parse(endpoint: &str) -> Result<Self, String> {
        let wrong = || format!("{endpoint:?} is no address of an etcd member; write http://host:2379");
        let uri: http::Uri = endpoint.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") {
            return Err(wrong());
        }
        // A port that isn't a number reads as none.
        let written = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            Some(port) if port > 0 => port,
            None if !written => PORT,
            _ => return Err(wrong()),
        };
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Options};

    #[test]
    fn addresses_are_read() {
        for (address, endpoints, prefix, user) in [
            ("etcd://localhost", &["http://localhost:2379"][..], "/apisix", None),
            (
                "etcd://a:1,b,[::1]:3,[::2]/",
                &["http://a:1", "http://b:2379", "http://[::1]:3", "http://[::2]:2379"],
                "/apisix",
                None,
            ),
            ("etcds://h:2379/team/a", &["https://h:2379"], "/team/a", None),
            ("etcd://root:p%40ss@h/x", &["http://h:2379"], "/x", Some(("root", "p@ss"))),
        ] {
            let options = Options::parse(address).unwrap();
            assert_eq!(options.endpoints, endpoints, "{address}");
            assert_eq!(options.prefix, prefix, "{address}");
            let login = options.user.as_deref().zip(options.password.as_ref().map(|it| it.expose().as_str()));
            assert_eq!(login, user, "{address}");
        }
        let address = Address::parse("https://[::1]:3").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.tls), ("::1", 3, true));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (address, says) in [
            ("http://h:2379", "etcd://"),
            ("etcd://", "no address"),
            ("etcd://h:x", "no address"),
            ("etcd://h:0", "no address"),
            ("etcd://a b", "no address"),
            ("etcd://h/apisix/", "end with"),
            ("etcd://h/usher", "own keys"),
            ("etcd://h/usher/x", "own keys"),
            ("etcd://root@h", "password"),
            ("etcd://ro%ffot:x@h", "UTF-8"),
        ] {
            let said = Options::parse(address).unwrap_err();
            assert!(said.contains(says), "{address}: {said}");
        }
        let mut options = Options::parse("etcds://h").unwrap();
        options.cert = Some("/a.pem".into());
        assert!(options.check().unwrap_err().contains("key"));
        options.endpoints = vec!["http://h:1".to_owned()];
        assert!(options.check().unwrap_err().contains("without TLS"));
    }
}
