//! What a schema can't say of a certificate: whether it can be read, and whether its key belongs to it.

use serde_json::Value;

use super::{plain, text};
use crate::certificate::{self, BadPair};
use crate::reference::is_reference;
use crate::schema::{PATTERN_BYTES, Violation};

pub(super) fn check(value: &Value) -> Result<(), Violation> {
    if let (Some(cert), Some(key)) = (text(value, "cert"), text(value, "key")) {
        pair(cert, key).map_err(|error| {
            let member = if matches!(error, BadPair::Certificate(_)) { "cert" } else { "key" };
            plain(error.to_string(), member)
        })?;
    }
    // A client's certificate has one key, and nobody is verified by it.
    if text(value, "type") == Some("client") {
        return Ok(());
    }
    further(value)?;
    let Some(client) = value.get("client") else { return Ok(()) };
    if let Some(authority) = text(client, "ca").filter(|text| !is_reference(text)) {
        certificate::check_authority(authority)
            .map_err(|error| plain(format!("failed to validate client_cert: {error}"), "client/ca"))?;
    }
    patterns(client)
}

/// The pairs beside the first.
fn further(value: &Value) -> Result<(), Violation> {
    let list =
        |member: &str| value.get(member).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    let (certs, keys) = (list("certs"), list("keys"));
    if certs.len() != keys.len() {
        return Err(plain("mismatched number of certs and keys".to_owned(), "keys"));
    }
    for (at, (cert, key)) in certs.iter().zip(keys).enumerate() {
        if let (Some(cert), Some(key)) = (cert.as_str(), key.as_str()) {
            pair(cert, key).map_err(|error| {
                let list = if matches!(error, BadPair::Certificate(_)) { "certs" } else { "keys" };
                plain(format!("failed to handle cert-key pair[{}]: {error}", at + 1), &format!("{list}/{at}"))
            })?;
        }
    }
    Ok(())
}

/// What is kept elsewhere is judged where it is used.
fn pair(cert: &str, key: &str) -> Result<(), BadPair> {
    if is_reference(cert) || is_reference(key) { Ok(()) } else { certificate::check_pair(cert, key) }
}

/// Patterns have to run in linear time: strangers choose what they are matched with.
fn patterns(client: &Value) -> Result<(), Violation> {
    let all = client.get("skip_mtls_uri_regex").and_then(Value::as_array);
    for (at, pattern) in all.into_iter().flatten().enumerate() {
        let Some(pattern) = pattern.as_str().filter(|pattern| !is_reference(pattern)) else { continue };
        if regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build().is_err() {
            let sentence = format!(
                "property \"client\" validation failed: property \"skip_mtls_uri_regex\" validation failed: failed to validate item {}: \
                 {pattern:?} is no pattern that runs in linear time; leave out look-around and references back",
                at + 1
            );
            let pointer = format!("/client/skip_mtls_uri_regex/{at}");
            return Err(Violation::at(&pointer, sentence, true));
        }
    }
    Ok(())
}
