//! Certificates ordered from a real authority: Debian's pebble, which speaks ACME (RFC 8555) and looks at the proofs itself.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use serde_json::json;

use crate::support::{Origin, Usher, eventually};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(program: &str, words: &[&str]) -> Self {
        let child = Command::new(program)
            .args(words)
            .env("PEBBLE_VA_NOSLEEP", "1")
            // Pebble refuses some requests by chance, so that clients learn to repeat them.
            .env("PEBBLE_WFE_NONCEREJECT", "20")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{program}: {error}")))
    }
}

/// An authority that finds every name on this machine.
struct Authority {
    directory: String,
    folder: tempfile::TempDir,
    _processes: [Running; 2],
}

impl Authority {
    /// One that looks for proofs at these ports.
    fn start(http: SocketAddr, tls: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(at("ca.pem"), issuer.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(at("server.pem"), server.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(at("server.key"), key.serialize_pem()).unwrap();
        let (names, management, own, more) = (free(), free(), free(), free());
        let settings = json!({ "pebble": {
            "listenAddress": own.to_string(),
            "managementListenAddress": more.to_string(),
            "certificate": at("server.pem"),
            "privateKey": at("server.key"),
            "httpPort": http.port(),
            "tlsPort": tls.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        } });
        std::fs::write(at("pebble.json"), settings.to_string()).unwrap();
        let resolver = Running::start(
            "pebble-challtestsrv",
            &[
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
                "-dns01",
                &names.to_string(),
                "-management",
                &management.to_string(),
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ],
        );
        let pebble =
            Running::start("pebble", &["-config", &at("pebble.json"), "-dnsserver", &names.to_string()]);
        eventually("the authority", || {
            TcpStream::connect(own).is_ok() && TcpStream::connect(management).is_ok()
        });
        Self {
            directory: format!("https://localhost:{}/dir", own.port()),
            folder,
            _processes: [resolver, pebble],
        }
    }

    /// A settings file that orders these from it.
    fn settings(&self, more: &str) -> String {
        let path = self.folder.path().join("config.yaml");
        let text = format!(
            "acme:\n  directory: {}\n  ca_file: {}\n  email: ops@example.com\n  terms_of_service_agreed: true\n{more}",
            self.directory,
            self.folder.path().join("ca.pem").display(),
        );
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A port that nobody has, for a program that can't be told to take any.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Believes anybody, and remembers whom.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The status of an answer over TLS, and how many certificates were shown; `None` if there was no handshake.
fn over_tls(address: SocketAddr, name: &str) -> Option<(String, usize)> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name.clone()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut inside = rustls::Stream::new(&mut connection, &mut stream);
    let asked = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", name.to_str());
    inside.write_all(asked.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // The end may come without a word.
    let _ = inside.read_to_end(&mut answer);
    let chain = connection.peer_certificates()?.len();
    Some((String::from_utf8_lossy(&answer).lines().next()?.to_owned(), chain))
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn certificates_are_ordered_by_requests_and_served_at_once() {
    let (http, tls) = (free(), free());
    let authority = Authority::start(http, tls);
    let config = authority.settings("  certificates: [[a.test, www.a.test], b.test]\n");
    let origin = Origin::start("origin");
    let usher = Usher::start(&[
        "--config",
        &config,
        "--proxy-listen",
        &http.to_string(),
        "--tls-listen",
        &tls.to_string(),
    ]);
    // What takes every path away must not take the proof's.
    usher.put("/routes/1", &json!({ "uri": "/*", "upstream": origin.upstream(), "plugins": { "redirect": { "http_to_https": true } } }));
    for name in ["a.test", "www.a.test", "b.test"] {
        eventually("the certificate", || {
            over_tls(tls, name).is_some_and(|(status, chain)| status.contains("200") && chain > 1)
        });
    }
    assert_eq!(over_tls(tls, "c.test"), None);
    let object = usher.admin("GET", "/ssls/acme-a.test", None).json();
    assert_eq!(object["value"]["snis"], json!(["a.test", "www.a.test"]));
    assert_eq!(object["value"]["labels"]["issued-by"], "acme");
    // No proof is answered any longer; the path is the route's again.
    assert_eq!(usher.get("/.well-known/acme-challenge/x", &[]).status, 301);
    let account = std::fs::read_dir(usher.folder.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("acme-localhost"))
        .unwrap();
    assert_eq!(mode(&account), 0o600);

    // The next start has an account and a good certificate, and orders nothing.
    let before = object["value"]["cert"].clone();
    let kept = std::fs::read(&account).unwrap();
    let folder = usher.kill();
    let usher = Usher::start_in(
        folder,
        &["--config", &config, "--proxy-listen", &http.to_string(), "--tls-listen", &tls.to_string()],
    );
    assert!(over_tls(tls, "a.test").is_some());
    assert_eq!(usher.admin("GET", "/ssls/acme-a.test", None).json()["value"]["cert"], before);
    assert_eq!(std::fs::read(&account).unwrap(), kept);
}

#[test]
fn certificates_are_ordered_by_handshakes() {
    let (http, tls) = (free(), free());
    let authority = Authority::start(http, tls);
    let config = authority.settings("  challenge: tls-alpn-01\n  certificates: [[a.test, b.test]]\n");
    let origin = Origin::start("origin");
    let usher = Usher::start(&["--config", &config, "--tls-listen", &tls.to_string()]);
    usher.put("/routes/1", &json!({ "uri": "/*", "upstream": origin.upstream() }));
    for name in ["a.test", "b.test"] {
        eventually("the certificate", || {
            over_tls(tls, name).is_some_and(|(status, _)| status.contains("200"))
        });
    }
    assert_eq!(over_tls(tls, "c.test"), None);
}

#[test]
fn what_is_not_ours_is_left_alone_and_a_refusal_is_told() {
    let (http, tls) = (free(), free());
    let authority = Authority::start(http, tls);
    // Nobody listens where the authority looks for the proof.
    let config = authority.settings("  certificates: [b.test, a.test]\n");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let mine = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let first = Usher::start_in(Arc::clone(&folder), &[]);
    first.put(
        "/ssls/acme-a.test",
        &json!({ "snis": ["a.test"], "cert": mine.cert.pem(), "key": mine.signing_key.serialize_pem() }),
    );
    first.kill();
    let usher = Usher::start_logging(folder, &["--config", &config, "--tls-listen", "127.0.0.1:0"], &log);
    let told = || std::fs::read_to_string(&log).unwrap();
    eventually("the refusal", || told().contains("b.test: "));
    eventually("the other", || told().contains("was not made by ACME"));
    assert_eq!(usher.admin("GET", "/ssls/acme-a.test", None).json()["value"]["cert"], mine.cert.pem());
    assert_eq!(usher.admin("GET", "/ssls/acme-b.test", None).status, 404);
}
