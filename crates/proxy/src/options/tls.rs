//! TLS towards clients, as the settings say: where it is spoken, in which versions, with which ciphers.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::CipherSuite;

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where TLS is spoken; port 0 takes a free one. Default nowhere.
    pub listen: Vec<SocketAddr>,
    /// The versions that `ssl` objects without `ssl_protocols` are served in. Default both.
    pub versions: TlsVersions,
    /// The ciphers of TLS 1.2; those of TLS 1.3 are always on. Default all that are safe.
    pub ciphers: Option<Vec<Cipher>>,
    /// The name that clients without SNI are taken to ask for. Default none: they are refused.
    pub fallback_sni: Option<String>,
    /// Sessions are kept by clients, in sealed tickets, instead of by the gateway. Default off, as in APISIX.
    pub session_tickets: bool,
    /// How long the gateway keeps a session. Default 10 min.
    pub session_timeout: Duration,
    /// From the first byte to the end of the handshake. Default 5 s.
    pub handshake: Duration,
    /// Handshakes under way, over all workers. Default 1,000.
    pub handshakes: usize,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            versions: TlsVersions::Both,
            ciphers: None,
            fallback_sni: None,
            session_tickets: false,
            session_timeout: Duration::from_secs(600),
            handshake: Duration::from_secs(5),
            handshakes: 1_000,
        }
    }
}

/// Versions of TLS; older ones are not spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
}

impl TlsVersions {
    /// Reads nginx's `ssl_protocols`, such as `TLSv1.2 TLSv1.3`. Beside it comes what is left out because it is not safe.
    ///
    /// # Errors
    /// A name that is no version, or no version that is spoken.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        let (mut v12, mut v13, mut left_out) = (false, false, Vec::new());
        for name in text.split_ascii_whitespace() {
            match name {
                "TLSv1.2" => v12 = true,
                "TLSv1.3" => v13 = true,
                "TLSv1" | "TLSv1.0" | "TLSv1.1" | "SSLv3" | "SSLv2" => left_out.push(name.to_owned()),
                _ => return Err(format!("{name} is no version of TLS; write TLSv1.2, TLSv1.3 or both")),
            }
        }
        let versions = match (v12, v13) {
            (true, true) => Self::Both,
            (true, false) => Self::Only12,
            (false, true) => Self::Only13,
            (false, false) => {
                return Err(format!(
                    "\"{text}\" names no version that is spoken; write TLSv1.2, TLSv1.3 or both"
                ));
            }
        };
        Ok((versions, left_out))
    }
}

/// A cipher of TLS 1.2, by the name that OpenSSL and nginx know it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cipher(usize);

/// Every cipher that is spoken, those of TLS 1.2 first.
const CIPHERS: [(CipherSuite, &str); 9] = [
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"),
    (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
];

/// How many of them are of TLS 1.2.
const OF_1_2: usize = 6;

impl Cipher {
    /// Reads nginx's `ssl_ciphers`, such as `ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305`. Beside it comes what isn't spoken here.
    ///
    /// # Errors
    /// Nothing of it is spoken.
    pub fn parse_list(text: &str) -> Result<(Vec<Self>, Vec<String>), String> {
        let (mut found, mut left_out) = (Vec::new(), Vec::new());
        for name in text.split([':', ',', ' ']).filter(|name| !name.is_empty()) {
            match CIPHERS.iter().take(OF_1_2).position(|(_, known)| *known == name) {
                Some(at) => found.push(Self(at)),
                // What is asked to be off is off.
                None if name.starts_with('!') || name.starts_with('-') => {}
                None => left_out.push(name.to_owned()),
            }
        }
        if found.is_empty() {
            let known: Vec<&str> = CIPHERS.iter().take(OF_1_2).map(|(_, name)| *name).collect();
            return Err(format!(
                "none of \"{text}\" is spoken; write some of {}, with : between",
                known.join(", ")
            ));
        }
        Ok((found, left_out))
    }

    pub(crate) fn suite(self) -> CipherSuite {
        CIPHERS.get(self.0).map_or(CipherSuite::TLS_NULL_WITH_NULL_NULL, |(suite, _)| *suite)
    }
}

/// The name that OpenSSL and nginx know a cipher by.
pub(crate) fn cipher_name(suite: CipherSuite) -> &'static str {
    CIPHERS.iter().find(|(known, _)| *known == suite).map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::{Cipher, TlsVersions};

    #[test]
    fn versions_are_read_as_nginx_writes_them() {
        let read = TlsVersions::parse;
        assert_eq!(read("TLSv1.2 TLSv1.3"), Ok((TlsVersions::Both, vec![])));
        assert_eq!(read("TLSv1.3"), Ok((TlsVersions::Only13, vec![])));
        assert_eq!(
            read("TLSv1 TLSv1.1 TLSv1.2"),
            Ok((TlsVersions::Only12, vec!["TLSv1".into(), "TLSv1.1".into()]))
        );
        assert!(read("TLSv1.1").unwrap_err().contains("no version that is spoken"));
        assert!(read("TLSv1.2,TLSv1.3").unwrap_err().contains("is no version of TLS"));
    }

    #[test]
    fn ciphers_that_are_not_spoken_are_left_out_and_named() {
        let (found, left_out) =
            Cipher::parse_list("ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:!aNULL").unwrap();
        assert_eq!((found.len(), left_out), (1, vec!["DHE-RSA-AES256-GCM-SHA384".to_owned()]));
        assert!(Cipher::parse_list("AES128-SHA").unwrap_err().contains("ECDHE-RSA-AES128-GCM-SHA256"));
    }
}
