//! TLS towards upstreams: certificates are verified against the system's roots unless the upstream says otherwise.
//!
//! Upstreams without a certificate of their own share one configuration, and with it their sessions, so that a reconnection is short.

use std::sync::{Arc, LazyLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use usher_model::resource::UpstreamTls;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
static VERIFIED: [Kept; 2] =
    [LazyLock::new(|| kept(true, Protocol::Http1)), LazyLock::new(|| kept(true, Protocol::Http2))];
static UNVERIFIED: [Kept; 2] =
    [LazyLock::new(|| kept(false, Protocol::Http1)), LazyLock::new(|| kept(false, Protocol::Http2))];

/// A configuration that many upstreams share.
type Kept = LazyLock<Result<Arc<ClientConfig>, String>>;

/// What is spoken over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// As ALPN calls it.
    fn offer(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
        }
    }

    fn of(self, kept: &'static [Kept; 2]) -> Result<Arc<ClientConfig>, String> {
        let [http1, http2] = kept;
        match self {
            Self::Http1 => LazyLock::force(http1).clone(),
            Self::Http2 => LazyLock::force(http2).clone(),
        }
    }
}

fn kept(verify: bool, protocol: Protocol) -> Result<Arc<ClientConfig>, String> {
    Ok(Arc::new(anonymous(builder(verify)?, protocol)))
}

/// The client's side of TLS for these settings.
///
/// # Errors
/// The sentence of what is wrong with the certificate or key.
pub(super) fn client(
    settings: &UpstreamTls,
    verify: bool,
    protocol: Protocol,
) -> Result<Arc<ClientConfig>, String> {
    match (&settings.client_cert, &settings.client_key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(cert.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| format!("`tls.client_cert` is no certificate in PEM: {error}"))?;
            if chain.is_empty() {
                return Err("`tls.client_cert` holds no certificate in PEM".to_owned());
            }
            // The parser's own words might quote the key.
            let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                .map_err(|_| "`tls.client_key` is no private key in PEM".to_owned())?;
            let mut config = builder(verify)?.with_client_auth_cert(chain, key).map_err(|error| {
                format!("`tls.client_cert` and `tls.client_key` don't fit together: {error}")
            })?;
            config.alpn_protocols = protocol.offer();
            Ok(Arc::new(config))
        }
        (None, None) if verify => protocol.of(&VERIFIED),
        (None, None) => protocol.of(&UNVERIFIED),
        _ => Err("`tls.client_cert` and `tls.client_key` are given together or not at all".to_owned()),
    }
}

/// TLS towards a server that these authorities vouch for.
///
/// # Errors
/// There is none among them.
pub(super) fn client_of(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&PROVIDER))
        .build()
        .map_err(|error| error.to_string())?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(anonymous(builder.with_webpki_verifier(verifier), Protocol::Http1)))
}

/// The same without a word on the protocol inside: that is the client's and the node's own business.
pub(super) fn bare(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols.clear();
    Arc::new(config)
}

type Ready = ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn anonymous(builder: Ready, protocol: Protocol) -> ClientConfig {
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = protocol.offer();
    config
}

fn builder(verify: bool) -> Result<Ready, String> {
    static SYSTEM: LazyLock<Result<Arc<WebPkiServerVerifier>, String>> = LazyLock::new(system_verifier);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(if verify {
        builder.with_webpki_verifier(SYSTEM.clone()?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone))
    })
}

/// The system's roots, read once.
fn system_verifier() -> Result<Arc<WebPkiServerVerifier>, String> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "could not read a root certificate of the system");
    }
    let mut roots = RootCertStore::empty();
    let (taken, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(taken, ignored, "read the root certificates of the system");
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&PROVIDER)).build().map_err(|error| {
        format!(
            "the system has no usable root certificates ({error}); install them (ca-certificates) or name a file in SSL_CERT_FILE and \
             start again, or set `tls.verify` to false"
        )
    })
}

/// Takes any certificate. The handshake's own signatures are still checked, so that the peer holds the key it shows.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &PROVIDER.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &PROVIDER.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
