//! Forms and queries: percent-encoding as `application/x-www-form-urlencoded` has it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// `name=value&...` of these pairs.
pub(crate) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        encode_into(name, &mut out);
        out.push('=');
        encode_into(value, &mut out);
    }
    out
}

/// One text, encoded.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode_into(text, &mut out);
    out
}

fn encode_into(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A text without escapes, `+` as a blank. What isn't UTF-8 afterwards is replaced.
pub(crate) fn decode(text: &str) -> String {
    String::from_utf8_lossy(&decode_bytes(text)).into_owned()
}

/// The same as bytes.
pub(crate) fn decode_bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = behind.split_at_checked(2).and_then(|(digits, behind)| {
                    let digits = std::str::from_utf8(digits).ok()?;
                    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                    is_hex.then_some(())?;
                    Some((u8::from_str_radix(digits, 16).ok()?, behind))
                });
                match digits {
                    Some((value, behind)) => {
                        rest = behind;
                        value
                    }
                    None => b'%',
                }
            }
            other => *other,
        });
    }
    out
}

/// The first value of this name in a form or query.
pub(crate) fn value(form: &str, name: &str) -> Option<String> {
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| decode(key) == name).map(|(_, value)| decode(value))
}

/// All pairs of a form or query as JSON, as APISIX's tables of arguments are: a name that comes again makes a list, one without `=` is true. At
/// most `most` pairs are looked at.
pub(crate) fn table(form: &str, most: usize) -> Map<String, Value> {
    let mut all = Map::new();
    for pair in form.split('&').filter(|pair| !pair.is_empty()).take(most) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (decode(name), Value::from(decode(value))),
            None => (decode(pair), Value::Bool(true)),
        };
        match all.get_mut(&name) {
            None => drop(all.insert(name, value)),
            Some(Value::Array(many)) => many.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{decode, encode, table, value};

    #[test]
    fn a_table_has_every_argument() {
        let all = table("a=1&b&a=%20&c=&&a=3&late=1", 6);
        assert_eq!(Value::Object(all), json!({ "a": ["1", " ", "3"], "b": true, "c": "", "late": "1" }));
        assert!(table("a=1&b=2", 1).get("b").is_none());
    }

    #[test]
    fn what_is_encoded_is_found_again() {
        let form = encode([("a b", "1&2=3"), ("c", "\u{e9}+%")]);
        assert_eq!(form, "a%20b=1%262%3D3&c=%C3%A9%2B%25");
        assert_eq!(value(&form, "a b").as_deref(), Some("1&2=3"));
        assert_eq!(value(&form, "c").as_deref(), Some("\u{e9}+%"));
        assert_eq!(value(&form, "d"), None);
        for (text, wanted) in
            [("%+1", "% 1"), ("%zz", "%zz"), ("%4", "%4"), ("a+b%20c", "a b c"), ("%+A", "% A")]
        {
            assert_eq!(decode(text), wanted, "{text}");
        }
    }
}
