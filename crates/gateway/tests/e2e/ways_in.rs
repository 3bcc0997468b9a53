//! The gateway's other ways in, by the real binary: TLS with certificates from the Admin API, load balancers, stream routes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use crate::support::{Origin, Usher, eventually, request};

#[test]
fn certificates_of_the_admin_api_are_served_at_once_and_counted() {
    let origin = Origin::start("hello");
    let usher = Usher::start(&["--tls-listen", "127.0.0.1:0"]);
    usher.put(
        "/routes/1",
        &json!({ "uri": "/*", "upstream": origin.upstream(), "plugins": { "prometheus": {} } }),
    );
    for _ in 0..2 {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
        let ssl = json!({ "snis": ["a.test"], "cert": cert.pem(), "key": signing_key.serialize_pem() });
        usher.put("/ssls/mine", &ssl);
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connection =
            ClientConnection::new(Arc::new(config), ServerName::try_from("a.test").unwrap()).unwrap();
        let stream = TcpStream::connect(usher.address("tls")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"hello\""), "{answer}");
    }
    let metrics = request(usher.address("metrics"), "GET", "/apisix/prometheus/metrics", &[], b"").text();
    assert!(metrics.contains("apisix_tls_handshakes_total{result=\"full\"} 2\n"), "{metrics}");
    assert!(metrics.contains("apisix_ssl_certificate_ends_seconds{id=\"mine\"} "), "{metrics}");
}

#[test]
fn stream_routes_of_the_admin_api_are_served_at_once_and_counted() {
    let node = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = node.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in node.incoming().flatten() {
            std::thread::spawn(move || {
                let mut from = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut from, &mut stream);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_address = datagrams.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut room = [0; 2000];
        while let Ok((length, client)) = datagrams.recv_from(&mut room) {
            datagrams.send_to(&room[..length], client).unwrap();
        }
    });
    let usher = Usher::start(&["--stream-tcp", "127.0.0.1:0", "--stream-udp", "127.0.0.1:0"]);
    let (tcp, udp) = (usher.address("stream"), usher.address("stream_udp"));
    let upstream = |scheme: &str, node: SocketAddr| json!({ "type": "roundrobin", "scheme": scheme, "nodes": { node.to_string(): 1 } });
    let plugins = json!({ "prometheus": {}, "ip-restriction": { "whitelist": ["127.0.0.0/8"] } });
    usher.put(
        "/stream_routes/tcp",
        &json!({ "server_port": tcp.port(), "upstream": upstream("tcp", address), "plugins": plugins }),
    );
    usher.put(
        "/stream_routes/udp",
        &json!({ "server_port": udp.port(), "upstream": upstream("udp", udp_address) }),
    );

    let talk = || {
        let mut stream = TcpStream::connect(tcp).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(b"hello");
        let _ = stream.shutdown(Shutdown::Write);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        all
    };
    assert_eq!(talk(), b"hello");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.send_to(b"ping", udp).unwrap();
    let mut room = [0; 10];
    assert_eq!(client.recv(&mut room).unwrap(), 4);

    let metrics = || request(usher.address("metrics"), "GET", "/apisix/prometheus/metrics", &[], b"").text();
    let counted = "apisix_stream_connection_total{route=\"tcp\"} 1\n";
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !metrics().contains(counted) {
        assert!(std::time::Instant::now() < end, "{}", metrics());
        std::thread::yield_now();
    }

    let one = json!({ "conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr" });
    usher.put(
        "/stream_routes/tcp",
        &json!({ "upstream": upstream("tcp", address), "plugins": { "limit-conn": one } }),
    );
    let mut first = TcpStream::connect(tcp).unwrap();
    first.write_all(b"mine").unwrap();
    first.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(talk(), b"", "a second connection at the same time");
    drop(first);
    eventually("a place for the next connection", || talk() == b"hello");

    usher.put("/stream_routes/tcp", &json!({ "upstream": upstream("tcp", address), "plugins": { "ip-restriction": { "blacklist": ["127.0.0.1"] } } }));
    assert_eq!(talk(), b"");
    for (plugins, wanted) in [
        (json!({ "cors": {} }), "unknown plugin [cors]"),
        (
            json!({ "ip-restriction": {} }),
            "failed to check the configuration of stream plugin [ip-restriction]: ",
        ),
    ] {
        let refused = usher.admin(
            "PUT",
            "/stream_routes/x",
            Some(&json!({ "upstream": upstream("tcp", address), "plugins": plugins })),
        );
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(wanted), "{}", refused.text());
    }
}

#[test]
fn what_config_yaml_says_of_ways_in_is_followed() {
    let origin = Origin::start("hello");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(&config, format!("apisix:\n  proxy_protocol:\n    listen_http_port: {free}\n")).unwrap();
    let usher = Usher::start_in(folder, &["--config", config.to_str().unwrap()]);
    usher.put("/routes/1", &json!({ "uri": "/*", "remote_addr": "10.1.2.3", "upstream": origin.upstream() }));
    assert_eq!(usher.address("behind_balancer").port(), free);
    let mut stream = TcpStream::connect(("127.0.0.1", free)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(b"PROXY TCP4 10.1.2.3 10.0.0.1 4444 80\r\nGET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(usher.get("/", &[]).status, 404);
}
