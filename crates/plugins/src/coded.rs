//! What `gzip` and `brotli` have in common: which answers are coded, what their heads say of it, and how a body goes through an encoder.

use std::borrow::Cow;
use std::io;

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use usher_http1::head::{Head, Version};
use usher_pipeline::body::{BodyError, BodyOut, BodyStep};
use usher_pipeline::exchange::Exchange;

/// The types of answers that are coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Types {
    /// Written as `"*"`.
    All,
    /// Written as a list, such as `["text/html"]`.
    These(Vec<String>),
}

impl Default for Types {
    fn default() -> Self {
        Self::These(vec!["text/html".to_owned()])
    }
}

impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected \"*\" or a list of types")]
        enum Written {
            Word(String),
            List(Vec<String>),
        }
        match Written::deserialize(deserializer)? {
            Written::Word(word) if word == "*" => Ok(Self::All),
            Written::Word(word) => Ok(Self::These(vec![word])),
            Written::List(list) => Ok(Self::These(list)),
        }
    }
}

impl Serialize for Types {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("*"),
            Self::These(list) => list.serialize(serializer),
        }
    }
}

impl JsonSchema for Types {
    fn schema_name() -> Cow<'static, str> {
        "Types".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } },
                { "type": "string", "enum": ["*"] }
            ]
        })
    }
}

/// The least version of HTTP that clients have to speak. A number, as in APISIX, whose older versions stored it with every use; a text means the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Least {
    #[default]
    Http11,
    Http10,
}

impl<'de> Deserialize<'de> for Least {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Value::deserialize(deserializer)?;
        match written.as_str().map_or_else(|| written.to_string(), str::to_owned).as_str() {
            "1.1" => Ok(Self::Http11),
            "1.0" | "1" => Ok(Self::Http10),
            other => Err(D::Error::custom(format!("expected 1.1 or 1.0, got {other}"))),
        }
    }
}

impl Serialize for Least {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(match self {
            Self::Http11 => 1.1,
            Self::Http10 => 1.0,
        })
    }
}

impl JsonSchema for Least {
    fn schema_name() -> Cow<'static, str> {
        "Least".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [1.1, 1.0, "1.1", "1.0"] })
    }
}

/// Which answers are coded.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) types: Types,
    pub(crate) least_length: u64,
    pub(crate) least_version: Least,
    pub(crate) vary: bool,
    /// Only answers of these statuses; empty for all.
    pub(crate) statuses: &'static [u16],
    /// As it stands in `Content-Encoding`.
    pub(crate) coding: &'static str,
}

impl Rules {
    /// Looks at an answer's head, and says in it that the body is coded; `false` leaves both alone.
    pub(crate) fn apply(&self, exchange: &mut Exchange) -> bool {
        if !self.suits(&exchange.answer) {
            return false;
        }
        // Whether or not this client gets it, the answer depends on what it accepts.
        if self.vary {
            add(&mut exchange.answer, "Vary", "Accept-Encoding");
        }
        let request = &exchange.request;
        let old = request.head.version() == Version::Http10 && self.least_version == Least::Http11;
        if old || request.head.contains("range") || !accepts(&request.head, self.coding) {
            return false;
        }
        let answer = &mut exchange.answer;
        add(answer, "Content-Encoding", self.coding);
        for gone in ["Content-Length", "Accept-Ranges", "Content-MD5", "Content-Digest"] {
            answer.remove(gone);
        }
        // Two bodies of one meaning: a strong tag would say that they are the same bytes.
        let weak = answer.get_str("etag").filter(|tag| !tag.starts_with("W/")).map(|tag| format!("W/{tag}"));
        if let Some(weak) = weak
            && let Err(error) = answer.set("ETag", weak)
        {
            tracing::debug!(%error, "left a tag as it was");
        }
        true
    }

    fn suits(&self, answer: &Head) -> bool {
        let status = answer.status();
        if status < 200 || matches!(status, 204 | 206 | 304) || answer.contains("content-encoding") {
            return false;
        }
        if !self.statuses.is_empty() && !self.statuses.contains(&status) {
            return false;
        }
        let says_no =
            |value: &[u8]| value.to_ascii_lowercase().windows(12).any(|part| part == b"no-transform");
        if answer.get_all("cache-control").any(says_no) {
            return false;
        }
        let Some(kind) = answer.get_str("content-type") else { return false };
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if let Types::These(list) = &self.types
            && !list.iter().any(|one| one.eq_ignore_ascii_case(kind))
        {
            return false;
        }
        let length = answer.get_str("content-length").and_then(|length| length.trim().parse::<u64>().ok());
        length.is_none_or(|length| length >= self.least_length)
    }
}

fn add(answer: &mut Head, name: &str, value: &str) {
    if let Err(error) = answer.append(name, value) {
        tracing::debug!(%error, "left out a field of an answer");
    }
}

/// Whether a client takes this coding (RFC 9110, section 12.5.3): named or by `*`, and not with a weight of 0.
fn accepts(request: &Head, coding: &str) -> bool {
    let (mut named, mut any) = (None, None);
    for line in request.get_all("accept-encoding").filter_map(|line| std::str::from_utf8(line).ok()) {
        for entry in line.split(',') {
            let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            let weight = parameters
                .split(';')
                .find_map(|one| one.trim().to_ascii_lowercase().strip_prefix("q=").map(str::to_owned));
            let wanted =
                weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0));
            let name = name.trim();
            if name.eq_ignore_ascii_case(coding) {
                named = named.or(Some(wanted));
            } else if name == "*" {
                any = any.or(Some(wanted));
            }
        }
    }
    named.or(any).unwrap_or(false)
}

/// Writes what is coded into a vector.
pub(crate) trait Encoder: io::Write + 'static {
    /// What it has made so far.
    fn made(&mut self) -> &mut Vec<u8>;

    /// Everything up to the end.
    fn finished(self) -> io::Result<Vec<u8>>;
}

/// A body on its way through an encoder, which is gone once the body has ended.
pub(crate) struct Step<E>(Option<E>);

impl<E: Encoder> Step<E> {
    pub(crate) const fn new(encoder: E) -> Self {
        Self(Some(encoder))
    }
}

impl<E: Encoder> BodyStep for Step<E> {
    fn chunk(&mut self, bytes: Bytes, out: &mut BodyOut) -> Result<(), BodyError> {
        let Some(encoder) = &mut self.0 else { return Ok(()) };
        encoder.write_all(&bytes).and_then(|()| encoder.flush()).map_err(|error| failed(&error))?;
        out.push(std::mem::take(encoder.made()).into());
        Ok(())
    }

    fn end(&mut self, _: &mut Head, out: &mut BodyOut) -> Result<(), BodyError> {
        let Some(encoder) = self.0.take() else { return Ok(()) };
        out.push(encoder.finished().map_err(|error| failed(&error))?.into());
        Ok(())
    }
}

fn failed(error: &io::Error) -> BodyError {
    BodyError::Refused(format!("the body can't be compressed: {error}"))
}

#[cfg(test)]
mod tests {
    use usher_http1::head::Head;

    use super::accepts;

    #[test]
    fn clients_say_which_codings_they_take() {
        for (said, wanted) in [
            (None, false),
            (Some("gzip"), true),
            (Some("deflate, GZIP;q=0.5"), true),
            (Some("gzip;q=0"), false),
            (Some("gzip; q=0.000, *"), false),
            (Some("*"), true),
            (Some("*;q=0"), false),
            (Some("br"), false),
            (Some("gzip;q=x"), false),
            (Some("xgzip"), false),
            (Some(""), false),
        ] {
            let mut head = Head::request("GET", "/");
            if let Some(said) = said {
                head.append("Accept-Encoding", said).unwrap();
            }
            assert_eq!(accepts(&head, "gzip"), wanted, "{said:?}");
        }
    }
}
