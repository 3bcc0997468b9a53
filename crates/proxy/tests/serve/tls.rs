//! Upstreams over https: verified unless told otherwise, by the name that the upstream's rule says.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::origin::{answer, read_request};
use crate::support::{Gateway, apisix};

/// An https origin.
pub(crate) struct Secure {
    pub(crate) address: SocketAddr,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

impl Secure {
    /// With a certificate that no root vouches for.
    pub(crate) fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
        Self::with(made.cert.der().clone(), &made.signing_key)
    }

    fn with(cert: CertificateDer<'static>, key: &KeyPair) -> Self {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let names = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&names);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, noted) = (Arc::clone(&config), Arc::clone(&noted));
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config).unwrap();
                    let mut reader = std::io::BufReader::new(StreamOwned::new(connection, stream));
                    let mut first = true;
                    while let Some(seen) = read_request(&mut reader, 0) {
                        if std::mem::take(&mut first) {
                            noted
                                .lock()
                                .unwrap()
                                .push(reader.get_ref().conn.server_name().map(str::to_owned));
                        }
                        let body = format!("{} {}", seen.field("host").unwrap(), seen.body.len());
                        if reader.get_mut().write_all(&answer(200, &[], &body)).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, names }
    }

    fn upstream(&self, members: Value) -> Value {
        let mut upstream = json!({ "scheme": "https", "nodes": { self.address.to_string(): 1 } });
        upstream.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        upstream
    }

    fn names(&self) -> Vec<Option<String>> {
        self.names.lock().unwrap().clone()
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_unless_told_otherwise() {
    let origin = Secure::start();
    let answer = Gateway::to(origin.upstream(json!({}))).get("/");
    assert_eq!((answer.status, answer.field("x-apisix-upstream-status")), (502, Some("502")));
    assert_eq!(Gateway::to(origin.upstream(json!({ "tls": { "verify": true } }))).get("/").status, 502);
    assert_eq!(Gateway::to(origin.upstream(json!({ "tls": { "verify": false } }))).get("/").status, 200);
    let route = json!({ "uri": "/*", "upstream": origin.upstream(json!({})) });
    assert_eq!(Gateway::start_with(apisix(), &[("routes/1", route)]).get("/").status, 200);
}

/// The test that is run again, in a process whose system knows one root more.
const AGAIN: &str = "tls::a_certificate_of_a_known_root_is_taken_for_its_own_names_only";

#[test]
fn a_certificate_of_a_known_root_is_taken_for_its_own_names_only() {
    let Ok(roots) = std::env::var("USHER_PROXY_TEST_ROOTS") else {
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("roots.pem");
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args([AGAIN, "--exact"])
            .env("USHER_PROXY_TEST_ROOTS", &roots)
            .env("SSL_CERT_FILE", &roots)
            .env_remove("SSL_CERT_DIR")
            .status();
        assert!(status.unwrap().success());
        return;
    };
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "a root");
    let key = KeyPair::generate().unwrap();
    std::fs::write(roots, params.self_signed(&key).unwrap().pem()).unwrap();
    let root = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a.test".to_owned(), "localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &root).unwrap();
    let origin = Secure::with(cert.der().clone(), &key);

    let rewrite = |host: &str| json!({ "pass_host": "rewrite", "upstream_host": host });
    let named = json!({ "nodes": { format!("localhost:{}", origin.address.port()): 1 } });
    for (members, wanted) in [
        (rewrite("a.test"), 200),
        (rewrite("b.test"), 502),
        // The node is an address, so the client's Host names it.
        (json!({}), 200),
        (json!({ "pass_host": "node" }), 502),
        // The node is a name.
        (named, 200),
    ] {
        assert_eq!(Gateway::to(origin.upstream(members.clone())).get("/").status, wanted, "{members}");
    }
    let gateway = Gateway::to(origin.upstream(json!({})));
    assert_eq!(gateway.send("GET", "/", "Host: b.test\r\n", b"").status, 502);
}

#[test]
fn requests_pass_over_kept_tls_connections() {
    let origin = Secure::start();
    let gateway = Gateway::to(origin.upstream(json!({ "tls": { "verify": false } })));
    let mut client = gateway.connect();
    let body = vec![b'x'; 300_000];
    for size in [0, 1, 70_000, 300_000] {
        client.request("POST", "/", "", &body[..size]);
        assert_eq!(client.answer().unwrap().text(), format!("a.test {size}"));
    }
    assert_eq!(origin.names().len(), 1, "one handshake");
}

#[test]
fn the_name_follows_the_rule_of_the_host() {
    let origin = Secure::start();
    let unverified = |members: Value| {
        let mut members = members;
        members["tls"] = json!({ "verify": false });
        Gateway::to(origin.upstream(members))
    };
    unverified(json!({})).get("/");
    unverified(json!({ "pass_host": "rewrite", "upstream_host": "other.test:1" })).get("/");
    unverified(json!({ "pass_host": "node" })).get("/");
    let names: Vec<Option<String>> =
        [Some("a.test"), Some("other.test"), None].map(|name| name.map(str::to_owned)).into();
    assert_eq!(origin.names(), names);
}

#[test]
fn connections_for_different_names_are_kept_apart() {
    let origin = Secure::start();
    let gateway = Gateway::to(origin.upstream(json!({ "tls": { "verify": false } })));
    let mut client = gateway.connect();
    for host in ["a.test", "b.test", "a.test", "b.test"] {
        client.request("GET", "/", &format!("Host: {host}\r\n"), b"");
        assert_eq!(client.answer().unwrap().text(), format!("{host} 0"));
    }
    assert_eq!(origin.names().len(), 2);
}
