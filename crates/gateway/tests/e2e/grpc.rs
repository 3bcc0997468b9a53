//! Services of gRPC behind ordinary URLs and behind browsers' calls, with a server that speaks HTTP/2 on the wire.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use serde_json::json;

use crate::support::{Usher, request};

/// What the server serves, as users write it down.
const PROTO: &str = r#"syntax = "proto3"; package hello;
    message Ask { string name = 1; int32 times = 2; }
    message Answer { string text = 1; int32 length = 2; }
    service Greeter { rpc Say(Ask) returns (Answer); rpc Tell(Ask) returns (stream Answer); rpc Fail(Ask) returns (Answer); }"#;

/// A server of the service above; it runs as long as the test.
struct Server(SocketAddr);

impl Server {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(async move {
                        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            tokio::spawn(serve(request, respond));
                        }
                    });
                }
            });
        });
        Self(address)
    }
}

async fn serve(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let method = request.uri().path().to_owned();
    assert_eq!(
        (request.method().as_str(), &request.headers()["content-type"]),
        ("POST", &"application/grpc".parse().unwrap())
    );
    let mut body = request.into_body();
    let mut sent = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        sent.extend_from_slice(&piece);
    }
    let head = Response::builder().header("content-type", "application/grpc");
    if method.ends_with("/Fail") {
        // An error of gRPC's is a head alone.
        let head = head.header("grpc-status", "5").header("grpc-message", "nobody of that name");
        let _ = respond.send_response(head.body(()).unwrap(), true);
        return;
    }
    let (name, times) = read(&sent);
    let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
    let times = if method.ends_with("/Tell") { times } else { 1 };
    for turn in 0..times {
        let text = if times > 1 { format!("hello {name} {turn}") } else { format!("hello {name}") };
        stream.send_data(answer(&text), false).unwrap();
        tokio::task::yield_now().await;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("grpc-message", "fine".parse().unwrap());
    let _ = stream.send_trailers(trailers);
}

/// The members of an `Ask`, read by hand: nothing of what is tested reads them here.
fn read(framed: &[u8]) -> (String, u8) {
    let (mut name, mut times) = (String::new(), 0);
    let mut rest = &framed[5..];
    while let [tag, value, behind @ ..] = rest {
        if *tag == 0x0a {
            let (text, behind) = behind.split_at((*value).into());
            name = String::from_utf8(text.to_vec()).unwrap();
            rest = behind;
        } else {
            assert_eq!(*tag, 0x10);
            times = *value;
            rest = behind;
        }
    }
    (name, times)
}

/// An `Answer`, framed, written by hand too.
fn answer(text: &str) -> Bytes {
    let length = u8::try_from(text.len()).unwrap();
    let message = [&[0x0a, length], text.as_bytes(), &[0x10, length]].concat();
    [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], message.as_slice()].concat().into()
}

fn with(plugin: &str, body: serde_json::Value, uri: &str) -> Usher {
    let server = Server::start();
    let usher = Usher::start(&["--store", "memory"]);
    usher.put("/protos/greeter", &json!({ "content": PROTO }));
    let upstream = json!({ "type": "roundrobin", "scheme": "grpc", "nodes": { server.0.to_string(): 1 } });
    usher.put("/routes/1", &json!({ "uri": uri, "plugins": { plugin: body }, "upstream": upstream }));
    usher
}

#[test]
fn json_reaches_a_service_of_grpc_and_its_answer_comes_back_as_json() {
    let method = |name: &str| json!({ "proto_id": "greeter", "service": "hello.Greeter", "method": name });
    let usher = with("grpc-transcode", method("Say"), "/say");
    let proxy = usher.address("proxy");
    let kind = [("Content-Type", "application/json")];
    for (method, target, fields, sent) in [
        ("GET", "/say?name=Ada", &[][..], ""),
        ("POST", "/say", &kind, r#"{"name": "Ada"}"#),
        ("PUT", "/say", &kind, r#"{"name": "Ada", "times": 1}"#),
    ] {
        let reply = request(proxy, method, target, fields, sent.as_bytes());
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (200, r#"{"text":"hello Ada","length":9}"#),
            "{method}"
        );
        assert_eq!(reply.field("content-type"), Some("application/json"));
    }
    assert_eq!(request(proxy, "POST", "/say", &kind, br#"{"times": "many"}"#).status, 400);
    let upstream = usher.admin("GET", "/routes/1", None).json()["value"]["upstream"].clone();
    let edit = |name: &str| json!({ "uri": "/say", "plugins": { "grpc-transcode": method(name) }, "upstream": upstream });
    usher.put("/routes/1", &edit("Fail"));
    assert_eq!(request(proxy, "GET", "/say?name=x", &[], b"").status, 404);
    usher.put("/routes/1", &edit("Tell"));
    let reply = request(proxy, "GET", "/say?name=x&times=3", &[], b"");
    let lines: Vec<String> =
        (0..3).map(|turn| format!("{{\"text\":\"hello x {turn}\",\"length\":9}}\n")).collect();
    assert_eq!((reply.status, reply.text()), (200, lines.concat()));

    // The definition is what the route runs by: an edit of it counts at once, and it can't be taken away.
    usher.put("/routes/1", &edit("Say"));
    usher.put("/protos/greeter", &json!({ "content": PROTO.replace("string text", "string words") }));
    let reply = request(proxy, "GET", "/say?name=Ada", &[], b"");
    assert_eq!(reply.text(), r#"{"words":"hello Ada","length":9}"#);
    assert_eq!(usher.admin("DELETE", "/protos/greeter", None).status, 400);
}

#[test]
fn a_browsers_call_reaches_a_service_of_grpc() {
    let usher = with("grpc-web", json!({}), "/web/*");
    let proxy = usher.address("proxy");
    let ask = [b"\0\0\0\0\x05\x0a\x03Ada".as_slice()].concat();
    let reply =
        request(proxy, "POST", "/web/hello.Greeter/Say", &[("Content-Type", "application/grpc-web")], &ask);
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("application/grpc-web")));
    let trailers = b"grpc-status:0\r\ngrpc-message:fine\r\n";
    let last = [&[0x80, 0, 0, 0, u8::try_from(trailers.len()).unwrap()], trailers.as_slice()].concat();
    assert_eq!(reply.body, [answer("hello Ada").as_ref(), &last].concat());
    let reply = request(
        proxy,
        "POST",
        "/web/hello.Greeter/Fail",
        &[("Content-Type", "application/grpc-web-text")],
        b"AAAAAAA=",
    );
    assert_eq!((reply.status, reply.field("grpc-status")), (200, Some("5")));
    assert_eq!(request(proxy, "OPTIONS", "/web/x", &[], b"").status, 204);
}
