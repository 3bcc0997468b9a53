//! HTTP/2 inside of TLS: chosen in the handshake (ALPN), served like every other.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use serde_json::json;
use tokio_rustls::TlsConnector;
use usher_proxy::options::Options;

use super::node::Node;
use super::peer::{Peer, request, run};
use crate::origin::Origin;
use crate::secure::{Authority, client, secure, ssl};
use crate::support::Gateway;

/// A client's connection for this name that offers these protocols, and the one that was chosen.
async fn connect(
    gateway: &Gateway,
    authority: &Authority,
    name: &str,
    offered: &[&str],
) -> (tokio_rustls::client::TlsStream<tokio::net::TcpStream>, Option<Vec<u8>>) {
    let mut config = client(authority);
    config.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = tokio::net::TcpStream::connect(gateway.secure.unwrap()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    (stream, chosen)
}

fn gateway(options: Options, upstream: serde_json::Value, authority: &Authority) -> Gateway {
    Gateway::start_with(
        options,
        &[
            ("ssls/1", ssl(&["a.test"], &authority.sign(&["a.test"]))),
            ("routes/1", json!({ "uri": "/*", "upstream": upstream })),
        ],
    )
}

#[test]
fn the_best_protocol_that_both_know_is_chosen() {
    let authority = Authority::new("root");
    let origin = Origin::fixed("fine");
    for (http2, offered, wanted) in [
        (true, &["h2", "http/1.1"][..], Some("h2")),
        (true, &["http/1.1", "h2"], Some("h2")),
        (true, &["http/1.1"], Some("http/1.1")),
        (true, &[], None),
        (false, &["h2", "http/1.1"], Some("http/1.1")),
    ] {
        let gateway = gateway(Options { http2, ..secure() }, origin.upstream(), &authority);
        run(async {
            let (_, chosen) = connect(&gateway, &authority, "a.test", offered).await;
            assert_eq!(chosen.as_deref(), wanted.map(str::as_bytes), "{http2} {offered:?}");
        });
    }
}

#[test]
fn requests_and_calls_are_served_inside_of_tls() {
    let authority = Authority::new("root");
    let (origin, node) = (Origin::fixed("fine"), Node::start());
    for (upstream, path) in [(origin.upstream(), "/x"), (node.upstream(), "/unary")] {
        let gateway = gateway(secure(), upstream, &authority);
        run(async {
            let (stream, _) = connect(&gateway, &authority, "a.test", &["h2"]).await;
            let peer = Peer::over(stream).await;
            let large = vec![b'x'; 300_000];
            for body in [b"x".as_slice(), &large] {
                let reply = peer.send(request("POST", path), body).await.unwrap();
                assert_eq!(reply.status, 200, "{path}");
                if path == "/unary" {
                    assert!(reply.body == body && reply.trailer("grpc-status") == Some("0"));
                }
            }
            let mut all = Vec::new();
            for _ in 0..50 {
                let peer = peer.clone();
                all.push(tokio::spawn(async move {
                    peer.send(request("POST", path), b"y").await.unwrap().status
                }));
            }
            for one in all {
                assert_eq!(one.await.unwrap(), 200);
            }
        });
    }
    assert_eq!(origin.last().field("x-forwarded-proto"), Some("https"));
    assert_eq!(node.last().fields["x-forwarded-proto"], "https");
}

#[test]
fn a_preface_without_having_chosen_it_is_not_obeyed() {
    let authority = Authority::new("root");
    let origin = Origin::fixed("fine");
    let gateway = gateway(secure(), origin.upstream(), &authority);
    run(async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, chosen) = connect(&gateway, &authority, "a.test", &[]).await;
        assert_eq!(chosen, None);
        stream.write_all(super::frames::PREFACE).await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert!(said.starts_with(b"HTTP/1.1 "), "{:?}", String::from_utf8_lossy(&said));
    });
    assert!(origin.seen().is_empty());
}

#[test]
fn a_stopping_worker_ends_connections_inside_of_tls_with_a_goodbye() {
    let authority = Authority::new("root");
    let origin = Origin::fixed("fine");
    let gateway = gateway(secure(), origin.upstream(), &authority);
    let (ready, waiting) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let address = gateway.secure.unwrap();
    let client = client(&authority);
    let thread = std::thread::spawn(move || {
        run(async move {
            let mut config = client;
            config.alpn_protocols = vec![b"h2".to_vec()];
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("a.test").unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
            let (sender, connection) = h2::client::handshake(stream).await.unwrap();
            let mut sender = sender.ready().await.unwrap();
            let driving = tokio::spawn(connection);
            let (reply, _) = sender.send_request(request("GET", "/"), true).unwrap();
            assert_eq!(reply.await.unwrap().status(), 200);
            ready.send(()).unwrap();
            let _ = stopped.await;
            // An end that is told, and no cut.
            driving.await.unwrap().unwrap();
        });
    });
    waiting.recv().unwrap();
    let draining = gateway.drain(std::time::Duration::from_secs(20));
    stop.send(()).unwrap();
    thread.join().unwrap();
    draining.join().unwrap();
}
