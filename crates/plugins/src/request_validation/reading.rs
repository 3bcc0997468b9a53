//! Reads a request's body as JSON or as a form, strictly, and writes it anew: what was judged is what the upstream gets.
//!
//! Two readers of one body may disagree about doubled names, huge numbers or odd escapes. So the body is read once, here, and forwarded as it
//! was understood; what can't be understood in one way only is refused.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::defaults::{Defaults, NoRoom};

/// How deep a body may be nested.
const MAX_DEPTH: usize = 64;
/// How many fields a form may have.
const MAX_FIELDS: usize = 1000;

/// A body, understood.
pub(crate) struct Read {
    /// What the schema is applied to.
    pub(crate) value: Value,
    /// The same, written anew.
    pub(crate) written: Vec<u8>,
    is_form: bool,
}

impl Read {
    /// Fills in what JSON leaves out; a form stays as it is.
    ///
    /// # Errors
    /// There is more of it than `room`.
    pub(super) fn fill(&mut self, defaults: &Defaults, room: &mut usize) -> Result<(), NoRoom> {
        if !self.is_form && defaults.fill(&mut self.value, room)? {
            self.written = self.value.to_string().into_bytes();
        }
        Ok(())
    }
}

/// Reads JSON. Of members that come twice the last one counts, and is the only one that is written.
///
/// # Errors
/// The sentence that the client reads.
pub(crate) fn json(body: &[u8]) -> Result<Read, String> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    if depth(&value) > MAX_DEPTH {
        return Err(format!("the body is nested more than {MAX_DEPTH} levels deep"));
    }
    if has_huge_number(body) {
        return Err("the body has a whole number of more than 64 bits".to_owned());
    }
    let written = serde_json::to_vec(&value).map_err(|error| format!("the body is no JSON: {error}"))?;
    Ok(Read { value, written, is_form: false })
}

fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or(0)
}

/// Whether a whole number in well-formed JSON can't be kept exactly; as a double it would come out as another one.
fn has_huge_number(body: &[u8]) -> bool {
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => behind_string(after),
            b'-' | b'0'..=b'9' => {
                let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let end = rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len());
                let (number, behind) = rest.split_at(end);
                let whole = !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
                let kept = std::str::from_utf8(number)
                    .is_ok_and(|number| number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok());
                if whole && !kept {
                    return true;
                }
                behind
            }
            _ => after,
        };
    }
    false
}

fn behind_string(text: &[u8]) -> &[u8] {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    });
    end.and_then(|end| text.get(end + 1..)).unwrap_or_default()
}

/// Reads a form: texts by name, `true` for a name without `=`, a list for a name that comes several times.
///
/// # Errors
/// The sentence that the client reads.
pub(crate) fn form(body: &[u8]) -> Result<Read, String> {
    let mut members = Map::new();
    let mut written = String::with_capacity(body.len());
    for (at, field) in body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()).enumerate() {
        if at == MAX_FIELDS {
            return Err(format!("the form has more than {MAX_FIELDS} fields"));
        }
        let equals = field.iter().position(|byte| *byte == b'=');
        let (name, value) = field.split_at(equals.unwrap_or(field.len()));
        let text = |text| percent_decoded(text, b' ').map_err(|error| format!("the form {error}"));
        let (name, value) = (text(name)?, value.get(1..).map(text).transpose()?);
        if at > 0 {
            written.push('&');
        }
        encode(&name, &mut written);
        if let Some(value) = &value {
            written.push('=');
            encode(value, &mut written);
        }
        add(&mut members, name, value.map_or(Value::Bool(true), Value::String));
    }
    Ok(Read { value: Value::Object(members), written: written.into_bytes(), is_form: true })
}

/// Adds a member; one that comes several times is a list.
pub(crate) fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        Some(Value::Array(several)) => several.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
        None => {
            members.insert(name, value);
        }
    }
}

/// Decodes `%XX`; a plus sign means `plus`.
///
/// # Errors
/// What the text does wrong.
pub(crate) fn percent_decoded(text: &[u8], plus: u8) -> Result<String, &'static str> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(plus),
            b'%' => {
                let digits = after.split_at_checked(2);
                let value = digits.and_then(|(digits, _)| {
                    let (high, low) = (digits.first()?, digits.get(1)?);
                    Some(char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?)
                });
                let Some((value, (_, behind))) = value.and_then(|value| u8::try_from(value).ok()).zip(digits)
                else {
                    return Err("has a % without two hexadecimal digits behind it");
                };
                out.push(value);
                rest = behind;
            }
            _ => out.push(*byte),
        }
    }
    String::from_utf8(out).map_err(|_| "is not UTF-8")
}

/// Percent-encodes all but unreserved characters; a blank is `+`.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'.' | b'_' | b'~' | b'*' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            // Writing to a String can't fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Read, form, json};

    fn texts(read: Read) -> (Value, String) {
        (read.value, String::from_utf8(read.written).unwrap())
    }

    #[test]
    fn writes_json_as_it_was_understood() {
        for (body, written) in [
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":1,"\u0061":[2]}"#, r#"{"a":[2]}"#),
            (" { \"b\" : 1.50e1,\n\"a\":null} ", r#"{"b":15.0,"a":null}"#),
            (r#""é\u00e9\ud83d\ude00\/\u0000""#, "\"éé😀/\\u0000\""),
            ("18446744073709551615", "18446744073709551615"),
            ("[-9223372036854775808,1E20]", "[-9223372036854775808,1e+20]"),
            (
                r#"["123456789012345678901","\"123456789012345678901"]"#,
                r#"["123456789012345678901","\"123456789012345678901"]"#,
            ),
        ] {
            assert_eq!(json(body.as_bytes()).map(|read| texts(read).1).as_deref(), Ok(written), "{body}");
        }
    }

    #[test]
    fn refuses_json_that_readers_take_for_different_things() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(json(deep(64).as_bytes()).is_ok());
        for body in [
            "",
            "{",
            "{} {}",
            "{\"a\":1}x",
            "NaN",
            "[1e999]",
            "{'a':1}",
            "[1,]",
            "\u{feff}{}",
            r#""\ud800""#,
            "01",
            "// a\n1",
            "[18446744073709551616]",
            "-9223372036854775809",
            "\"a\nb\"",
        ] {
            assert!(json(body.as_bytes()).is_err(), "{body}");
        }
        for body in [deep(65), deep(100_000), "{\"a\":".repeat(100_000)] {
            assert!(json(body.as_bytes()).is_err());
        }
        assert!(json(b"\"\xff\"").is_err());
    }

    #[test]
    fn reads_forms_and_writes_them_in_one_way() {
        for (body, value, written) in [
            ("", json!({}), ""),
            ("a=1&b=x+y%20z", json!({ "a": "1", "b": "x y z" }), "a=1&b=x+y+z"),
            ("a=1&a=2&&%61", json!({ "a": ["1", "2", true] }), "a=1&a=2&a"),
            ("a=b=c&=d", json!({ "a": "b=c", "": "d" }), "a=b%3Dc&=d"),
            ("a=%C3%A9%26%00;", json!({ "a": "é&\0;" }), "a=%C3%A9%26%00%3B"),
        ] {
            let read = form(body.as_bytes()).map(texts);
            assert_eq!(read, Ok((value, written.to_owned())), "{body}");
        }
        let many = vec!["a"; 1001].join("&");
        for body in ["a=%", "a=%4", "a=%zz", "a=%+1", "a=%ff", &many] {
            assert!(form(body.as_bytes()).is_err(), "{body}");
        }
    }
}
