//! Each protocol of a client's with each of an upstream's: the same request comes to the same.

use std::io::{BufReader, Cursor, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::node::Node;
use super::peer::{Peer, push, run, with};
use crate::origin::{Origin, answer, read_head, read_request};
use crate::support::{Client, Gateway};
use crate::tls::Secure;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Http1,
    Http2,
}

/// A request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    WithLength(usize),
    WithoutLength(usize),
}

impl Sent {
    fn body(self) -> Vec<u8> {
        let length = match self {
            Self::Nothing => 0,
            Self::WithLength(length) | Self::WithoutLength(length) => length,
        };
        (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }
}

/// Status and body; `None` where the answer was cut visibly.
type Outcome = Option<(u16, Vec<u8>)>;

fn ask(by: By, to: SocketAddr, method: &str, path: &str, sent: Sent) -> Outcome {
    let body = sent.body();
    match by {
        By::Http1 => {
            let mut client = Client::connect(to);
            let mut writer = client.stream.try_clone().unwrap();
            let (method_sent, path) = (method.to_owned(), path.to_owned());
            let sending = std::thread::spawn(move || {
                let framing = match sent {
                    Sent::Nothing => String::new(),
                    Sent::WithLength(length) => format!("Content-Length: {length}\r\n"),
                    Sent::WithoutLength(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
                };
                let mut text =
                    format!("{method_sent} {path} HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n").into_bytes();
                match sent {
                    Sent::WithoutLength(length) => {
                        text.extend(format!("{length:x}\r\n").bytes());
                        text.extend(body);
                        text.extend(b"\r\n0\r\n\r\n");
                    }
                    _ => text.extend(body),
                }
                // An early answer may close before all of it was taken.
                let _ = writer.write_all(&text);
            });
            let answer = client.answer_to(method);
            drop(client);
            sending.join().unwrap();
            answer.map(|answer| (answer.status, answer.body))
        }
        By::Http2 => run(async {
            let peer = Peer::connect(to).await;
            let said = body.len().to_string();
            let fields: &[(&str, &str)] =
                if matches!(sent, Sent::WithLength(_)) { &[("content-length", &said)] } else { &[] };
            let reply = peer.send(with(method, path, fields), &body).await;
            reply.ok().map(|reply| (reply.status, reply.body))
        }),
    }
}

/// An origin of HTTP/1 that sends bodies back, or behaves badly where the path says so.
fn plain() -> Origin {
    Origin::raw(|connection, mut stream, seen| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let Some(head) = read_head(&mut reader) else { return };
        let path = head.split(' ').nth(1).unwrap().to_owned();
        if path == "/early" {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")
                .unwrap();
            let _ = stream.shutdown(Shutdown::Write);
            let _ = std::io::copy(&mut reader, &mut std::io::sink());
            return;
        }
        if path == "/cut" {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf").unwrap();
            return;
        }
        let whole = Cursor::new(format!("{head}\r\n").into_bytes()).chain(reader);
        let Some(request) = read_request(&mut BufReader::new(whole), connection) else { return };
        seen.lock().unwrap().push(request.clone());
        let is_head = request.line().starts_with("HEAD");
        let mut text = answer(200, &[("Connection", "close")], "");
        if !is_head {
            text = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            )
            .into_bytes();
            text.extend(&request.body);
        }
        stream.write_all(&text).unwrap();
    })
}

fn upstreams() -> Vec<(&'static str, Value)> {
    let (plain, secure) = (plain(), Secure::start());
    let https = json!({
        "type": "roundrobin", "scheme": "https", "tls": { "verify": false },
        "nodes": { secure.address.to_string(): 1 },
    });
    // They run as long as the test does.
    vec![
        ("http", plain.upstream()),
        ("https", https),
        ("grpc", Node::start().upstream()),
        ("grpcs", Node::secure(&["h2"]).upstream()),
    ]
}

#[test]
fn each_pair_of_protocols_carries_the_same_requests() {
    let large = 1 << 20;
    for (name, upstream) in upstreams() {
        let gateway = Gateway::to(upstream);
        for by in [By::Http1, By::Http2] {
            for (method, sent) in [
                ("GET", Sent::Nothing),
                ("HEAD", Sent::Nothing),
                ("DELETE", Sent::Nothing),
                ("POST", Sent::Nothing),
                ("POST", Sent::WithLength(1)),
                ("POST", Sent::WithLength(20_000)),
                ("PUT", Sent::WithLength(large)),
                ("POST", Sent::WithoutLength(1)),
                ("POST", Sent::WithoutLength(large)),
            ] {
                let outcome = ask(by, gateway.address, method, "/", sent);
                let (status, body) =
                    outcome.unwrap_or_else(|| panic!("{by:?} {name} {method} {sent:?}: cut"));
                assert_eq!(status, 200, "{by:?} {name} {method} {sent:?}");
                let wanted = match name {
                    _ if method == "HEAD" => Vec::new(),
                    // This one says how much it read.
                    "https" => format!("a.test {}", sent.body().len()).into_bytes(),
                    _ => sent.body(),
                };
                assert!(body == wanted, "{by:?} {name} {method} {sent:?}: {} bytes", body.len());
            }
        }
    }
}

#[test]
fn answers_that_come_early_and_answers_that_are_cut_look_the_same() {
    for (name, upstream) in upstreams().into_iter().filter(|(name, _)| *name != "https") {
        let gateway = Gateway::to(upstream);
        for by in [By::Http1, By::Http2] {
            let early = ask(by, gateway.address, "POST", "/early", Sent::WithLength(300_000));
            // A client of HTTP/1 that is still sending may be cut off behind the answer.
            assert!(early.is_none_or(|(status, _)| status == 200), "{by:?} {name}");
            let cut = ask(by, gateway.address, "GET", "/cut", Sent::Nothing);
            assert_eq!(cut, None, "{by:?} {name}");
            // The next one is served.
            let next = ask(by, gateway.address, "GET", "/", Sent::Nothing);
            assert_eq!(next, Some((200, Vec::new())), "{by:?} {name}");
        }
    }
}

#[test]
fn a_client_that_dies_in_the_middle_leaves_the_gateway_well() {
    for (name, upstream) in upstreams() {
        let gateway = Gateway::to(upstream);
        for _ in 0..10 {
            let mut client = Client::connect(gateway.address);
            client.write("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nhalf");
            drop(client);
            run(async {
                let peer = Peer::connect(gateway.address).await;
                let (reply, mut stream) =
                    peer.open(with("POST", "/", &[("content-length", "100000")]), false).await;
                push(&mut stream, Bytes::from_static(b"half"), false).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
                drop((reply, stream, peer));
            });
        }
        for by in [By::Http1, By::Http2] {
            let next = ask(by, gateway.address, "POST", "/", Sent::WithLength(10));
            assert_eq!(next.map(|(status, _)| status), Some(200), "{by:?} {name}");
        }
    }
}
