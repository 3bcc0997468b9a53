//! Plugins on stream routes, by the real binary: connections that are spread, and lines of them that leave.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Usher, eventually};

/// Answers every connection with one letter.
fn node(letter: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all);
            let _ = stream.write_all(&[letter]);
        }
    });
    address
}

fn upstream(node: SocketAddr) -> Value {
    json!({ "type": "roundrobin", "scheme": "tcp", "nodes": { node.to_string(): 1 } })
}

/// What a connection is answered.
fn talk(to: SocketAddr, say: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(say);
    let _ = stream.shutdown(Shutdown::Write);
    let mut all = String::new();
    let _ = stream.read_to_string(&mut all);
    all
}

#[test]
fn connections_are_spread_by_weight_and_by_rule() {
    let usher = Usher::start(&["--store", "memory", "--stream-tcp", "127.0.0.1:0"]);
    let to = usher.address("stream");
    let (own, listed, inline) = (node(b'o'), node(b'l'), node(b'i'));
    usher.put("/upstreams/listed", &upstream(listed));
    let route = |rules: Value| {
        let plugins = json!({ "traffic-split": { "rules": rules } });
        usher.put("/stream_routes/1", &json!({ "upstream": upstream(own), "plugins": plugins }));
    };
    route(json!([{ "weighted_upstreams": [
        { "upstream_id": "listed", "weight": 3 }, { "upstream": upstream(inline), "weight": 2 }, { "weight": 1 },
    ] }]));
    let mut counts = BTreeMap::new();
    for _ in 0..12 {
        *counts.entry(talk(to, b"x")).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([("i".to_owned(), 4), ("l".to_owned(), 6), ("o".to_owned(), 2)]));
    for (port, wanted) in [(to.port(), "l"), (1, "o")] {
        let vars = json!([["server_port", "==", port.to_string()]]);
        route(json!([{ "match": [{ "vars": vars }], "weighted_upstreams": [{ "upstream_id": "listed" }] }]));
        assert_eq!(talk(to, b"x"), wanted);
    }
    // Where it isn't there, nobody else gets the connection.
    route(
        json!([{ "weighted_upstreams": [{ "upstream": { "type": "roundrobin", "scheme": "tcp", "nodes": {} } }] }]),
    );
    assert_eq!(talk(to, b"x"), "");
}

#[test]
fn a_line_of_each_connection_leaves_when_it_has_ended() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let usher = Usher::start(&["--store", "memory", "--stream-tcp", "127.0.0.1:0"]);
    let to = usher.address("stream");
    let own = node(b'o');
    let line = |more: Value| -> Value {
        let mut body = json!({
            "host": "127.0.0.1", "port": server.local_addr().unwrap().port(), "sock_type": "udp", "batch_max_size": 1,
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        usher.put("/stream_routes/1", &json!({ "upstream": upstream(own), "plugins": { "syslog": body } }));
        assert_eq!(talk(to, b"hello"), "o");
        let mut text = String::new();
        eventually("a line", || {
            let mut piece = [0; 4096];
            server.recv(&mut piece).is_ok_and(|count| {
                text = String::from_utf8(piece[..count].to_vec()).unwrap();
                true
            })
        });
        assert!(text.starts_with("<46>1 "), "{text}");
        serde_json::from_str(text.splitn(8, ' ').nth(7).unwrap().trim_end()).unwrap()
    };
    let usual = line(json!({}));
    for (name, wanted) in [
        ("client_ip", json!("127.0.0.1")),
        ("server_port", json!(to.port())),
        ("protocol", json!("TCP")),
        ("status", json!(200)),
        ("upstream", json!(own.to_string())),
        ("bytes_received", json!(5)),
        ("bytes_sent", json!(1)),
        ("route_id", json!("1")),
    ] {
        assert_eq!(usual[name], wanted, "{name} of {usual}");
    }
    let own_words =
        line(json!({ "log_format": { "who": "$remote_addr took $bytes_sent of $upstream_addr" } }));
    assert_eq!(own_words, json!({ "who": format!("127.0.0.1 took 1 of {own}"), "route_id": "1" }));
}

#[test]
fn which_plugins_stream_routes_have_is_a_setting_of_its_own() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("config.yaml");
    let settings = "plugins: [key-auth, batch-requests]\nstream_plugins: [ip-restriction, cors]\n";
    std::fs::write(&config, settings).unwrap();
    let arguments = ["--config", config.to_str().unwrap(), "--stream-tcp", "127.0.0.1:0"];
    let usher = Usher::start_in(Arc::clone(&folder), &arguments);
    for (query, wanted) in
        [("", json!(["batch-requests", "key-auth"])), ("?subsystem=stream", json!(["ip-restriction"]))]
    {
        assert_eq!(usher.admin("GET", &format!("/plugins/list{query}"), None).json(), wanted);
    }
    let all = usher.admin("GET", "/plugins?all=true", None).json();
    let scope = |name: &str| all[name].get("scope").cloned();
    assert_eq!((scope("batch-requests"), scope("key-auth")), (Some(json!("global")), None), "{all}");
    let filter = json!({ "ip-restriction": { "blacklist": ["127.0.0.1"] } });
    usher.put("/stream_routes/1", &json!({ "upstream": upstream(node(b'a')), "plugins": filter }));
    assert_eq!(talk(usher.address("stream"), b"x"), "");
    for (path, plugins, unknown) in [
        ("/routes/1", filter, "ip-restriction"),
        ("/stream_routes/2", json!({ "limit-conn": {} }), "limit-conn"),
        ("/stream_routes/2", json!({ "key-auth": {} }), "key-auth"),
    ] {
        let body = json!({ "uri": "/a", "plugins": plugins });
        let body = if path.starts_with("/routes") { body } else { json!({ "plugins": body["plugins"] }) };
        let refused = usher.admin("PUT", path, Some(&body));
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(&format!("unknown plugin [{unknown}]")), "{}", refused.text());
    }
}
