//! What an `ssl` object of the type `server` is served as: ready for handshakes, made once per change.
//!
//! Each object has a configuration of its own, so that versions, client certificates and sessions of one never leak into another's handshakes.

mod clients;
pub(super) mod expiry;
mod pairs;
mod sessions;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ServerConfig, StoresServerSessions, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedProtocolVersion, server::NoServerSessionStorage};
use serde_json::Value;
use usher_model::certificate::Certificate;

use crate::options;
pub(crate) use clients::Clients;
use pairs::Pairs;
use sessions::Sessions;

/// What a client may ask for (RFC 7301), the best first; one that asks for nothing gets HTTP/1.
const PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// An `ssl` object that is served.
pub(crate) struct Ssl {
    /// The object's id.
    pub(crate) id: Arc<str>,
    /// The handshake's side of it, where HTTP is spoken inside.
    pub(crate) config: Arc<ServerConfig>,
    /// The same for streams, whatever is spoken inside.
    pub(crate) stream: Arc<ServerConfig>,
    /// Which client certificates it asks for; `None` where it asks for none.
    pub(crate) clients: Option<Arc<Clients>>,
    /// The names it is served for, in lower case without a dot at the end.
    pub(crate) names: Box<[Box<str>]>,
    /// When the first of its certificates ends, in seconds since 1970.
    pub(crate) ends: i64,
}

/// What all objects share: what the settings say of TLS, and the sessions.
pub(crate) struct Common {
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    tickets: bool,
    sessions: Sessions,
}

impl Common {
    /// By the settings; ciphers of TLS 1.2 that they don't name are off. `http2`: clients may choose it.
    pub(crate) fn new(options: &options::Tls, http2: bool) -> Self {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(allowed) = &options.ciphers {
            provider.cipher_suites.retain(|suite| {
                suite.version() == &TLS13 || allowed.iter().any(|cipher| cipher.suite() == suite.suite())
            });
        }
        Self {
            provider: Arc::new(provider),
            versions: versions(options.versions),
            protocols: PROTOCOLS.iter().skip(usize::from(!http2)).map(|protocol| protocol.to_vec()).collect(),
            tickets: options.session_tickets,
            sessions: Sessions::new(options.session_timeout),
        }
    }

    /// Makes an object ready.
    ///
    /// # Errors
    /// The sentence of what can't be used. It never repeats what stands in a key.
    pub(super) fn build(&self, id: &str, value: &Value) -> Result<Ssl, String> {
        let (pairs, ends) = pairs(value, &self.provider)?;
        let clients = Clients::of(value, &self.provider)?.map(Arc::new);
        let own = own_versions(value)?;
        let chosen = if own.is_empty() { &self.versions } else { &own };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(chosen)
            .map_err(|error| format!("`ssl_protocols` can't be used: {error}"))?;
        let builder = match &clients {
            None => builder.with_client_cert_verifier(WebPkiClientVerifier::no_client_auth()),
            Some(clients) => builder.with_client_cert_verifier(clients.verifier()),
        };
        let mut config = builder.with_cert_resolver(Arc::new(pairs));
        config.alpn_protocols.clone_from(&self.protocols);
        // Early data could be replayed by whoever has seen it.
        config.max_early_data_size = 0;
        // Both are this object's own: a session never leads past another's rules for client certificates.
        if self.tickets {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.ticketer = aws_lc_rs::Ticketer::new()
                .map_err(|error| format!("keys of session tickets could not be made: {error}"))?;
        } else {
            config.session_storage = self.sessions.of_one() as Arc<dyn StoresServerSessions>;
        }
        let mut stream = config.clone();
        stream.alpn_protocols.clear();
        let (config, stream) = (Arc::new(config), Arc::new(stream));
        Ok(Ssl { id: id.into(), config, stream, clients, names: names(value)?, ends })
    }
}

/// All certificates of an object, and when the first of them ends.
fn pairs(value: &Value, provider: &CryptoProvider) -> Result<(Pairs, i64), String> {
    let text = |member: &str| value.get(member).and_then(Value::as_str);
    let (Some(cert), Some(key)) = (text("cert"), text("key")) else {
        return Err("it needs `cert` and `key`".to_owned());
    };
    let list = |member: &str| value.get(member).and_then(Value::as_array).into_iter().flatten();
    if list("certs").count() != list("keys").count() {
        return Err("`certs` and `keys` are not of the same length".to_owned());
    }
    let further =
        list("certs").zip(list("keys")).filter_map(|(cert, key)| Some((cert.as_str()?, key.as_str()?)));
    let mut pairs = Pairs::default();
    let mut ends = i64::MAX;
    for (cert, key) in std::iter::once((cert, key)).chain(further) {
        pairs.add(cert, key, provider)?;
        ends = ends.min(Certificate::read(cert)?.not_after);
    }
    Ok((pairs, ends))
}

/// The names of an object, as they are looked up.
fn names(value: &Value) -> Result<Box<[Box<str>]>, String> {
    let one = value.get("sni").and_then(Value::as_str);
    let all = value.get("snis").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let names: Box<[Box<str>]> = one.into_iter().chain(all).map(|name| canonical(name).into()).collect();
    if names.is_empty() { Err("it needs `sni` or `snis`".to_owned()) } else { Ok(names) }
}

/// A name as it is looked up: lower case, without a dot at its end.
pub(super) fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn versions(wanted: options::TlsVersions) -> Vec<&'static SupportedProtocolVersion> {
    match wanted {
        options::TlsVersions::Both => vec![&TLS12, &TLS13],
        options::TlsVersions::Only12 => vec![&TLS12],
        options::TlsVersions::Only13 => vec![&TLS13],
    }
}

/// The versions that an object names itself; none where it doesn't.
fn own_versions(value: &Value) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let named = value.get("ssl_protocols").and_then(Value::as_array).into_iter().flatten();
    named
        .map(|name| match name.as_str() {
            Some("TLSv1.2") => Ok(&TLS12),
            Some("TLSv1.3") => Ok(&TLS13),
            _ => Err(format!(
                "`ssl_protocols` {name} is not supported; write \"TLSv1.2\", \"TLSv1.3\" or both"
            )),
        })
        .collect()
}
