//! Stream routes on real sockets: TCP, TLS and UDP, found by name, port and address, and passed on byte for byte.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use usher_proxy::options::{AccessLog, Options, StreamListen, Streams};

use crate::origin::nobody;
use crate::secure::{Authority, Connection, client, ssl};
use crate::support::{Gateway, eventually, options};
use crate::trial::logged;

const LONG: Duration = Duration::from_secs(20);

/// Two listeners for TCP, one for TLS, one for UDP.
fn streams() -> Options {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let tcp = [false, false, true].map(|tls| StreamListen { address, tls }).to_vec();
    Options { streams: Streams { tcp, udp: vec![address], ..Streams::default() }, ..options() }
}

/// Answers every connection with its name, then with what it is sent, and ends when its client has.
fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                to.write_all(name.as_bytes()).unwrap();
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn upstream(nodes: &[SocketAddr], scheme: &str) -> Value {
    let nodes: serde_json::Map<String, Value> =
        nodes.iter().map(|node| (node.to_string(), 1.into())).collect();
    json!({ "type": "roundrobin", "scheme": scheme, "nodes": nodes })
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Everything that comes once this side has said that it sends no more.
fn talk(to: SocketAddr, say: &[u8]) -> Vec<u8> {
    let mut stream = connect(to);
    let _ = stream.write_all(say);
    let _ = stream.shutdown(Shutdown::Write);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

#[test]
fn a_connection_is_passed_on_and_either_side_may_end_first() {
    let node = echo("a:");
    let gateway = Gateway::start_with(
        streams(),
        &[("stream_routes/1", json!({ "upstream": upstream(&[node], "tcp") }))],
    );
    let to = gateway.streams[0];
    assert_eq!(talk(to, b"hello"), b"a:hello");
    // The server speaks first.
    let mut stream = connect(to);
    let mut first = [0; 2];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"a:");
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 253) as u8).collect();
    let sent = large.clone();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == large, "{} of {} bytes came back", back.len(), large.len());
}

#[test]
fn the_first_route_that_takes_a_connection_serves_it() {
    let [one, two, three] = ["1:", "2:", "3:"].map(echo);
    let gateway = Gateway::start_with(streams(), &[]);
    let (first, second) = (gateway.streams[0], gateway.streams[1]);
    assert_eq!(talk(first, b"x"), b"", "no route, no connection");
    gateway.put(&[(
        "stream_routes/c",
        json!({ "server_port": second.port(), "upstream": upstream(&[two], "tcp") }),
    )]);
    assert_eq!((talk(first, b"x"), talk(second, b"x")), (b"".to_vec(), b"2:x".to_vec()));
    gateway.put(&[(
        "stream_routes/b",
        json!({ "remote_addr": "10.0.0.0/8", "upstream": upstream(&[three], "tcp") }),
    )]);
    gateway.put(&[("stream_routes/a", json!({ "server_addr": "127.0.0.1", "remote_addr": "127.0.0.0/8", "upstream": upstream(&[one], "tcp") }))]);
    assert_eq!((talk(first, b"x"), talk(second, b"x")), (b"1:x".to_vec(), b"2:x".to_vec()));
    gateway.change(&[], &["stream_routes/c"]);
    assert_eq!(talk(second, b"x"), b"1:x");
    // The upstream may be an object, or a service's.
    gateway.put(&[
        ("upstreams/u", upstream(&[three], "tcp")),
        ("services/s", json!({ "upstream": upstream(&[two], "tcp"), "plugins": { "trial-two": { "mark": "for requests" } } })),
        ("stream_routes/a", json!({ "upstream_id": "u" })),
        ("stream_routes/s", json!({ "server_port": second.port(), "service_id": "s" })),
    ]);
    assert_eq!(talk(first, b"x"), b"3:x");
    gateway.change(&[], &["stream_routes/a"]);
    assert_eq!(talk(second, b"x"), b"2:x");
    gateway.put(&[("stream_routes/a", json!({ "upstream_id": "missing" }))]);
    assert_eq!(talk(first, b"x"), b"");
}

#[test]
fn a_route_that_can_not_be_built_closes_its_connections_instead_of_leaving_them_to_others() {
    let node = echo("wide:");
    let gateway = Gateway::start_with(streams(), &[]);
    let narrow = json!({ "remote_addr": "127.0.0.1", "plugins": { "unknown": {} }, "upstream": upstream(&[node], "tcp") });
    let problems = gateway.put_wrong("stream_routes/narrow", &narrow);
    assert!(problems[0].contains("unknown plugin [unknown]"), "{problems:?}");
    gateway.put_wrong("stream_routes/wide", &json!({ "upstream": upstream(&[node], "tcp") }));
    assert_eq!(talk(gateway.streams[0], b"x"), b"");
}

#[test]
fn tls_clients_are_told_apart_by_the_name_that_they_ask_for() {
    let authority = Authority::new("root");
    let names = ["a.test", "b.a.test", "c.b.a.test", "x.test"];
    let [exact, wild, any] = ["exact:", "wild:", "any:"].map(echo);
    let gateway = Gateway::start_with(
        streams(),
        &[
            ("ssls/1", ssl(&["a.test", "b.a.test", "c.b.a.test", "x.test"], &authority.sign(&names))),
            ("stream_routes/any", json!({ "upstream": upstream(&[any], "tcp") })),
            ("stream_routes/exact", json!({ "sni": "A.test", "upstream": upstream(&[exact], "tcp") })),
            ("stream_routes/wild", json!({ "sni": "*.a.test", "upstream": upstream(&[wild], "tcp") })),
        ],
    );
    let mut config = client(&authority);
    // Whatever is spoken inside.
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    let config = Arc::new(config);
    for (name, wanted) in
        [("a.test", "exact:"), ("b.a.test", "wild:"), ("c.b.a.test", "wild:"), ("x.test", "any:")]
    {
        let mut connection = Connection::to(gateway.streams[2], &config, name).unwrap();
        connection.reader.get_mut().write_all(b"hi").unwrap();
        let mut back = vec![0; wanted.len() + 2];
        connection.reader.read_exact(&mut back).unwrap();
        assert_eq!(String::from_utf8(back).unwrap(), format!("{wanted}hi"), "{name}");
        connection.reader.get_mut().conn.send_close_notify();
        connection.reader.get_mut().flush().unwrap();
        let mut rest = Vec::new();
        connection.reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "an end is said, and passed on");
    }
    // Without TLS there is no name.
    assert_eq!(talk(gateway.streams[0], b"x"), b"any:x");
}

#[test]
fn a_node_that_is_away_is_passed_over() {
    let node = echo("here:");
    let away = [nobody(), nobody()];
    let all = [away[0], node, away[1]];
    let gateway =
        Gateway::start_with(streams(), &[("stream_routes/1", json!({ "upstream": upstream(&all, "tcp") }))]);
    for _ in 0..6 {
        assert_eq!(talk(gateway.streams[0], b"x"), b"here:x");
    }
    gateway.put(&[("stream_routes/1", json!({ "upstream": upstream(&away, "tcp") }))]);
    assert_eq!(talk(gateway.streams[0], b"x"), b"");
}

#[test]
fn what_nothing_moves_on_is_closed() {
    let node = echo("a:");
    let mut patient = upstream(&[node], "tcp");
    patient["timeout"] = json!({ "connect": 1, "send": 0.3, "read": 0.3 });
    let gateway = Gateway::start_with(streams(), &[("stream_routes/1", json!({ "upstream": patient }))]);
    let mut stream = connect(gateway.streams[0]);
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"a:");
}

/// Answers each datagram with its name and itself.
fn datagrams(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut room = vec![0; 65_535];
        while let Ok((length, client)) = socket.recv_from(&mut room) {
            let _ = socket.send_to(&[name.as_bytes(), &room[..length]].concat(), client);
        }
    });
    address
}

fn udp_client() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

fn ask(socket: &UdpSocket, to: SocketAddr, say: &[u8]) -> Vec<u8> {
    let mut room = vec![0; 65_535];
    socket.send_to(say, to).unwrap();
    let (length, from) = socket.recv_from(&mut room).unwrap();
    assert_eq!(from, to);
    room[..length].to_vec()
}

#[test]
fn datagrams_go_to_one_node_and_come_back_to_their_client() {
    let node = datagrams("u:");
    let route = json!({ "upstream": upstream(&[node], "udp") });
    let gateway = Gateway::start_with(Options { workers: 2, ..streams() }, &[("stream_routes/1", route)]);
    let to = gateway.datagrams[0];
    let clients: Vec<UdpSocket> = (0..20).map(|_| udp_client()).collect();
    for round in 0..3 {
        for (number, client) in clients.iter().enumerate() {
            let say = format!("{number} in {round}");
            assert_eq!(ask(client, to, say.as_bytes()), format!("u:{say}").into_bytes());
        }
    }
    assert_eq!(ask(&clients[0], to, &vec![7; 60_000]).len(), 60_002);
    assert_eq!(ask(&clients[0], to, b""), b"u:");
    // A node that is gone costs nobody else anything.
    let gone = json!({ "server_port": to.port(), "upstream": upstream(&[nobody()], "udp") });
    gateway.change(&[("stream_routes/2", gone)], &["stream_routes/1"]);
    let late = udp_client();
    late.send_to(b"lost", to).unwrap();
    gateway.change(
        &[("stream_routes/1", json!({ "upstream": upstream(&[node], "udp") }))],
        &["stream_routes/2"],
    );
    eventually("another client is served", || {
        let client = udp_client();
        client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        client.send_to(b"x", to).unwrap();
        client.recv(&mut [0; 10]).is_ok_and(|length| length == 3)
    });
}

#[test]
fn upstreams_are_told_where_the_client_is_if_they_want_to() {
    let node = echo("");
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let streams = Streams {
        tcp: vec![StreamListen { address, tls: false }],
        proxy_protocol: true,
        proxy_protocol_to_upstreams: true,
        ..Streams::default()
    };
    let route = json!({ "remote_addr": "10.1.2.3", "upstream": upstream(&[node], "tcp") });
    let gateway = Gateway::start_with(Options { streams, ..options() }, &[("stream_routes/1", route)]);
    let to = gateway.streams[0];
    let told = talk(to, b"PROXY TCP4 10.1.2.3 10.0.0.1 4444 80\r\nhello");
    assert_eq!(
        String::from_utf8(told).unwrap(),
        format!("PROXY TCP4 10.1.2.3 127.0.0.1 4444 {}\r\nhello", to.port())
    );
    assert_eq!(talk(to, b"PROXY TCP4 10.1.2.4 10.0.0.1 4444 80\r\nhello"), b"");
    assert_eq!(talk(to, b"hello and more than twelve bytes"), b"");
}

#[test]
fn what_a_plugin_reads_ahead_is_passed_on_behind_what_the_upstream_is_told() {
    let node = echo("");
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let streams = Streams {
        tcp: vec![StreamListen { address, tls: false }],
        udp: vec![address],
        proxy_protocol_to_upstreams: true,
        ..Streams::default()
    };
    let route = |ahead: usize| {
        let plugins = json!({ "trial": { "ahead": ahead, "log": format!("ahead {ahead}") } });
        json!({ "plugins": plugins, "upstream": upstream(&[node], "tcp") })
    };
    let gateway = Gateway::start_with(Options { streams, ..options() }, &[("stream_routes/1", route(5))]);
    let to = gateway.streams[0];
    for said in [&b"hello"[..], b"hello and more", &[b'x'; 200_000]] {
        let mut stream = connect(to);
        stream.set_nodelay(true).unwrap();
        for byte in &said[..5] {
            stream.write_all(&[*byte]).unwrap();
        }
        let (rest, mut writer) = (said[5..].to_vec(), stream.try_clone().unwrap());
        let writing = std::thread::spawn(move || {
            writer.write_all(&rest).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        writing.join().unwrap();
        let line = all.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
        assert!(all.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "), "{:?}", &all[..line]);
        assert!(all[line..] == *said, "{} bytes are {}", said.len(), all.len() - line);
    }
    eventually("they are logged", || logged("ahead 5").len() == 3);
    let counts: Vec<String> = logged("ahead 5").iter().map(|seen| seen["bytes_received"].clone()).collect();
    assert_eq!(counts, ["5", "14", "200000"]);
    // One that ends too early, and one that goes on for too long, come to nobody.
    assert_eq!(talk(to, b"hell"), b"");
    gateway.put(&[("stream_routes/1", route(1 << 20))]);
    assert_eq!(talk(to, &[b'x'; 20_000]), b"");
    eventually("it is logged", || logged("ahead 1048576").len() == 1);
    let seen = logged("ahead 1048576").remove(0);
    assert_eq!((seen["status"].as_str(), seen.contains_key("upstream_addr")), ("403", false));
    // Of datagrams nothing is read ahead.
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", gateway.datagrams[0]).unwrap();
    eventually("it is logged", || logged("ahead 1048576").len() == 2);
    assert_eq!(logged("ahead 1048576")[1]["status"], "403");
}

#[test]
fn requests_are_not_sent_to_an_upstream_of_streams() {
    let node = echo("a:");
    let gateway = Gateway::start_with(
        streams(),
        &[("routes/1", json!({ "uri": "/*", "upstream": upstream(&[node], "tcp") }))],
    );
    assert_eq!(gateway.get("/").status, 503);
}

#[test]
fn plugins_decide_about_connections_and_see_how_they_went() {
    let node = echo("a:");
    let route = |plugins: Value| json!({ "plugins": plugins, "upstream": upstream(&[node], "tcp") });
    let gateway = Gateway::start_with(
        streams(),
        &[("stream_routes/1", route(json!({ "trial": { "log": "let in" } })))],
    );
    let to = gateway.streams[0];
    assert_eq!(talk(to, b"hello"), b"a:hello");
    eventually("it is logged", || logged("let in").len() == 1);
    let seen = logged("let in").remove(0);
    for (name, wanted) in [
        ("status", "200"),
        ("route_id", "1"),
        ("protocol", "TCP"),
        ("remote_addr", "127.0.0.1"),
        ("bytes_received", "5"),
        ("bytes_sent", "7"),
        ("upstream_addr", &node.to_string()),
    ] {
        assert_eq!(seen[name], wanted, "{name}");
    }
    gateway.put(&[("stream_routes/1", route(json!({ "trial": { "reply": 403, "log": "refused" } })))]);
    assert_eq!(talk(to, b"hello"), b"");
    eventually("that is logged too", || logged("refused").len() == 1);
    assert_eq!(logged("refused")[0]["status"], "403");
    gateway.put(&[(
        "stream_routes/1",
        route(json!({ "trial": { "reply": 403, "_meta": { "disable": true } } })),
    )]);
    assert_eq!(talk(to, b"hello"), b"a:hello");
    // A service's plugins hold where the route has no namesake.
    gateway.put(&[
        ("services/s", json!({ "plugins": { "trial": { "reply": 403 } } })),
        ("stream_routes/1", json!({ "service_id": "s", "upstream": upstream(&[node], "tcp") })),
    ]);
    assert_eq!(talk(to, b"hello"), b"");
    let problems = gateway.put_wrong("stream_routes/1", &route(json!({ "trial-two": {} })));
    assert!(problems[0].contains("unknown plugin [trial-two]"), "{problems:?}");
}

#[test]
fn each_connection_has_its_line_in_a_log_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("streams.log");
    let log = AccessLog { path: Some(path.clone()), ..AccessLog::default() };
    let gateway = Gateway::start_with(Options { stream_access_log: Some(log), ..streams() }, &[]);
    let node = echo("a");
    let dead = nobody();
    let port = gateway.streams[0].port();
    let route = |node: SocketAddr, plugins: Value| json!({ "server_port": port, "upstream": upstream(&[node], "tcp"), "plugins": plugins });
    let text = || std::fs::read_to_string(&path).unwrap_or_default();
    for (lines, (node, plugins, wanted)) in [
        (node, json!({}), "TCP 200 "),
        (dead, json!({}), "TCP 502 0 0 "),
        (node, json!({ "trial": { "reply": 403 } }), "TCP 403 0 0 "),
    ]
    .into_iter()
    .enumerate()
    {
        gateway.put(&[("stream_routes/1", route(node, plugins))]);
        talk(gateway.streams[0], b"hello");
        eventually("the line", || text().lines().count() == lines + 1);
        let line = text().lines().last().unwrap().to_owned();
        assert!(line.starts_with("127.0.0.1 [") && line.contains(&format!("] {wanted}")), "{line}");
    }
    // Another format, and another file.
    let other = folder.path().join("other.log");
    let changed = AccessLog {
        path: Some(other.clone()),
        format: Some("$route_id $protocol $upstream_addr $bytes_received".to_owned()),
        ..AccessLog::default()
    };
    gateway.proxy().change_access_logs(None, Some(&changed)).unwrap();
    gateway.put(&[("stream_routes/1", route(node, json!({})))]);
    talk(gateway.streams[0], b"hello");
    let line = format!("1 TCP {node} 5\n");
    eventually("the other file", || std::fs::read_to_string(&other).is_ok_and(|text| text == line));
}
