//! Windows of flow control, byte by byte (h2spec 6.5.3, 6.9.1 and 6.9.2).

use serde_json::json;

use super::frames::{
    DATA, END, END_HEADERS, GET, HEADERS, PING, Raw, SETTINGS, WINDOW_UPDATE, frame, setting,
};
use crate::origin::Origin;
use crate::support::Gateway;

/// What of the answer's body comes before the next ping is answered.
fn came(raw: &mut Raw) -> Vec<u8> {
    let mut body = Vec::new();
    raw.write(&frame(PING, 0, 0, b"until-me"));
    while let Some(frame) = raw.frame().unwrap() {
        match frame.kind {
            DATA => body.extend(frame.payload),
            PING if frame.flags == END => return body,
            _ => {}
        }
    }
    panic!("the connection was closed")
}

/// The same, once there is anything.
fn comes(raw: &mut Raw, wanted: &[u8]) {
    let mut body = Vec::new();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while body.len() < wanted.len() {
        assert!(std::time::Instant::now() < end, "only {body:?} came");
        body.extend(came(raw));
    }
    assert_eq!(body, wanted);
}

fn window(stream: u32, more: u8) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, more])
}

#[test]
fn a_stream_gets_as_much_as_its_window_allows_and_settings_move_it() {
    let origin = Origin::fixed("0123456789");
    let gateway = Gateway::start(&[("routes/1", json!({ "uri": "/*", "upstream": origin.upstream() }))]);
    let mut raw = Raw::connect(gateway.address, &setting(4, 1));
    raw.write(&frame(HEADERS, END | END_HEADERS, 1, GET));
    comes(&mut raw, b"0");
    assert!(came(&mut raw).is_empty(), "its window is used up");
    raw.write(&window(0, 100));
    assert!(came(&mut raw).is_empty(), "that of the connection is another one");
    raw.write(&window(1, 2));
    comes(&mut raw, b"12");
    // 3 more than before.
    raw.write(&frame(SETTINGS, 0, 0, &setting(4, 4)));
    comes(&mut raw, b"345");
    // 4 less: the window is below 0, and 5 more leave 1.
    raw.write(&frame(SETTINGS, 0, 0, &setting(4, 0)));
    raw.write(&window(1, 4));
    assert!(came(&mut raw).is_empty(), "it is at 0");
    raw.write(&window(1, 1));
    comes(&mut raw, b"6");
    raw.write(&window(1, 100));
    comes(&mut raw, b"789");
}
