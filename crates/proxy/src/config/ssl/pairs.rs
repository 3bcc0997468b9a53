//! The certificates of one `ssl` object: which of them a client is shown.
//!
//! ECDSA comes before RSA where a client takes both, because its signatures cost a twentieth.

use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates for the same names, the cheapest first.
#[derive(Debug, Default)]
pub(super) struct Pairs(Vec<Arc<CertifiedKey>>);

impl Pairs {
    /// Takes up one more.
    ///
    /// # Errors
    /// It can't be used. The parser's own words might quote the key, so they are not repeated.
    pub(super) fn add(&mut self, cert: &str, key: &str, provider: &CryptoProvider) -> Result<(), String> {
        let chain = CertificateDer::pem_slice_iter(cert.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("`cert` is no certificate in PEM: {error}"))?;
        if chain.is_empty() {
            return Err("`cert` holds no certificate in PEM".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| "`key` is no private key in PEM".to_owned())?;
        let key = provider.key_provider.load_private_key(key).map_err(|_| {
            "`key` is of a kind that is not supported; give an RSA, ECDSA or Ed25519 key".to_owned()
        })?;
        let pair = CertifiedKey::new(chain, key);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err("the private key does not belong to the certificate".to_owned()),
        }
        self.0.push(Arc::new(pair));
        self.0.sort_by_key(|pair| u8::from(pair.key.algorithm() == SignatureAlgorithm::RSA));
        Ok(())
    }
}

impl ResolvesServerCert for Pairs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let taken = self.0.iter().find(|pair| pair.key.choose_scheme(schemes).is_some());
        // A client that takes none of them is told so by the handshake itself.
        taken.or_else(|| self.0.first()).cloned()
    }
}
