//! Which certificate a client is shown, by the name that it asks for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rustls::{CipherSuite, ClientConfig, ProtocolVersion};
use serde_json::json;
use usher_proxy::options::{Cipher, Options, Tls, TlsVersions};

use super::authority::{Authority, Wanted};
use super::{client, secure, ssl};
use crate::origin::Origin;
use crate::support::Gateway;

/// Which of several certificates the handshake shows: its common name.
fn shown(gateway: &Gateway, config: &Arc<ClientConfig>, name: &str) -> String {
    match gateway.shake(config, name) {
        Ok(connection) => {
            let shown = connection.tls().peer_certificates().unwrap()[0].clone();
            usher_model::certificate::text(&shown, "s_dn").unwrap().trim_start_matches("CN=").to_owned()
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_name_chooses_the_certificate_exactly_then_by_one_label_then_by_a_star() {
    let authority = Authority::new("root");
    let sign = |common_name: &str, names: &[&str]| {
        authority.sign_as(&Wanted { common_name, names, ..Wanted::default() })
    };
    let all = ["a.test", "b.a.test", "c.b.a.test", "other.test", "sub.other.test"];
    let gateway = Gateway::start_with(
        secure(),
        &[
            ("ssls/exact", ssl(&["A.test", "b.a.test."], &sign("exact", &all))),
            ("ssls/wild", ssl(&["*.a.test"], &sign("wild", &["b.a.test", "x.a.test"]))),
        ],
    );
    let config = Arc::new(client(&authority));
    for (name, wanted) in [
        ("a.test", "exact"),
        ("A.TEST", "exact"),
        ("b.a.test", "exact"),
        ("x.a.test", "wild"),
        ("X.A.test", "wild"),
    ] {
        assert_eq!(shown(&gateway, &config, name), wanted, "{name}");
    }
    for name in ["c.b.a.test", "other.test", "test"] {
        let refused = shown(&gateway, &config, name);
        assert!(
            refused.contains("UnrecognizedName") || refused.contains("UnrecognisedName"),
            "{name}: {refused}"
        );
    }
    // No name at all, and an address is no name.
    let refused = shown(&gateway, &config, "127.0.0.1");
    assert!(refused.contains("UnrecognizedName") || refused.contains("UnrecognisedName"), "{refused}");

    gateway.put(&[("ssls/star", ssl(&["*"], &sign("star", &all)))]);
    assert_eq!(shown(&gateway, &config, "c.b.a.test"), "star");
    assert_eq!(shown(&gateway, &config, "x.a.test"), "wild");

    // What is switched off or for upstreams isn't served.
    let mut off = ssl(&["a.test"], &sign("off", &all));
    off["status"] = 0.into();
    gateway.put(&[("ssls/exact", off)]);
    assert_eq!(shown(&gateway, &config, "a.test"), "star");
    gateway.change(&[], &["ssls/star"]);
    assert!(shown(&gateway, &config, "a.test").contains("Name"));
}

#[test]
fn of_two_objects_for_one_name_the_first_one_serves_until_it_is_gone() {
    let authority = Authority::new("root");
    let sign = |common_name: &str| {
        authority.sign_as(&Wanted { common_name, names: &["a.test"], ..Wanted::default() })
    };
    let gateway = Gateway::start_with(secure(), &[("ssls/z", ssl(&["a.test"], &sign("first")))]);
    gateway.put(&[("ssls/a", ssl(&["a.test"], &sign("second")))]);
    let config = Arc::new(client(&authority));
    assert_eq!(shown(&gateway, &config, "a.test"), "first");
    // Another version of an object stays at its place.
    gateway.put(&[("ssls/z", ssl(&["a.test"], &sign("first, renewed")))]);
    assert_eq!(shown(&gateway, &config, "a.test"), "first\\, renewed");
    gateway.change(&[], &["ssls/z"]);
    assert_eq!(shown(&gateway, &config, "a.test"), "second");
}

#[test]
fn a_client_without_a_name_gets_the_fallback() {
    let authority = Authority::new("root");
    let pair = authority.sign_as(&Wanted {
        common_name: "fallback",
        names: &["a.test", "127.0.0.1"],
        ..Wanted::default()
    });
    let options = secure();
    let tls = Tls { fallback_sni: Some("a.test".to_owned()), ..options.tls };
    let gateway = Gateway::start_with(Options { tls, ..options }, &[("ssls/1", ssl(&["a.test"], &pair))]);
    let config = Arc::new(client(&authority));
    assert_eq!(shown(&gateway, &config, "127.0.0.1"), "fallback");
    assert!(
        shown(&gateway, &config, "b.test").contains("Name"),
        "the fallback is for clients without a name alone"
    );
}

#[test]
fn a_client_is_shown_the_certificate_that_it_can_check() {
    let authority = Authority::new("root");
    let sign = |common_name: &str, kind| {
        authority.sign_as(&Wanted { common_name, names: &["a.test"], kind, ..Wanted::default() })
    };
    let (rsa, ecdsa) = (sign("rsa", &PKCS_RSA_SHA256), sign("ecdsa", &PKCS_ECDSA_P256_SHA256));
    let mut both = ssl(&["a.test"], &rsa);
    both["certs"] = json!([ecdsa.cert]);
    both["keys"] = json!([ecdsa.key]);
    let gateway = Gateway::start_with(secure(), &[("ssls/1", both)]);
    let mut config = client(&authority);
    assert_eq!(shown(&gateway, &Arc::new(config.clone()), "a.test"), "ecdsa");
    // A client of TLS 1.2 whose ciphers ask for RSA.
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.suite() == CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert_eq!(shown(&gateway, &Arc::new(config), "a.test"), "rsa");
}

#[test]
fn versions_and_ciphers_follow_the_object_and_the_settings() {
    let authority = Authority::new("root");
    let pair = authority.sign(&["a.test", "b.test"]);
    let mut only_13 = ssl(&["b.test"], &pair);
    only_13["ssl_protocols"] = json!(["TLSv1.3"]);
    let options = secure();
    let (ciphers, _) = Cipher::parse_list("ECDHE-ECDSA-CHACHA20-POLY1305").unwrap();
    let tls = Tls { versions: TlsVersions::Only12, ciphers: Some(ciphers), ..options.tls };
    let objects = [("ssls/a", ssl(&["a.test"], &pair)), ("ssls/b", only_13)];
    let gateway = Gateway::start_with(Options { tls, ..options }, &objects);
    let config = Arc::new(client(&authority));
    let connection = gateway.shake(&config, "a.test").unwrap();
    assert_eq!(connection.tls().protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let suite = connection.tls().negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    let connection = gateway.shake(&config, "b.test").unwrap();
    assert_eq!(connection.tls().protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn the_protocol_is_agreed_upon() {
    let authority = Authority::new("root");
    let pair = authority.sign(&["a.test"]);
    let gateway = Gateway::start_with(secure(), &[("ssls/1", ssl(&["a.test"], &pair))]);
    let mut config = client(&authority);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connection = gateway.shake(&Arc::new(config.clone()), "a.test").unwrap();
    assert_eq!(connection.tls().alpn_protocol(), Some(b"http/1.1".as_slice()));
    config.alpn_protocols = vec![b"spdy/1".to_vec()];
    let refused = gateway.shake(&Arc::new(config), "a.test").map(drop).unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
}

#[test]
fn what_is_no_tls_is_refused_and_the_next_client_is_served() {
    let authority = Authority::new("root");
    let pair = authority.sign(&["a.test"]);
    let origin = Origin::fixed("hello");
    let route = json!({ "uri": "/*", "upstream": origin.upstream() });
    let gateway = Gateway::start_with(secure(), &[("ssls/1", ssl(&["a.test"], &pair)), ("routes/1", route)]);
    let mut random = vec![0; 3000];
    fastrand::Rng::with_seed(7).fill(&mut random);
    let hello_of_ssl2 = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec();
    let huge_record = b"\x16\x03\x01\xff\xff".to_vec();
    for bytes in [b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec(), random, hello_of_ssl2, huge_record] {
        let mut stream = TcpStream::connect(gateway.secure.unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(&bytes);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert!(said.len() < 100, "it is told no more than an alert");
    }
    let config = Arc::new(client(&authority));
    assert_eq!(gateway.ask(&config, "a.test", "/").unwrap().text(), "hello");
}
