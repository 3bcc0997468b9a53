//! Forms of parts (RFC 7578): each part with a name is a member; a name that comes again makes a list.

use memchr::memmem;
use serde_json::{Map, Value};

/// The most parts.
const MOST: usize = 1000;

/// The members of a form.
///
/// # Errors
/// It isn't one.
pub(super) fn read(body: &[u8], content_type: &str) -> Result<Value, String> {
    let boundary = parameter(content_type, "boundary").ok_or("its content type has no boundary")?;
    if boundary.is_empty() || boundary.len() > 70 {
        return Err("a boundary has 1 to 70 characters".to_owned());
    }
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    // The first one has no line in front of it.
    let whole = [b"\r\n", body].concat();
    let mut places = memmem::find_iter(&whole, &delimiter).map(|at| (at, at + delimiter.len()));
    let (_, mut start) = places.next().ok_or("its boundary is nowhere")?;
    let (mut members, mut parts) = (Map::new(), 0);
    loop {
        let rest = whole.get(start..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(Value::Object(members));
        }
        let (end, next) = places.next().ok_or("its last part has no end")?;
        let part = whole.get(start..end).unwrap_or_default();
        let part = part.strip_prefix(b"\r\n").ok_or("a boundary isn't a line of its own")?;
        parts += 1;
        if parts > MOST {
            return Err(format!("it has more than {MOST} parts"));
        }
        let (head, content) = match memmem::find(part, b"\r\n\r\n") {
            Some(at) => (part.get(..at).unwrap_or_default(), part.get(at + 4..).unwrap_or_default()),
            // A part without a head begins with the empty line.
            None => (&[][..], part.strip_prefix(b"\r\n").ok_or("a part has no end of its head")?),
        };
        if let Some(name) = name(&String::from_utf8_lossy(head)) {
            let value = Value::from(String::from_utf8_lossy(content).into_owned());
            match members.get_mut(&name) {
                None => drop(members.insert(name, value)),
                Some(Value::Array(many)) => many.push(value),
                Some(one) => *one = Value::Array(vec![one.take(), value]),
            }
        }
        start = next;
    }
}

/// The name that a part's head gives it.
fn name(head: &str) -> Option<String> {
    head.split("\r\n").find_map(|line| {
        let (field, value) = line.split_once(':')?;
        if !field.trim().eq_ignore_ascii_case("content-disposition") {
            return None;
        }
        parameter(value, "name")
    })
}

/// A parameter of a field's value, without its quotes.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|pair| {
        let (key, text) = pair.split_once('=')?;
        let text = text.trim();
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        key.trim().eq_ignore_ascii_case(name).then(|| bare.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    const TYPE: &str = "multipart/form-data; boundary=\"x\"";

    #[test]
    fn parts_become_members() {
        let body = "preamble\r\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\ncontent-disposition: form-data; name=b; filename=\"f\"\r\nContent-Type: text/plain\r\n\r\ntwo\r\nlines\r\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--x--\r\nepilogue";
        assert_eq!(read(body.as_bytes(), TYPE).unwrap(), json!({ "a": ["1", ""], "b": "two\r\nlines" }));
        assert_eq!(read(b"--x--", TYPE).unwrap(), json!({}));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let many = format!("{}--x--", "--x\r\n\r\na\r\n".repeat(1001));
        for (body, kind) in [
            ("--x--", "multipart/form-data"),
            ("--y--", TYPE),
            ("--x\r\n\r\na", TYPE),
            ("--xy\r\n--x--", TYPE),
            ("--x\r\nno head\r\n--x--", TYPE),
            (many.as_str(), TYPE),
        ] {
            assert!(read(body.as_bytes(), kind).is_err(), "{kind}: {}", body.get(..20).unwrap_or(body));
        }
    }
}
