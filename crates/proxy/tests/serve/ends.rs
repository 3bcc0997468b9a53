//! How connections end: by patience, by bounds, by being told to stop. And the lines that are left of them.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use usher_proxy::options::{AccessLog, Bounds, Options, Patience};

use crate::origin::{Origin, answer};
use crate::support::{Answer, Client, Gateway, eventually, options};

fn hurried() -> Options {
    let short = Duration::from_millis(200);
    let patience = Patience { head: short, body: short, idle: short, write: short, ..Patience::default() };
    Options { patience, ..options() }
}

fn gateway(options: Options, origin: &Origin) -> Gateway {
    Gateway::start_with(options, &[("routes/1", json!({ "uri": "/*", "upstream": origin.upstream() }))])
}

#[test]
fn slow_clients_are_given_up() {
    let origin = Origin::fixed("ok");
    let gateway = gateway(hurried(), &origin);
    let start = Instant::now();
    let mut silent = gateway.connect();
    assert!(silent.is_closed(), "it never spoke");

    let mut idle = gateway.connect();
    idle.request("GET", "/", "", b"");
    idle.answer().unwrap();
    assert!(idle.is_closed(), "it had its answer");

    let mut slow = gateway.connect();
    slow.write("GET / HTTP/1.1\r\nHost: a.te");
    assert_eq!(slow.answer().unwrap().status, 408);
    assert!(slow.is_closed());

    let mut slow = gateway.connect();
    slow.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n01234");
    assert_eq!(slow.answer().unwrap().status, 408);
    assert!(slow.is_closed());
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn a_head_that_trickles_in_has_one_deadline_for_all_of_it() {
    let gateway = gateway(hurried(), &Origin::fixed("ok"));
    let mut client = gateway.connect();
    let mut sender = client.stream.try_clone().unwrap();
    let trickling = std::thread::spawn(move || {
        for byte in b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Long: ".iter().chain(std::iter::repeat(&b'x')) {
            if sender.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(client.answer().unwrap().status, 408);
    drop(client);
    trickling.join().unwrap();
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let large = vec![b'x'; 32 << 20];
    let origin = Origin::start(move |_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len());
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&large).is_ok()
    });
    let gateway = gateway(hurried(), &origin);
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    client.head().unwrap();
    eventually("the count of the cut answer", || {
        gateway.live().traffic(1).first().is_some_and(|traffic| traffic.requests == 1)
    });
    let (taken, _) = client.rest();
    assert!(taken.len() < 32 << 20);
}

#[test]
fn a_connection_serves_so_many_requests() {
    let bounds = Bounds { requests_per_connection: 2, ..Bounds::default() };
    let gateway = gateway(Options { bounds, ..options() }, &Origin::fixed("ok"));
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    assert_eq!(client.answer().unwrap().field("connection"), None);
    client.request("GET", "/", "", b"");
    assert_eq!(client.answer().unwrap().field("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn connections_beyond_the_bound_are_closed_at_once() {
    let bounds = Bounds { connections: 2, ..Bounds::default() };
    let gateway = gateway(Options { bounds, ..options() }, &Origin::fixed("ok"));
    let mut first: Vec<Client> = (0..2).map(|_| gateway.connect()).collect();
    for client in &mut first {
        client.request("GET", "/", "", b"");
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert!(gateway.connect().is_closed());
    first.pop();
    eventually("the free place", || {
        let mut client = gateway.connect();
        // A refused connection may break while it is written to.
        let sent = client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        sent.is_ok() && client.answer().is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn draining_ends_idle_connections_and_lets_requests_finish() {
    let (asked, waits) = std::sync::mpsc::sync_channel(0);
    let origin = Origin::start(move |seen, stream| {
        if seen.line().contains("/slow") {
            asked.send(()).unwrap();
            asked.send(()).unwrap();
        }
        stream.write_all(&answer(200, &[], "done")).is_ok()
    });
    let gateway = gateway(Options { workers: 2, ..options() }, &origin);
    let address = gateway.address;
    let mut idle = gateway.connect();
    idle.request("GET", "/", "", b"");
    idle.answer().unwrap();
    let mut busy = gateway.connect();
    busy.request("GET", "/slow", "", b"");
    waits.recv().unwrap();
    let drained = gateway.drain(Duration::from_secs(30));
    assert!(idle.is_closed());
    eventually("the closed port", || std::net::TcpStream::connect(address).is_err());
    assert!(!drained.is_finished());
    waits.recv().unwrap();
    let answer = busy.answer().unwrap();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("done", Some("close")));
    drained.join().unwrap();
}

#[test]
fn what_does_not_end_in_time_is_cut() {
    let (asked, waits) = std::sync::mpsc::sync_channel(1);
    let origin = Origin::start(move |_, _| {
        asked.send(()).unwrap();
        loop {
            std::thread::park();
        }
    });
    let route =
        json!({ "uri": "/*", "upstream": origin.upstream(), "plugins": { "trial": { "log": "cut" } } });
    let gateway = Gateway::start(&[("routes/1", route)]);
    let mut client = gateway.connect();
    client.request("GET", "/", "", b"");
    waits.recv().unwrap();
    gateway.drain(Duration::from_millis(100)).join().unwrap();
    let last: Option<Answer> = client.answer();
    assert!(last.is_none_or(|answer| answer.status >= 500), "no good answer");
    assert_eq!(crate::trial::logged("cut").len(), 1, "the log saw it");
}

#[test]
fn every_request_has_its_line_in_the_access_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::fixed("ok");
    let log = AccessLog { path: Some(path.clone()), ..AccessLog::default() };
    let first = gateway(Options { access_log: Some(log), ..options() }, &origin);
    first.send("GET", "/x?y=1", "User-Agent: a\"b\r\nReferer: http://r.test/\r\n", b"");
    first.drain(Duration::from_secs(5)).join().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("127.0.0.1 - - ["), "{text}");
    let node = origin.address;
    assert!(text.contains("] a.test \"GET /x?y=1 HTTP/1.1\" 200 2 0."), "{text}");
    assert!(text.contains(&format!("\"http://r.test/\" \"a\\x22b\" {node} 200 0.")), "{text}");
    let (_, id) = text.trim_end().rsplit_once("\"http://a.test/x?y=1\" ").unwrap();
    assert!(id.len() == 34 && id.trim_matches('"').bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");

    let log = AccessLog {
        path: Some(path.clone()),
        format: Some("$remote_addr $status $request_method $uri".to_owned()),
        ..AccessLog::default()
    };
    let second = gateway(Options { access_log: Some(log), ..options() }, &origin);
    second.get("/a");
    let mut client = second.connect();
    client.write("nonsense\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 400);
    assert_eq!(second.get("/%").status, 400);
    second.drain(Duration::from_secs(5)).join().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = "\n127.0.0.1 200 GET /a\n127.0.0.1 400 - -\n127.0.0.1 400 GET /%\n";
    assert!(text.ends_with(lines), "it is appended to: {text}");
}

#[test]
fn a_line_tells_of_the_connection_and_of_the_upstream_s_body() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let format =
        "$server_addr:$server_port $connection_requests $upstream_response_length $uri $connection $http2.";
    let log = AccessLog { path: Some(path.clone()), format: Some(format.to_owned()), ..AccessLog::default() };
    let gateway = gateway(Options { access_log: Some(log), ..options() }, &Origin::fixed("four"));
    let port = gateway.address.port();
    let mut client = gateway.connect();
    for target in ["/a", "/b"] {
        client.write(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(client.answer().unwrap().status, 200);
    }
    drop(client);
    assert_eq!(gateway.get("/c").status, 200);
    assert_eq!(gateway.get("/%").status, 400);
    gateway.drain(Duration::from_secs(5)).join().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let serial = |line: &str| line.rsplit(' ').nth(1).unwrap().parse::<u64>().unwrap();
    let serials: Vec<u64> = lines.iter().map(|line| serial(line)).collect();
    let wanted: Vec<String> = [("1 4 /a", 0), ("2 4 /b", 0), ("1 4 /c", 2), ("1 - /%", 3)]
        .map(|(told, at)| format!("127.0.0.1:{port} {told} {} -.", serials[at]))
        .to_vec();
    assert_eq!(lines, wanted);
    assert!(serials[0] != serials[2] && serials[2] != serials[3] && serials[0] != serials[3], "{text}");
}

#[test]
fn what_was_no_request_is_logged_as_none_with_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let format = "\"$request\" $server_protocol $status $body_bytes_sent $bytes_sent $request_length";
    let log = AccessLog { path: Some(path.clone()), format: Some(format.to_owned()), ..AccessLog::default() };
    let gateway = gateway(Options { access_log: Some(log), ..options() }, &Origin::fixed("ok"));
    let mut wanted = String::new();
    for (sent, line) in [
        ("nonsense\r\n\r\n", "\"-\" - 400"),
        ("GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", "\"-\" - 400"),
        ("GET /% HTTP/1.1\r\nHost: a.test\r\n\r\n", "\"GET /% HTTP/1.1\" HTTP/1.1 400"),
    ] {
        let mut client = gateway.connect();
        client.write(sent);
        let (answer, _) = client.rest();
        let body = String::from_utf8(answer.clone()).unwrap().split_once("\r\n\r\n").unwrap().1.len();
        wanted += &format!("{line} {body} {} {}\n", answer.len(), sent.len());
    }
    gateway.drain(Duration::from_secs(5)).join().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), wanted);
}

#[test]
fn a_taken_address_is_refused_even_by_a_second_usher() {
    let first = gateway(options(), &Origin::fixed("ok"));
    let options = Options { listen: vec![first.address], ..options() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let registry = std::sync::Arc::new(usher_pipeline::registry::Registry::new(&[]));
    let process = std::sync::Arc::new(usher_pipeline::env::Process::new(
        serde_json::Map::new(),
        options.compat,
        usher_proxy::targets(),
    ));
    let store = std::sync::Arc::new(usher_store::memory::Memory::new());
    let keyring = std::sync::Arc::new(usher_model::seal::Keyring::generate().unwrap().0);
    let second = runtime.block_on(usher_proxy::Proxy::start(options, registry, process, store, keyring));
    match second.err() {
        Some(usher_proxy::StartError::Bind { address, source }) => {
            assert_eq!((address, source.kind()), (first.address, std::io::ErrorKind::AddrInUse));
        }
        other => panic!("not refused: {other:?}"),
    }
}
