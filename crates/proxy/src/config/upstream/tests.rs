//! What upstreams are refused for, when they share connections, and whose certificates they believe.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use serde_json::{Value, json};
use usher_model::compat::{Behaviour, Compat};

use super::{Keeper, Place, Upstream};

fn built(value: &Value, compat: Compat, own: &[std::net::SocketAddr]) -> Result<Upstream, String> {
    let place = Place { compat, own, certificates: None, keeper: &Keeper::default() };
    Upstream::build("u".into(), value, place)
}

fn build(value: &Value) -> Upstream {
    built(value, Compat::NONE, &[]).unwrap()
}

fn https(more: &Value) -> Value {
    let mut value = json!({ "scheme": "https", "nodes": { "localhost:443": 1 } });
    usher_model::patch::merge(&mut value, more);
    value
}

/// A self-signed certificate for `localhost` and its key, in PEM and DER.
struct Identity {
    pem: (String, String),
    der: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der();
    Identity {
        pem: (made.cert.pem(), made.signing_key.serialize_pem()),
        der: (made.cert.der().clone(), PrivateKeyDer::Pkcs8(key.into())),
    }
}

#[test]
fn what_cannot_be_an_upstream_is_refused_with_a_sentence() {
    let own = ["127.0.0.1:9180".parse().unwrap()];
    let (one, other) = (identity().pem, identity().pem);
    for (value, part) in [
        (
            json!({ "nodes": { "127.0.0.1:9180": 1 } }),
            "the node 127.0.0.1 can't be used: it is a listener of Usher's own",
        ),
        (json!({ "nodes": [{ "host": "169.254.169.254", "weight": 1 }] }), "link-local"),
        (json!({ "nodes": [{ "host": "[fe80::1]", "port": 80, "weight": 0 }] }), "link-local"),
        (json!({ "nodes": {}, "scheme": "kafka" }), "`scheme` \"kafka\" is not supported"),
        (
            json!({ "service_name": "x", "discovery_type": "tars" }),
            "`discovery_type` \"tars\" is not supported",
        ),
        (json!({}), "missing field `nodes`"),
        (https(&json!({ "tls": { "client_cert": one.0 } })), "together or not at all"),
        (
            https(&json!({ "tls": { "client_cert": "x", "client_key": one.1 } })),
            "holds no certificate in PEM",
        ),
        (
            https(&json!({ "tls": { "client_cert": one.0, "client_key": "x" } })),
            "`tls.client_key` is no private key in PEM",
        ),
        (https(&json!({ "tls": { "client_cert": one.0, "client_key": other.1 } })), "don't fit together"),
    ] {
        let refused = built(&value, Compat::NONE, &own).map(drop).unwrap_err();
        assert!(refused.contains(part), "{value}: {refused}");
        assert!(!refused.contains("PRIVATE"), "{refused}");
    }
    let near = json!({ "nodes": { "127.0.0.1:9181": 1, "10.0.0.1:9180": 1, "localhost:9180": 1 } });
    assert!(built(&near, Compat::NONE, &own).is_ok());
}

#[test]
fn tries_are_bounded_by_the_nodes_that_are_in_use() {
    let nodes = json!({ "a:1": 1, "b:1": 1, "c:1": 0 });
    for (retries, wanted) in [(json!(null), 2), (json!(0), 1), (json!(1), 2), (json!(4_000_000_000_u32), 2)] {
        let value = json!({ "nodes": nodes, "retries": retries });
        let upstream = build(&value);
        assert_eq!(upstream.fleet().tries(upstream.spec.retries), wanted, "{retries}");
    }
    assert_eq!(build(&json!({ "nodes": { "a:1": 0 } })).fleet().tries(Some(3)), 0);
    assert_eq!(build(&json!({ "nodes": [] })).fleet().tries(Some(3)), 0);
}

#[test]
fn connections_are_shared_only_where_scheme_tls_and_host_agree() {
    let pem = identity().pem;
    let base = build(&https(&json!({})));
    for (more, same) in [
        (json!({ "retries": 3, "timeout": { "connect": 1, "send": 1, "read": 1 } }), true),
        (json!({ "nodes": { "other:1": 1 } }), true),
        (json!({ "tls": { "verify": true } }), true),
        (json!({ "tls": { "verify": false } }), false),
        (json!({ "scheme": "http" }), false),
        (json!({ "pass_host": "node" }), false),
        (json!({ "pass_host": "rewrite", "upstream_host": "x" }), false),
        (json!({ "tls": { "client_cert": pem.0, "client_key": pem.1 } }), false),
    ] {
        assert_eq!(build(&https(&more)).pool == base.pool, same, "{more}");
    }
    assert!(build(&json!({ "nodes": {} })).tls.is_none());
    let again = build(&https(&json!({})));
    assert!(Arc::ptr_eq(base.tls.as_ref().unwrap(), again.tls.as_ref().unwrap()), "sessions are shared");
}

/// What comes of a handshake in memory with a server that shows this certificate and, where `asks`, wants to see one.
fn handshake(upstream: &Upstream, identity: &Identity, asks: bool) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let (cert, key) = &identity.der;
    let builder = if asks {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(vec![cert.clone()], key.clone_key()).unwrap();
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(upstream.tls.as_ref().unwrap()), name).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn certificates_are_verified_unless_it_is_said_otherwise() {
    let identity = identity();
    let unverified = Compat::NONE.with(Behaviour::UnverifiedUpstreams);
    for (compat, more, wanted) in [
        (Compat::NONE, json!({}), false),
        (Compat::NONE, json!({ "tls": { "verify": true } }), false),
        (Compat::NONE, json!({ "tls": { "verify": false } }), true),
        (unverified, json!({}), true),
        (unverified, json!({ "tls": { "verify": true } }), false),
    ] {
        let upstream = built(&https(&more), compat, &[]).unwrap();
        let result = handshake(&upstream, &identity, false);
        assert_eq!(result.is_ok(), wanted, "{more}: {result:?}");
        if !wanted {
            assert!(matches!(result, Err(rustls::Error::InvalidCertificate(_))), "{result:?}");
        }
    }
}

#[test]
fn a_client_certificate_is_shown() {
    let identity = identity();
    let tls = json!({ "client_cert": identity.pem.0, "client_key": identity.pem.1, "verify": false });
    assert!(handshake(&build(&https(&json!({ "tls": tls }))), &identity, true).is_ok());
    assert!(handshake(&build(&https(&json!({ "tls": { "verify": false } }))), &identity, true).is_err());
}
