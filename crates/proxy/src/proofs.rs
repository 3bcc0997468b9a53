//! Proofs that a name is served here, which a certificate authority asks for before it signs (ACME, RFC 8555).
//!
//! Whoever orders a certificate puts a proof here and takes it back by dropping what it got for it. While there is none, a request pays one load
//! of a flag. Proofs are answered before any route and any plugin: a rule for everything must not keep a certificate from being renewed.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// Where an authority looks for a proof over HTTP (RFC 8555, section 8.3).
const PATH: &str = "/.well-known/acme-challenge/";
/// What it asks for in a handshake that is only for the proof (RFC 8737, section 4).
const PROTOCOL: &[u8] = b"acme-tls/1";

/// Every proof that is answered at the moment.
#[derive(Default)]
pub struct Proofs {
    /// Whether there is any.
    any: AtomicBool,
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    tokens: HashMap<Box<str>, Arc<str>>,
    names: HashMap<Box<str>, Arc<ServerConfig>>,
}

/// A proof that is answered until this is dropped.
#[must_use = "a proof is answered only as long as this lives"]
pub struct Proof {
    proofs: Arc<Proofs>,
    key: Key,
}

enum Key {
    Token(Box<str>),
    Name(Box<str>),
}

impl Proofs {
    /// Answers `GET /.well-known/acme-challenge/<token>` with this text, on every port where HTTP is spoken (HTTP-01).
    pub fn over_http(self: &Arc<Self>, token: &str, authorization: &str) -> Proof {
        self.change(|held| held.tokens.insert(token.into(), authorization.into()).is_none());
        Proof { proofs: Arc::clone(self), key: Key::Token(token.into()) }
    }

    /// Answers handshakes for `acme-tls/1` and this name with this certificate (TLS-ALPN-01).
    ///
    /// # Errors
    /// The key can't be used.
    pub fn over_tls(
        self: &Arc<Self>,
        name: &str,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Proof, rustls::Error> {
        let provider = aws_lc_rs::default_provider();
        // As it is: its critical extension would be refused by a look at whether both belong together.
        let pair = CertifiedKey::new(vec![certificate], provider.key_provider.load_private_key(key)?);
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        let name: Box<str> = name.to_ascii_lowercase().into();
        self.change(|held| held.names.insert(name.clone(), Arc::new(config)).is_none());
        Ok(Proof { proofs: Arc::clone(self), key: Key::Name(name) })
    }

    /// What the request of this path is answered with, where it asks for a proof that is there.
    pub(crate) fn of_path(&self, path: &str) -> Option<Arc<str>> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let token = path.strip_prefix(PATH)?;
        self.held.read().unwrap_or_else(PoisonError::into_inner).tokens.get(token).cloned()
    }

    /// How a handshake goes on that is for a proof. `None`: it is an ordinary one.
    pub(crate) fn of_hello(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        // It asks for this protocol alone.
        let mut asked = hello.alpn()?;
        if asked.next() != Some(PROTOCOL) || asked.next().is_some() {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.held.read().unwrap_or_else(PoisonError::into_inner).names.get(&*name).cloned()
    }

    fn change(&self, edit: impl FnOnce(&mut Held) -> bool) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        edit(&mut held);
        self.any.store(!held.tokens.is_empty() || !held.names.is_empty(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proofs").field("any", &self.any).finish_non_exhaustive()
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        self.proofs.change(|held| match &self.key {
            Key::Token(token) => held.tokens.remove(token).is_some(),
            Key::Name(name) => held.names.remove(name).is_some(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Proofs;

    #[test]
    fn a_proof_is_answered_as_long_as_it_is_held() {
        let proofs = Arc::new(Proofs::default());
        let path = "/.well-known/acme-challenge/abc";
        assert_eq!(proofs.of_path(path), None);
        let one = proofs.over_http("abc", "abc.print");
        let other = proofs.over_http("def", "def.print");
        assert_eq!(proofs.of_path(path).as_deref(), Some("abc.print"));
        for strange in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/abcd", "/abc", "abc"] {
            assert_eq!(proofs.of_path(strange), None, "{strange}");
        }
        drop(one);
        assert_eq!(proofs.of_path(path), None);
        assert_eq!(proofs.of_path("/.well-known/acme-challenge/def").as_deref(), Some("def.print"));
        drop(other);
        assert_eq!(proofs.of_path("/.well-known/acme-challenge/def"), None);
    }
}
