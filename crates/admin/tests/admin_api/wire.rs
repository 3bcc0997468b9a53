//! The same over a real socket: answers arrive whole, whatever became of the body, and the connection goes on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use crate::bench::{ADMIN, Bench};

/// Serves the bench on a free port and lets a blocking client speak with it.
async fn over_a_socket(client: impl FnOnce(&mut BufReader<TcpStream>) + Send + 'static) {
    let bench = Bench::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, bench.admin.clone()).into_future());
    let client = tokio::task::spawn_blocking(move || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        client(&mut BufReader::new(stream));
    });
    client.await.unwrap();
    server.abort();
}

fn send(stream: &mut BufReader<TcpStream>, line: &str, fields: &str, body: &[u8]) {
    let head = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    stream.get_mut().write_all(head.as_bytes()).unwrap();
    stream.get_mut().write_all(body).unwrap();
}

/// One answer: its head, and as much body as that announces.
fn receive(stream: &mut BufReader<TcpStream>, has_body: bool) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "the connection ended behind {head:?}");
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; if has_body { length.parse().unwrap() } else { 0 }];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn a_refused_body_is_read_away_and_the_connection_goes_on() {
    over_a_socket(|stream| {
        let key = format!("X-API-KEY: {ADMIN}\r\n");
        let body = vec![b'x'; 4_000_000];
        let length = format!("Content-Length: {}\r\n", body.len());
        for (line, fields, wanted) in [
            ("PUT /apisix/admin/routes/1", format!("{key}{length}"), "request size 4000000 is greater than"),
            ("PUT /apisix/admin/routes/1", length.clone(), "missing apikey"),
            ("PUT /apisix/admin/routs/1", format!("{key}{length}"), "Unsupported resource type: routs"),
            ("PUT /elsewhere", length, "404 Not Found"),
        ] {
            send(stream, line, &fields, &body);
            let (head, text) = receive(stream, true);
            assert!(text.contains(wanted), "{line}: {head}{text}");
        }
        send(stream, "GET /apisix/admin/routes", &key, b"");
        assert_eq!(receive(stream, true).1, "{\"total\":0,\"list\":[]}\n");
    })
    .await;
}

#[tokio::test]
async fn head_has_no_body_on_the_wire() {
    over_a_socket(|stream| {
        let key = format!("X-API-KEY: {ADMIN}\r\n");
        for _ in 0..2 {
            send(stream, "HEAD /apisix/admin/routes", &key, b"");
            let (head, _) = receive(stream, false);
            assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 22\r\n"), "{head}");
        }
        send(stream, "HEAD /apisix/admin", "", b"");
        assert!(receive(stream, false).0.starts_with("http/1.1 200"));
        send(stream, "GET /apisix/admin/routes", &key, b"");
        assert_eq!(receive(stream, true).1.len(), 22);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_before_it_sends() {
    over_a_socket(|stream| {
        let fields = "Content-Length: 4000000\r\nExpect: 100-continue\r\n";
        send(stream, "PUT /apisix/admin/routes/1", &format!("X-API-KEY: {ADMIN}\r\n{fields}"), b"");
        let (head, text) = receive(stream, true);
        assert!(head.starts_with("http/1.1 400") && text.contains("4000000"), "{head}{text}");
    })
    .await;
    over_a_socket(|stream| {
        let body = br#"{"nodes":{}}"#;
        let fields =
            format!("X-API-KEY: {ADMIN}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n", body.len());
        send(stream, "PUT /apisix/admin/upstreams/1", &fields, b"");
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
        stream.read_line(&mut line).unwrap();
        stream.get_mut().write_all(body).unwrap();
        assert!(receive(stream, true).0.starts_with("http/1.1 201"));
    })
    .await;
}
