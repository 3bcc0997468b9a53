//! The Admin API's certificate, and whose certificates its clients need.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::settings::AdminTls;

/// Makes TLS of what the settings name.
///
/// # Errors
/// The setting, the file, and what is wrong with it.
pub(super) fn acceptor(files: &AdminTls) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates("admin_ssl_cert", &files.cert)?;
    let key = in_file("admin_ssl_cert_key", &files.key, |path| {
        PrivateKeyDer::from_pem_reader(BufReader::new(File::open(path)?))
            .map_err(|error| anyhow::anyhow!("no private key in PEM: {error}"))
    })?;
    let clients: Arc<dyn ClientCertVerifier> = match &files.ca {
        None => Arc::new(NoClientAuth),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates("admin_ssl_ca_cert", path)? {
                in_file("admin_ssl_ca_cert", path, |_| Ok(roots.add(root)?))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            in_file("admin_ssl_ca_cert", path, |_| Ok(verifier.build()?))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("the TLS library refuses its own defaults")?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .with_context(|| {
            format!(
                "deployment.admin.admin_api_mtls: the certificate in {} and the key in {} can't be used together",
                files.cert.display(),
                files.key.display()
            )
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(setting: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    in_file(setting, path, |path| {
        let found = CertificateDer::pem_reader_iter(BufReader::new(File::open(path)?));
        let all: Vec<_> =
            found.collect::<Result<_, _>>().map_err(|error| anyhow::anyhow!("no PEM: {error}"))?;
        if all.is_empty() {
            bail!("no certificate in PEM");
        }
        Ok(all)
    })
}

/// Says of a mistake in which setting's file it is.
fn in_file<T>(
    setting: &str,
    path: &Path,
    read: impl FnOnce(&Path) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    read(path).with_context(|| {
        format!("deployment.admin.admin_api_mtls.{setting}: {} can't be used", path.display())
    })
}
