//! A compact token, taken apart: header, claims, signature. Nothing in it is believed yet.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;

/// A token that could be read.
#[derive(Debug)]
pub struct Token<'t> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'t [u8],
    signature: Vec<u8>,
}

/// A JSON object that has no member twice: two readers of one that has may believe different things.
#[derive(Debug, Default)]
pub struct Strict(pub Map<String, Value>);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Map<String, Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Self)
    }
}

impl<'t> Token<'t> {
    /// Takes a token apart. One with critical extensions (`crit`) is refused: none is known here.
    ///
    /// # Errors
    /// It is no token.
    pub fn parse(text: &'t str) -> Result<Self, &'static str> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err("it is too long");
        }
        let (signed, signature) = text.rsplit_once('.').ok_or("it has no signature")?;
        let (header, claims) = signed.split_once('.').ok_or("it has no claims")?;
        let header = object(header).ok_or("its header can't be read")?;
        if header.contains_key("crit") {
            return Err("it has critical extensions");
        }
        if !header.get("alg").is_some_and(Value::is_string) {
            return Err("its header names no algorithm");
        }
        let claims = object(claims).ok_or("its claims can't be read")?;
        let signature = decode(signature).ok_or("its signature can't be read")?;
        Ok(Self { header, claims, signed: signed.as_bytes(), signature })
    }

    /// The algorithm that its header names: to be compared, never to be chosen by.
    pub fn algorithm(&self) -> &str {
        self.text("alg").unwrap_or_default()
    }

    /// The id of its key, where its header names one.
    pub fn key_id(&self) -> Option<&str> {
        self.text("kid")
    }

    /// Its claims.
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Its claims, for keeping.
    pub fn into_claims(self) -> Map<String, Value> {
        self.claims
    }

    pub(super) const fn signed(&self) -> &[u8] {
        self.signed
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.header.get(member).and_then(Value::as_str)
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice::<Strict>(&decode(part)?).ok().map(|strict| strict.0)
}

/// Base64url without padding; what was padded all the same is taken, as other readers do.
pub fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()
}

/// Base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Token, encode};

    #[test]
    fn only_a_whole_token_is_taken_apart() {
        let part = encode(r#"{"alg":"HS256"}"#);
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for (text, good) in [
            (format!("{part}.{}.AA", encode("{}")), true),
            (format!("{part}.{}.", encode("{}")), true),
            (format!("{part}.{}", encode("{}")), false),
            (part.clone(), false),
            (String::new(), false),
            ("..".to_owned(), false),
            (format!("{part}.{}.AA", encode("[]")), false),
            (format!("{part}.{}.AA", encode(r#"{"a":1,"a":2}"#)), false),
            (format!("{part}.{}.AA", encode(format!(r#"{{"a":{deep}}}"#))), false),
            (format!("{part}.{}.A A", encode("{}")), false),
            (format!("{}.{}.AA", encode("{}"), encode("{}")), false),
            (format!("{}.{}.AA", encode(r#"{"alg":1}"#), encode("{}")), false),
            (format!("{}.{}.AA", encode(r#"{"alg":"HS256","alg":"none"}"#), encode("{}")), false),
            (format!("{}.{}.AA", encode(r#"{"alg":"HS256","crit":["b64"]}"#), encode("{}")), false),
            (format!("{part}.{}.AA", "A".repeat(65536)), false),
        ] {
            assert_eq!(Token::parse(&text).is_ok(), good, "{text:.80}");
        }
    }
}
