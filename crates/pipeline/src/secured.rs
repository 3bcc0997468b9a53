//! What TLS has settled with a client, and the variables that nginx gives of it.
//!
//! Kept once per connection. Texts of certificates are made when somebody asks, which is seldom.

use usher_model::certificate;

/// What TLS has settled with a client.
#[derive(Debug, Default)]
pub struct Secured {
    /// The version, such as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher, by the name that OpenSSL knows it by.
    pub cipher: &'static str,
    /// The name that the client asked for; empty where it asked for none.
    pub server_name: Box<str>,
    /// Whether the handshake was a short one, by an earlier session.
    pub reused: bool,
    /// The client's own certificate in DER; empty where it showed none.
    pub certificate: Box<[u8]>,
    /// The certificates in DER that it showed behind its own.
    pub intermediates: Box<[Box<[u8]>]>,
    /// `NONE`, `SUCCESS`, or `FAILED:` and why.
    pub verdict: Box<str>,
}

impl Secured {
    /// Whether the client has shown a certificate that was taken.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        &*self.verdict == "SUCCESS"
    }

    /// A variable of nginx's `ssl_*`; `None` for those that aren't there.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        Some(match name {
            "ssl_protocol" => self.version.to_owned(),
            "ssl_cipher" => self.cipher.to_owned(),
            "ssl_server_name" => some(&self.server_name)?,
            "ssl_session_reused" => if self.reused { "r" } else { "." }.to_owned(),
            "ssl_client_verify" => some(&self.verdict)?,
            _ if self.certificate.is_empty() => return None,
            _ => return certificate::text(&self.certificate, name.strip_prefix("ssl_client_")?),
        })
    }
}

fn some(text: &str) -> Option<String> {
    if text.is_empty() { None } else { Some(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::Secured;

    #[test]
    fn what_was_settled_is_told_by_nginx_names() {
        let secured = Secured {
            version: "TLSv1.3",
            server_name: "a.test".into(),
            verdict: "SUCCESS".into(),
            ..Secured::default()
        };
        for (name, wanted) in [
            ("ssl_protocol", Some("TLSv1.3")),
            ("ssl_server_name", Some("a.test")),
            ("ssl_session_reused", Some(".")),
            ("ssl_client_verify", Some("SUCCESS")),
            ("ssl_client_s_dn", None),
            ("ssl_nothing", None),
        ] {
            assert_eq!(secured.variable(name).as_deref(), wanted, "{name}");
        }
        assert_eq!(Secured::default().variable("ssl_server_name"), None);
    }
}
