//! Certificates of clients: who signs them, how long a chain may be, and which paths are served without one.
//!
//! Where some paths need none, the handshake takes any client and the verdict is looked at per request: the path isn't known before.

use std::sync::Arc;

use regex::{RegexSet, RegexSetBuilder};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use serde_json::Value;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

/// Certificates between a client's and the authority's, unless `client.depth` says otherwise.
const DEPTH: usize = 1;

/// Memory that the compiled patterns of one object may take.
const PATTERN_BYTES: usize = 1 << 20;

/// The rules of one `ssl` object.
#[derive(Debug)]
pub(crate) struct Clients {
    roots: RootCertStore,
    hints: Vec<DistinguishedName>,
    depth: usize,
    skipped: RegexSet,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    /// The rules that an object has in `client`; `None` where it has none.
    ///
    /// # Errors
    /// The sentence of what can't be used.
    pub(super) fn of(value: &Value, provider: &CryptoProvider) -> Result<Option<Self>, String> {
        let Some(rules) = value.get("client") else { return Ok(None) };
        let Some(authority) = rules.get("ca").and_then(Value::as_str) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            let certificate =
                certificate.map_err(|error| format!("`client.ca` is no certificate in PEM: {error}"))?;
            roots.add(certificate).map_err(|error| format!("`client.ca` can't be used: {error}"))?;
        }
        if roots.is_empty() {
            return Err("`client.ca` holds no certificate in PEM".to_owned());
        }
        let patterns = rules.get("skip_mtls_uri_regex").and_then(Value::as_array);
        let patterns = patterns.into_iter().flatten().filter_map(Value::as_str);
        let skipped = RegexSetBuilder::new(patterns)
            .size_limit(PATTERN_BYTES)
            .build()
            .map_err(|error| format!("`client.skip_mtls_uri_regex` can't be used: {error}"))?;
        let depth = rules.get("depth").and_then(Value::as_u64);
        Ok(Some(Self {
            hints: roots.subjects(),
            roots,
            depth: depth.map_or(DEPTH, |depth| usize::try_from(depth).unwrap_or(usize::MAX)),
            skipped,
            algorithms: provider.signature_verification_algorithms,
        }))
    }

    /// Whether the handshake takes clients without a good certificate too.
    pub(crate) fn is_postponed(&self) -> bool {
        !self.skipped.is_empty()
    }

    /// Whether this path is served without a certificate.
    pub(crate) fn skips(&self, path: &str) -> bool {
        self.skipped.is_match(path)
    }

    /// Judges what a client has shown.
    ///
    /// # Errors
    /// Why it isn't taken.
    pub(crate) fn judge(&self, shown: &[CertificateDer<'_>]) -> Result<(), String> {
        let Some((own, between)) = shown.split_first() else { return Err("no certificate".to_owned()) };
        self.verify(own, between, UnixTime::now()).map_err(|error| error.to_string())
    }

    pub(super) fn verifier(self: &Arc<Self>) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Verifier(Arc::clone(self)))
    }

    fn verify(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let short = |path: &VerifiedPath<'_>| {
            if path.intermediate_certificates().count() > self.depth {
                return Err(webpki::Error::PathLenConstraintViolated);
            }
            Ok(())
        };
        let certificate = EndEntityCert::try_from(own).map_err(|error| reason(&error))?;
        certificate
            .verify_for_usage(
                self.algorithms.all,
                &self.roots.roots,
                between,
                now,
                KeyUsage::client_auth(),
                None,
                Some(&short),
            )
            .map(drop)
            .map_err(|error| reason(&error))
    }
}

/// The handshake's side.
#[derive(Debug)]
struct Verifier(Arc<Clients>);

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        !self.0.is_postponed()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.0.hints
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if !self.0.is_postponed() {
            self.0.verify(own, between, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.0.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}

/// The alert that a client is sent depends on it.
fn reason(error: &webpki::Error) -> Error {
    let reason = match error {
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
            CertificateError::BadEncoding
        }
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        other => return Error::General(format!("invalid client certificate: {other}")),
    };
    Error::InvalidCertificate(reason)
}
