//! The cases of h2spec that apply to a server, as a table: what is written, and what may come of it.
//!
//! Cases that h2spec has twice stand once here: generic 1/1 is the beginning of each of these, generic 4/1 and 4/3 are 3.1/1, 3.5/1 is the beginning,
//! 3.7/1 is 3.5/1; of chapter 5.4.1 every case that ends a connection is one; 5.5/1 is 4.1/1, 6.1/2 is 5.1/1, 6.2/1 and 6.2/2 are 4.3/2 and 4.3/3, 6.4/2 is
//! 5.1/2, 6.9.2/3 is 6.5.2/2. `HEAD` (generic 4/2) is in `matrix`, the bound of streams (5.1.2/1) in `hostile`, windows (6.5.3, 6.9.1/1, 6.9.2) in `windows`,
//! the preface (3.5) below.

mod more;

use serde_json::json;

use super::frames::{
    CONTINUATION, DATA, END, END_HEADERS, GET, GOAWAY, HEADERS, Outcome, PADDED, PING, POST, PREFACE,
    PRIORITISED, PRIORITY, PUSH_PROMISE, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, frame, literal, setting,
};
use crate::origin::Origin;
use crate::support::Gateway;

/// What may come of a case.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// The connection is given up; nothing less.
    Connection,
    /// The stream is reset or answered with an error, or the connection is given up.
    Stream,
    /// An ordinary answer.
    Fine,
    /// A ping comes back.
    Pong,
    /// The connection lives: an ordinary answer, or a ping that comes back.
    Alive,
    /// A ping comes back, or the connection ends in peace.
    Peace,
}

pub(super) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END | END_HEADERS, stream, GET)
}

pub(super) fn head(flags: u8, stream: u32, block: &[&[u8]]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block.concat())
}

/// A `GET` with these fields behind its pseudo fields.
fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    let block: Vec<u8> =
        all.iter().flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect();
    head(END | END_HEADERS, 1, &[GET, &block])
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<(&'static str, Wanted, Vec<u8>)> {
    use Wanted::{Connection, Fine, Pong, Stream};
    let post = frame(HEADERS, END_HEADERS, 1, POST);
    let huge = vec![0; (16 << 10) + 1];
    let lit = |name: &str, value: &str| literal(name.as_bytes(), value.as_bytes());
    vec![
        (
            "generic/3.1/2 priority on an idle stream",
            Fine,
            [frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16]), get(1)].concat(),
        ),
        ("generic/3.5/1 a ping with a payload", Pong, frame(PING, 0, 0, b"abcdefgh")),
        ("generic/3.2/2 padded headers", Fine, head(END | END_HEADERS | PADDED, 1, &[&[2], GET, &[0, 0]])),
        (
            "generic/3.2/3 headers with a priority",
            Fine,
            head(END | END_HEADERS | PRIORITISED, 1, &[&[0, 0, 0, 0, 16], GET]),
        ),
        (
            "generic/3.10/1 a continuation",
            Fine,
            [head(END, 1, &[&GET[..3]]), frame(CONTINUATION, END_HEADERS, 1, &GET[3..])].concat(),
        ),
        ("generic/3.1/1 data", Fine, [post.clone(), frame(DATA, END, 1, b"test")].concat()),
        (
            "generic/3.1/3 padded data",
            Fine,
            [post.clone(), frame(DATA, END | PADDED, 1, b"\x02test\0\0")].concat(),
        ),
        (
            "4.1/1 a frame of an unknown kind",
            Pong,
            [frame(22, 0, 0, b"abc"), frame(PING, 0, 0, b"abcdefgh")].concat(),
        ),
        ("4.1/2 undefined flags", Pong, frame(PING, 22 & !END, 0, b"abcdefgh")),
        ("4.1/3 the reserved bit", Pong, frame(PING, 0, 1 << 31, b"abcdefgh")),
        ("4.2/2 a large data frame", Stream, [post.clone(), frame(DATA, END, 1, &huge)].concat()),
        ("4.2/3 a large headers frame", Connection, frame(HEADERS, END | END_HEADERS, 1, &huge)),
        ("4.3/1 a broken block", Connection, head(END | END_HEADERS, 1, &[GET, &[0x40]])),
        (
            "4.3/2 priority between a head and its continuation",
            Connection,
            [head(END, 1, &[GET]), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])].concat(),
        ),
        (
            "4.3/3 another head in front of a continuation",
            Connection,
            [head(END, 1, &[GET]), get(3)].concat(),
        ),
        ("5.1/1 data on an idle stream", Connection, frame(DATA, END, 1, b"test")),
        ("5.1/2 a reset of an idle stream", Connection, frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("5.1/3 a window for an idle stream", Connection, frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100])),
        ("5.1/4 a continuation on an idle stream", Connection, frame(CONTINUATION, END_HEADERS, 1, GET)),
        ("5.1/5 data behind the end", Stream, [get(1), frame(DATA, END, 1, b"test")].concat()),
        (
            "5.1/7 a continuation behind the end",
            Connection,
            [get(1), frame(CONTINUATION, END_HEADERS, 1, GET)].concat(),
        ),
        ("5.1.1/1 an even stream", Connection, get(2)),
        ("5.1.1/2 a smaller stream", Connection, [get(5), get(3)].concat()),
        (
            "5.3.1/1 headers that depend on themselves",
            Stream,
            head(END | END_HEADERS | PRIORITISED, 1, &[&[0, 0, 0, 1, 255], GET]),
        ),
        (
            "5.3.1/2 a priority that depends on itself",
            Stream,
            [frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 255])].concat(),
        ),
        ("6.1/1 data on stream 0", Connection, frame(DATA, END, 0, b"test")),
        (
            "6.1/3 padding that is too long",
            Connection,
            [post.clone(), frame(DATA, END | PADDED, 1, b"\x06test")].concat(),
        ),
        ("6.2/3 headers on stream 0", Connection, frame(HEADERS, END | END_HEADERS, 0, GET)),
        (
            "6.2/4 headers with too much padding",
            Connection,
            head(END | END_HEADERS | PADDED, 1, &[&[200], GET]),
        ),
        ("6.3/1 priority on stream 0", Connection, frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 16])),
        (
            "6.3/2 a priority of another length",
            Stream,
            [post.clone(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0])].concat(),
        ),
        ("6.4/1 a reset of stream 0", Connection, frame(RST_STREAM, 0, 0, &[0, 0, 0, 8])),
        (
            "6.4/3 a reset of another length",
            Connection,
            [post.clone(), frame(RST_STREAM, 0, 1, &[0, 0, 0])].concat(),
        ),
        ("6.5/1 an acknowledgement with a payload", Connection, frame(SETTINGS, END, 0, &[0])),
        ("6.5/2 settings on a stream", Connection, frame(SETTINGS, 0, 1, &setting(3, 100))),
        ("6.5/3 settings of another length", Connection, frame(SETTINGS, 0, 0, &[0, 3, 0])),
        ("6.5.2/1 a push that is neither 0 nor 1", Connection, frame(SETTINGS, 0, 0, &setting(2, 2))),
        ("6.5.2/2 a window that is too large", Connection, frame(SETTINGS, 0, 0, &setting(4, 1 << 31))),
        ("6.5.2/3 frames that are too small", Connection, frame(SETTINGS, 0, 0, &setting(5, 16_383))),
        ("6.5.2/4 frames that are too large", Connection, frame(SETTINGS, 0, 0, &setting(5, 1 << 24))),
        (
            "6.5.2/5 an unknown setting",
            Pong,
            [frame(SETTINGS, 0, 0, &setting(0xff, 1)), frame(PING, 0, 0, b"abcdefgh")].concat(),
        ),
        ("6.7/3 a ping on a stream", Connection, frame(PING, 0, 1, b"abcdefgh")),
        ("6.7/4 a ping of another length", Connection, frame(PING, 0, 0, b"abcdef")),
        ("6.8/1 a goodbye on a stream", Connection, frame(GOAWAY, 0, 1, &[0; 8])),
        ("6.9/1 a window of 0", Connection, frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (
            "6.9/2 a window of 0 on a stream",
            Stream,
            [post.clone(), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
        ),
        ("6.9/3 a window of another length", Connection, frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        (
            "6.9.1/2 a window beyond 2^31-1",
            Connection,
            frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2),
        ),
        (
            "6.9.1/3 a stream's window beyond 2^31-1",
            Stream,
            [post.clone(), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]).repeat(2)].concat(),
        ),
        (
            "6.10/2 a continuation behind the end of the fields",
            Connection,
            [head(END_HEADERS, 1, &[POST]), frame(CONTINUATION, END_HEADERS, 1, &lit("x", "y"))].concat(),
        ),
        (
            "6.10/4 a continuation on stream 0",
            Connection,
            [head(END, 1, &[GET]), frame(CONTINUATION, END_HEADERS, 0, &lit("x", "y"))].concat(),
        ),
        (
            "8.1/1 a second head without an end",
            Stream,
            [post.clone(), head(END_HEADERS, 1, &[&lit("x", "y")])].concat(),
        ),
        ("8.1.2/1 an upper-case name", Stream, fields(&[("X-TEST", "ok")])),
        ("8.1.2.1/1 an unknown pseudo field", Stream, fields(&[(":test", "ok")])),
        ("8.1.2.1/2 an answer's pseudo field", Stream, fields(&[(":status", "200")])),
        (
            "8.1.2.1/3 a pseudo field in trailers",
            Stream,
            [post.clone(), head(END | END_HEADERS, 1, &[&lit("x-test", "ok"), &lit(":method", "GET")])]
                .concat(),
        ),
        (
            "8.1.2.1/4 a pseudo field behind others",
            Stream,
            head(END | END_HEADERS, 1, &[&lit("x", "y"), GET]),
        ),
        ("8.1.2.2/1 connection", Stream, fields(&[("connection", "keep-alive")])),
        ("8.1.2.2/2 another te than trailers", Stream, fields(&[("te", "trailers, deflate")])),
        (
            "8.1.2.3/1 an empty path",
            Stream,
            head(END | END_HEADERS, 1, &[&[0x82, 0x86, 0x41, 1, b'a'], &lit(":path", "")]),
        ),
        ("8.1.2.3/2 no method", Stream, head(END | END_HEADERS, 1, &[&GET[1..]])),
        ("8.1.2.3/3 no scheme", Stream, head(END | END_HEADERS, 1, &[&[0x82, 0x84, 0x41, 1, b'a']])),
        ("8.1.2.3/4 no path", Stream, head(END | END_HEADERS, 1, &[&[0x82, 0x86, 0x41, 1, b'a']])),
        ("8.1.2.3/5 two methods", Stream, head(END | END_HEADERS, 1, &[&[0x82], GET])),
        ("8.1.2.3/6 two schemes", Stream, head(END | END_HEADERS, 1, &[&[0x86], GET])),
        ("8.1.2.3/7 two paths", Stream, head(END | END_HEADERS, 1, &[&[0x84], GET])),
        (
            "8.1.2.6/1 another length than was said",
            Stream,
            [head(END_HEADERS, 1, &[POST, &lit("content-length", "1")]), frame(DATA, END, 1, b"test")]
                .concat(),
        ),
        (
            "8.1.2.6/2 the same in two frames",
            Stream,
            [
                head(END_HEADERS, 1, &[POST, &lit("content-length", "1")]),
                frame(DATA, 0, 1, b"te"),
                frame(DATA, END, 1, b"st"),
            ]
            .concat(),
        ),
        (
            "8.2/1 a promise from a client",
            Connection,
            frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 3], GET].concat()),
        ),
        ("hpack/2.3.3/1 an index that is not there", Connection, head(END | END_HEADERS, 1, &[GET, &[0xc6]])),
        ("hpack/4.2/1 a table update behind fields", Connection, head(END | END_HEADERS, 1, &[GET, &[0x20]])),
        (
            "hpack/5.2/1 Huffman's padding that is too long",
            Connection,
            head(END | END_HEADERS, 1, &[GET, &[0, 0x81, 0xff, 1, b'a']]),
        ),
        ("hpack/6.1/1 index 0", Connection, head(END | END_HEADERS, 1, &[GET, &[0x80]])),
        (
            "hpack/6.3/1 a table larger than was allowed",
            Connection,
            head(END | END_HEADERS, 1, &[&[0x3f, 0xe2, 0x1f], GET]),
        ),
    ]
}

#[test]
fn the_cases_of_h2spec_end_as_they_should() {
    let origin = Origin::fixed("fine");
    let gateway = Gateway::start(&[("routes/1", json!({ "uri": "/*", "upstream": origin.upstream() }))]);
    let mut wrong = Vec::new();
    for (name, wanted, bytes) in cases().into_iter().chain(more::cases()) {
        let mut raw = Raw::connect(gateway.address, b"");
        raw.try_write(&bytes);
        let outcome = raw.outcome(1);
        let good = match wanted {
            Wanted::Connection => matches!(outcome, Outcome::GoAway(_) | Outcome::Closed),
            Wanted::Stream => match &outcome {
                Outcome::GoAway(_) | Outcome::Closed | Outcome::Reset(_) => true,
                Outcome::Answer(status) if status != "200" => true,
                // What was answered before the error came: the stream is closed, and the error ignored or told.
                Outcome::Answer(_) => name.starts_with("5.1/5") || name.starts_with("6."),
                _ => false,
            },
            Wanted::Fine => outcome == Outcome::Answer("200".to_owned()),
            Wanted::Pong => outcome == Outcome::Pong,
            Wanted::Alive => {
                matches!(&outcome, Outcome::Answer(status) if status == "200") || outcome == Outcome::Pong
            }
            Wanted::Peace => matches!(outcome, Outcome::Pong | Outcome::Closed),
        };
        if !good {
            wrong.push(format!("{name}: wanted {wanted:?}, but it was {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for seen in origin.seen() {
        assert!(seen.line() == "GET / HTTP/1.1" || seen.line() == "POST / HTTP/1.1", "{}", seen.head);
    }
}

#[test]
fn a_bad_preface_is_answered_as_http1() {
    let gateway = Gateway::start(&[]);
    let mut client = crate::support::Client::connect(gateway.address);
    client.write([&PREFACE[..PREFACE.len() - 1], b"x"].concat());
    assert!(matches!(client.answer().unwrap().status, 400 | 505));
}
