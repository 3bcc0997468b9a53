//! etcd behind TLS, with certificates on both sides.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use usher_store::etcd::{Etcd, Options};

use crate::{options, put, route, routes, server};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

/// Writes a certificate and its key, which `authority` vouches for.
fn issue(authority: &Authority, names: &[&str], folder: &Path, file: &str) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority.issuer).unwrap();
    fs::write(folder.join(format!("{file}.pem")), certificate.pem()).unwrap();
    fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_prove_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (ours, strange) = (authority(), authority());
    fs::write(at("ca.pem"), &ours.pem).unwrap();
    fs::write(at("strange.pem"), &strange.pem).unwrap();
    issue(&ours, &["127.0.0.1", "localhost"], folder.path(), "server");
    issue(&ours, &["usher"], folder.path(), "client");
    issue(&strange, &["usher"], folder.path(), "intruder");
    let word = |flag: &str, name: &str| format!("--{flag}={}", at(name).display());
    let words = [
        word("cert-file", "server.pem"),
        word("key-file", "server.key"),
        word("trusted-ca-file", "ca.pem"),
        "--client-cert-auth".to_owned(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let members = server::start(&at("etcd"), 1, &words);
    let with = |ca: Option<&str>, client: Option<&str>, verify: bool| Options {
        ca: ca.map(at),
        cert: client.map(|name| at(&format!("{name}.pem"))),
        key: client.map(|name| at(&format!("{name}.key"))),
        verify,
        timeout: Duration::from_millis(1500),
        ..options(&members, None)
    };
    let store = Etcd::open(with(Some("ca.pem"), Some("client"), true)).await.unwrap();
    put(&store, &route(1), "sealed").await;
    let unverified = Etcd::open(with(None, Some("client"), false)).await.unwrap();
    assert_eq!(routes(&unverified).await.len(), 1);
    for wrong in [
        with(Some("strange.pem"), Some("client"), true),
        with(None, Some("client"), true),
        with(Some("ca.pem"), None, true),
        with(Some("ca.pem"), Some("intruder"), true),
    ] {
        let said = Etcd::open(wrong).await.unwrap_err().to_string();
        assert!(said.contains(&members[0].address()), "{said}");
    }
    let said = Etcd::open(with(Some("absent.pem"), None, true)).await.unwrap_err().to_string();
    assert!(said.contains("absent.pem"), "{said}");
    let plain = Options::parse(&format!("etcd://{}", members[0].address())).unwrap();
    assert!(Etcd::open(plain).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn members_may_prove_another_name_than_that_of_their_address() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let ours = authority();
    fs::write(at("ca.pem"), &ours.pem).unwrap();
    // It is reached by an address that its certificate doesn't name.
    issue(&ours, &["etcd.example"], folder.path(), "server");
    let word = |flag: &str, name: &str| format!("--{flag}={}", at(name).display());
    let words = [word("cert-file", "server.pem"), word("key-file", "server.key")];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let members = server::start(&at("etcd"), 1, &words);
    let named = |sni: Option<&str>| Options {
        ca: Some(at("ca.pem")),
        sni: sni.map(str::to_owned),
        timeout: Duration::from_millis(1500),
        ..options(&members, None)
    };
    let store = Etcd::open(named(Some("etcd.example"))).await.unwrap();
    put(&store, &route(1), "named").await;
    for wrong in [None, Some("other.example")] {
        let said = Etcd::open(named(wrong)).await.unwrap_err().to_string();
        assert!(said.contains("certificate"), "{said}");
    }
    assert!(named(Some("no name")).check().unwrap_err().contains("(sni)"));
}
