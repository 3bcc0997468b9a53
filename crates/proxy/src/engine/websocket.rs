//! WebSocket pass-through: the handshake is checked, then bytes go both ways through bounded buffers until both sides have ended.

mod frames;
mod permit;
mod tunnel;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use usher_http1::head::Head;
use usher_pipeline::reply::Reply;

use super::errors::Failure;
pub(super) use tunnel::tunnel;

/// The key is 16 bytes in base64 (RFC 6455, section 4.1).
const KEY_LENGTH: usize = 24;

/// Whether a request may become a WebSocket (RFC 6455, section 4.2.1).
///
/// # Errors
/// 400 for a handshake that is none, 426 for another version.
pub(super) fn check(head: &Head) -> Result<(), Failure> {
    let has_key = only(head, "sec-websocket-key").is_some_and(|key| key.len() == KEY_LENGTH);
    if head.method() != "GET" || !has_key {
        return Err(Reply::new(400).into());
    }
    if only(head, "sec-websocket-version") != Some(b"13") {
        return Err(Reply::new(426).with("Sec-WebSocket-Version", "13").into());
    }
    Ok(())
}

/// Gives a WebSocket over HTTP/2 (RFC 8441) the key that HTTP/1 asks for.
pub(super) fn put_key(head: &mut Head) {
    let key = BASE64_STANDARD.encode(fastrand::u128(..).to_be_bytes());
    if let Err(error) = head.set("Sec-WebSocket-Key", key) {
        tracing::debug!(%error, "left out the key of a WebSocket");
    }
}

/// Whether an upstream's word fits the key that it was asked with.
pub(super) fn is_accepted(asked: &Head, answer: &Head) -> bool {
    let Some(key) = asked.get("sec-websocket-key") else { return false };
    // The name is RFC 6455's, section 1.3; the digest proves nothing but that somebody knows the protocol.
    let text = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &text);
    only(answer, "sec-websocket-accept") == Some(BASE64_STANDARD.encode(digest).as_bytes())
}

/// The answer's head as a stream of HTTP/2 says it: 200, and nothing about a key that its client never saw.
pub(super) fn open_stream(answer: &mut Head) {
    answer.set_status(200);
    answer.remove("sec-websocket-accept");
}

/// The value of a field that has to be there once: of two, the upstream might take the other one.
fn only<'a>(head: &'a Head, name: &'a str) -> Option<&'a [u8]> {
    let mut all = head.get_all(name);
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use usher_http1::head::Head;

    use super::check;
    use crate::engine::errors::Failure;

    #[test]
    fn handshakes_are_checked() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        for (method, key, version, wanted) in [
            ("GET", Some(key), Some("13"), None),
            ("POST", Some(key), Some("13"), Some(400)),
            ("GET", Some("c2hvcnQ="), Some("13"), Some(400)),
            ("GET", None, Some("13"), Some(400)),
            ("GET", Some(key), Some("8"), Some(426)),
            ("GET", Some(key), None, Some(426)),
        ] {
            let mut head = Head::request(method, "/chat");
            if let Some(key) = key {
                head.set("Sec-WebSocket-Key", key).unwrap();
            }
            if let Some(version) = version {
                head.set("Sec-WebSocket-Version", version).unwrap();
            }
            let status = check(&head).err().map(|failure| match failure {
                Failure::Reply(reply) => reply.head.status(),
                other => panic!("{other:?}"),
            });
            assert_eq!(status, wanted, "{method} {key:?} {version:?}");
        }
    }
}
