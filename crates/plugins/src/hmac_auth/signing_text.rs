//! The text that a client signs: the key's id, then what it says it signed, a line each.

use usher_pipeline::request::Request;

use super::parameters::Parameters;

/// The text for this request. A header that the client names and doesn't send has no line, as in APISIX.
pub(super) fn signing_text(request: &Request, parameters: &Parameters<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    text.extend_from_slice(parameters.key_id.as_bytes());
    text.push(b'\n');
    for name in &parameters.headers {
        if let Some(value) = request.head.get(name) {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value);
            text.push(b'\n');
        } else if *name == "@request-target" {
            text.extend_from_slice(request.method().as_bytes());
            text.push(b' ');
            target(request, &mut text);
            text.push(b'\n');
        }
    }
    text
}

/// The target as the client wrote it; of one with scheme and host what lies behind them.
fn target(request: &Request, text: &mut Vec<u8>) {
    let raw = request.head.target();
    if raw.starts_with('/') {
        text.extend_from_slice(raw.as_bytes());
        return;
    }
    text.extend_from_slice(request.original_path().as_bytes());
    if let Some(query) = request.original_query() {
        text.push(b'?');
        text.extend_from_slice(query.as_bytes());
    }
}
