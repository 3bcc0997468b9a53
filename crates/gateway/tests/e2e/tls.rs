//! The Admin API over TLS, and with certificates of clients.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{KEY, Usher, run};

/// An authority, a certificate of `localhost`, one of a client, and one of somebody else's client.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        for (ca, names) in [("ca", ["server", "client"]), ("other-ca", ["other-server", "other-client"])] {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            files.write(&format!("{ca}.pem"), &issuer.pem());
            for name in names {
                files.signed(name, &issuer);
            }
        }
        files
    }

    fn signed(&self, name: &str, issuer: &Issuer<'_, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        self.write(&format!("{name}.pem"), &params.signed_by(&key, issuer).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A settings file with this certificate, and this authority of clients.
    fn settings(&self, cert: &str, key: &str, ca: Option<&str>) -> String {
        let ca = ca
            .map_or_else(String::new, |ca| format!("      admin_ssl_ca_cert: {}\n", self.path(ca).display()));
        self.write(
            "config.yaml",
            &format!(
                "deployment:\n  admin:\n    https_admin: true\n    admin_api_mtls:\n      admin_ssl_cert: {}\n      admin_ssl_cert_key: {}\n{ca}",
                self.path(cert).display(),
                self.path(key).display(),
            ),
        );
        self.path("config.yaml").to_str().unwrap().to_owned()
    }

    fn client(&self, certificate: Option<&str>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = vec![CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()];
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

/// The status of a GET over TLS; `None` where no answer came.
fn get(to: std::net::SocketAddr, config: ClientConfig) -> Option<u16> {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let request = format!(
        "GET /apisix/admin/routes HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {KEY}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // How the connection ends behind the answer doesn't matter.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).ok()?.split(' ').nth(1)?.parse().ok()
}

fn start(settings: &str) -> Usher {
    Usher::start(&["--store", "memory", "--config", settings])
}

#[test]
fn the_admin_api_speaks_tls_and_nothing_else() {
    let files = Files::new();
    let usher = start(&files.settings("server.pem", "server.key", None));
    let admin = usher.address("admin");
    assert_eq!(get(admin, files.client(None)), Some(200));
    let mut plain = TcpStream::connect(admin).unwrap();
    plain.write_all(b"GET /apisix/admin/routes HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
    // The chat side stays as it was.
    let chat = crate::support::request(usher.address("chat"), "GET", "/apisix/admin/routes", &[], b"");
    assert_eq!(chat.status, 200);
}

#[test]
fn with_an_authority_only_its_clients_come_in() {
    let files = Files::new();
    let usher = start(&files.settings("server.pem", "server.key", Some("ca.pem")));
    let admin = usher.address("admin");
    for (certificate, wanted) in [(Some("client"), Some(200)), (None, None), (Some("other-client"), None)] {
        assert_eq!(get(admin, files.client(certificate)), wanted, "{certificate:?}");
    }
}

#[test]
fn who_does_not_shake_hands_is_let_go_and_holds_nobody_up() {
    let files = Files::new();
    let usher = start(&files.settings("server.pem", "server.key", None));
    let began = Instant::now();
    let mut silent = TcpStream::connect(usher.address("admin")).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(get(usher.address("admin"), files.client(None)), Some(200));
    assert!(began.elapsed() < Duration::from_secs(5));
    // Five seconds for the handshake, then the connection ends.
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or_default(), 0);
    let waited = began.elapsed();
    assert!((4..15).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn files_that_can_not_be_used_are_named_with_the_reason() {
    let files = Files::new();
    files.write("broken.pem", "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n");
    files.write("empty.pem", "");
    for (cert, key, ca, parts) in [
        ("none.pem", "server.key", None, ["admin_ssl_cert:", "none.pem", "No such file"]),
        ("empty.pem", "server.key", None, ["admin_ssl_cert:", "empty.pem", "no certificate in PEM"]),
        ("broken.pem", "server.key", None, ["admin_ssl_cert:", "broken.pem", "no PEM"]),
        ("server.pem", "server.pem", None, ["admin_ssl_cert_key:", "server.pem", "no private key in PEM"]),
        ("server.pem", "client.key", None, ["server.pem", "client.key", "can't be used together"]),
        (
            "server.pem",
            "server.key",
            Some("empty.pem"),
            ["admin_ssl_ca_cert:", "empty.pem", "no certificate"],
        ),
    ] {
        let settings = files.settings(cert, key, ca);
        let data = files.path("data");
        let told = refused(&settings, &data);
        for part in parts {
            assert!(told.contains(part), "{part} is missing for {cert}, {key}, {ca:?}: {told}");
        }
    }
}

fn refused(settings: &str, data: &Path) -> String {
    let output = run(&[
        "serve",
        "--config",
        settings,
        "--data",
        data.to_str().unwrap(),
        "--proxy-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--chat-listen",
        "off",
        "--metrics-listen",
        "off",
    ]);
    assert!(!output.status.success(), "it started");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_command_line_trusts_an_authority_and_proves_who_it_is() {
    let files = Files::new();
    let usher = start(&files.settings("server.pem", "server.key", Some("ca.pem")));
    let url = format!("https://localhost:{}", usher.address("admin").port());
    let both = |name: &str| {
        let part = |ending: &str| std::fs::read_to_string(files.path(&format!("{name}.{ending}"))).unwrap();
        files.write(&format!("{name}.both"), &format!("{}{}", part("pem"), part("key")));
        files.path(&format!("{name}.both")).to_str().unwrap().to_owned()
    };
    let (own, foreign) = (both("client"), both("other-client"));
    let ca = files.path("ca.pem").to_str().unwrap().to_owned();
    let no_pem = files.path("config.yaml").to_str().unwrap().to_owned();
    for (words, code, part) in [
        (vec!["--ca", &ca, "--cert", &own], 0, ""),
        // Who is not let in, and who does not let the server in.
        (vec!["--ca", &ca], 7, "could not reach"),
        (vec!["--ca", &ca, "--cert", &foreign], 7, "could not reach"),
        (vec!["--cert", &own], 7, "could not reach"),
        (vec!["--ca", "nowhere.pem", "--cert", &own], 2, "--ca: could not read nowhere.pem"),
        (vec!["--ca", &ca, "--cert", &no_pem], 2, "--cert:"),
        (vec!["--ca", &no_pem, "--cert", &own], 2, "--ca:"),
    ] {
        let out = crate::support::binary()
            .args(["list", "routes", "--url", &url])
            .args(&words)
            .env("USHER_ADMIN_KEY", KEY)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{words:?}: {told}");
        assert!(told.contains(part) && !told.contains(KEY), "{words:?}: {told}");
    }
}
