//! What the engine does with heads and bodies beside decoding them: fields taken away and added in one go, small pieces copied.

use bytes::BytesMut;
use usher_http1::body::{BodyDecoder, BodyEvent};
use usher_http1::encode::{RequestExtras, encode_request};
use usher_http1::head::{BadField, Head};
use usher_http1::limits::Limits;
use usher_http1::request::{Framing, HeadProgress, decode_request};

fn decoded(text: &str) -> Head {
    let (mut buf, mut head) = (BytesMut::from(text), Head::empty());
    decode_request(&mut buf, &mut head, &Limits::default(), &mut HeadProgress::default()).unwrap().unwrap();
    head
}

fn written(head: &Head) -> String {
    let mut out = Vec::new();
    let extras = RequestExtras { framing: Framing::None, target: None, websocket: false, close: false };
    encode_request(&mut out, head, extras);
    String::from_utf8(out).unwrap()
}

#[test]
fn fields_of_another_head_come_behind_the_own_ones() {
    let mut head = decoded("GET /a HTTP/1.1\r\nHost: a.test\r\nX-Gone: 1\r\nAccept: */*\r\n\r\n");
    head.remove_named(
        |first, length| (first, length) == (b'X', 6),
        |name, value| name == b"X-Gone" && value == b"1",
    );
    let mut others = Head::empty();
    for (name, value) in [("X-One", "1"), ("X-Dead", "0"), ("Connection", "close"), ("X-Two", "")] {
        others.append(name, value).unwrap();
    }
    others.remove("x-dead");
    head.append_all(&others).unwrap();
    head.set_target("/b").unwrap();
    head.append_all(&others).unwrap();
    assert_eq!(
        written(&head),
        "GET /b HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nX-One: 1\r\nX-Two: \r\nX-One: 1\r\nX-Two: \r\n\r\n",
        "what belongs to a connection stays behind"
    );
    assert_eq!(head.get_all("x-one").count(), 2);
    assert_eq!((head.get_str("connection"), head.contains("x-dead")), (Some("close"), false));
}

#[test]
fn a_head_does_not_grow_without_bound() {
    let mut large = Head::empty();
    large.append("X-Large", vec![b'x'; 3 << 20]).unwrap();
    let mut head = large.clone();
    assert!(matches!(head.append_all(&large), Err(BadField::TooLarge(_))));
    assert_eq!(head.len(), 1);
}

#[test]
fn copied_and_shared_pieces_make_the_same_body() {
    let chunked = "5\r\nhello\r\n9\r\n, a large\r\n1\r\n!\r\n0\r\n\r\nnext";
    for (framing, text, wanted) in [
        (Framing::Length(5), "hellonext", "hello"),
        (Framing::Chunked, chunked, "hello, a large!"),
        (Framing::UntilClose, "hello", "hello"),
    ] {
        for below in [0, 2, 6, 100] {
            for step in [1, 4, text.len()] {
                let mut decoder = BodyDecoder::new(framing, &Limits::default());
                let (mut buf, mut body) = (BytesMut::new(), Vec::new());
                for piece in text.as_bytes().chunks(step) {
                    buf.extend_from_slice(piece);
                    loop {
                        if decoder.copy_small(&mut buf, below, |piece| body.extend_from_slice(piece)) {
                            continue;
                        }
                        match decoder.decode(&mut buf).unwrap() {
                            BodyEvent::Data(piece) => body.extend_from_slice(&piece),
                            BodyEvent::NeedMore | BodyEvent::End => break,
                        }
                    }
                }
                assert_eq!(String::from_utf8(body).unwrap(), wanted, "{framing:?} below {below} by {step}");
                if framing != Framing::UntilClose {
                    assert_eq!((decoder.is_done(), &buf[..]), (true, b"next".as_slice()));
                }
            }
        }
    }
}
