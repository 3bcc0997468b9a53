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
static VERIFIED: LazyLock<Result<Arc<ClientConfig>, String>> =
    LazyLock::new(|| Ok(Arc::new(anonymous(builder(true)?))));
static UNVERIFIED: LazyLock<Result<Arc<ClientConfig>, String>> =
    LazyLock::new(|| Ok(Arc::new(anonymous(builder(false)?))));

/// The client's side of TLS for these settings.
///
/// # Errors
/// The sentence of what is wrong with the certificate or key.
pub(super) fn client(settings: &UpstreamTls, verify: bool) -> Result<Arc<ClientConfig>, String> {
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
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        }
        (None, None) if verify => VERIFIED.clone(),
        (None, None) => UNVERIFIED.clone(),
        _ => Err("`tls.client_cert` and `tls.client_key` are given together or not at all".to_owned()),
    }
}

type Ready = ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn anonymous(builder: Ready) -> ClientConfig {
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
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
