//! Further cases: what is allowed has to pass, whatever its spelling; what comes behind the end of a stream, and blocks of fields that can't be unpacked.

use super::super::frames::{
    CONTINUATION, DATA, END, END_HEADERS, GET, GOAWAY, HEADERS, PING, POST, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, literal, setting,
};
use super::Wanted::{self, Alive, Connection, Fine, Peace, Pong, Stream};
use super::{get, head};

/// A `GET` whose block ends with these bytes.
fn with(block: &[u8]) -> Vec<u8> {
    head(END | END_HEADERS, 1, &[GET, block])
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn cases() -> Vec<(&'static str, Wanted, Vec<u8>)> {
    let post = frame(HEADERS, END_HEADERS, 1, POST);
    let ping = frame(PING, 0, 0, b"abcdefgh");
    let reset = |code: u8| frame(RST_STREAM, 0, 1, &[0, 0, 0, code]);
    let priority = |fields: [u8; 5]| [frame(PRIORITY, 0, 1, &fields), get(1)].concat();
    let field = literal(b"x", b"y");
    vec![
        (
            "generic/2/2 a window for a stream that has ended",
            Fine,
            [get(1), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100])].concat(),
        ),
        (
            "generic/2/3 a priority of a stream that has ended",
            Fine,
            [get(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])].concat(),
        ),
        ("generic/2/4 a reset of a stream that has ended", Alive, [get(1), reset(8), ping.clone()].concat()),
        (
            "generic/2/5 a priority of a stream that is closed",
            Pong,
            [post.clone(), reset(8), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]), ping.clone()].concat(),
        ),
        ("generic/3.2/1 headers", Fine, get(1)),
        ("generic/3.2/4 headers in the third stream", Fine, [get(1), get(3)].concat()),
        ("generic/3.3/1 the least weight", Fine, priority([0, 0, 0, 0, 0])),
        ("generic/3.3/2 the greatest weight", Fine, priority([0, 0, 0, 0, 255])),
        ("generic/3.3/3 a dependency", Fine, priority([0, 0, 0, 3, 16])),
        ("generic/3.3/4 an exclusive one", Fine, priority([0x80, 0, 0, 0, 16])),
        ("generic/3.4/1 a reset", Pong, [post.clone(), reset(8), ping.clone()].concat()),
        ("generic/3.8/1 a goodbye", Peace, [frame(GOAWAY, 0, 0, &[0; 8]), ping.clone()].concat()),
        (
            "generic/3.9/1 a window of the connection",
            Pong,
            [frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 100]), ping.clone()].concat(),
        ),
        (
            "generic/3.10/2 and 6.10/1 several continuations",
            Fine,
            [
                head(END, 1, &[&GET[..1]]),
                frame(CONTINUATION, 0, 1, &GET[1..2]),
                frame(CONTINUATION, 0, 1, b""),
                frame(CONTINUATION, END_HEADERS, 1, &GET[2..]),
            ]
            .concat(),
        ),
        (
            "generic/4/4 trailers",
            Fine,
            [post.clone(), frame(DATA, 0, 1, b"test"), head(END | END_HEADERS, 1, &[&field])].concat(),
        ),
        (
            "generic/5 a literal that enters the table, and is taken from there",
            Fine,
            with(b"\x40\x01x\x01y\xbe"),
        ),
        ("generic/5 a literal whose name is in the table", Fine, with(b"\x40\x01x\x01y\x7e\x01z")),
        ("generic/5 one that never enters it", Fine, with(b"\x10\x01x\x01y")),
        ("generic/5 one by Huffman's code", Fine, with(&[0, 0x81, 0xf3, 0x81, 0x1f])),
        (
            "generic/5 one by Huffman's code that enters the table",
            Fine,
            with(&[0x40, 0x81, 0xf3, 0x81, 0x1f]),
        ),
        ("generic/5 one by Huffman's code that never does", Fine, with(&[0x10, 0x81, 0xf3, 0x81, 0x1f])),
        ("generic/5 a smaller table", Fine, head(END | END_HEADERS, 1, &[&[0x20], GET])),
        (
            "generic/5 two sizes of the table",
            Fine,
            head(END | END_HEADERS, 1, &[&[0x20, 0x3f, 0xe1, 0x1f], GET]),
        ),
        ("5.1/6 headers behind the end", Stream, [get(1), get(1)].concat()),
        (
            "5.1/8 data behind a reset",
            Stream,
            [post.clone(), reset(8), frame(DATA, END, 1, b"test")].concat(),
        ),
        ("5.1/9 headers behind a reset", Stream, [post.clone(), reset(8), get(1)].concat()),
        (
            "5.1/10 a continuation behind a reset",
            Connection,
            [post.clone(), reset(8), frame(CONTINUATION, END_HEADERS, 1, GET)].concat(),
        ),
        (
            "5.5/2 an unknown frame among headers",
            Connection,
            [
                head(END, 1, &[&GET[..3]]),
                frame(22, 0, 0, b"abc"),
                frame(CONTINUATION, END_HEADERS, 1, &GET[3..]),
            ]
            .concat(),
        ),
        (
            "6.5.3/2 settings are acknowledged",
            Pong,
            [frame(SETTINGS, 0, 0, &setting(3, 100)), ping.clone()].concat(),
        ),
        (
            "6.7/2 an acknowledgement that nobody asked for",
            Pong,
            [frame(PING, END, 0, b"invalid!"), ping.clone()].concat(),
        ),
        (
            "6.10/5 a continuation behind the last one",
            Connection,
            [
                head(0, 1, &[POST]),
                frame(CONTINUATION, END_HEADERS, 1, &field),
                frame(CONTINUATION, END_HEADERS, 1, &field),
            ]
            .concat(),
        ),
        (
            "6.10/6 a continuation behind data",
            Connection,
            [head(0, 1, &[POST]), frame(DATA, END, 1, b"test"), frame(CONTINUATION, END_HEADERS, 1, &field)]
                .concat(),
        ),
        (
            "7/1 a goodbye for an unknown reason",
            Peace,
            [frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]), ping.clone()].concat(),
        ),
        ("7/2 a reset for an unknown reason", Pong, [post, reset(0xff), ping].concat()),
        ("hpack/2.3.3/2 a name that is not there", Connection, with(b"\x7f\x07\x01a")),
        ("hpack/5.2/2 Huffman's padding of zeros", Connection, with(&[0, 0x81, 0xf2, 1, b'a'])),
        (
            "hpack/5.2/3 Huffman's end in a text",
            Connection,
            with(&[0, 0x84, 0xff, 0xff, 0xff, 0xff, 1, b'a']),
        ),
    ]
}
