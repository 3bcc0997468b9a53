//! Splits the fields of a head into lines, in one pass over its bytes.
//!
//! Strict where others are lenient: every line ends with CRLF, nothing stands between a name and its colon, and no line goes on in the next one
//! (RFC 9112, section 5).

use crate::scan::{token_end, value_end};

/// One field. Places count from the beginning of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Behind the name, which begins where the line does.
    pub(crate) name_end: usize,
    /// Where the value begins, without the spaces in front of it.
    pub(crate) value: usize,
    /// Where it ends, without the spaces behind it.
    pub(crate) value_end: usize,
    /// Behind the line's CRLF.
    pub(crate) end: usize,
    /// Whether the name has an underscore.
    pub(crate) underscore: bool,
}

/// What stands where a field may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A field.
    Field(Line),
    /// The empty line; the head ends at this place.
    End(usize),
    /// A line that isn't there to its end.
    More,
}

/// Reads the line that begins at `start`.
///
/// # Errors
/// Why it is no field.
// What it answers never leaves registers this way.
#[inline(always)]
pub(crate) fn next(bytes: &[u8], start: usize) -> Result<Next, &'static str> {
    let name = token_end(bytes, start);
    if bytes.get(name.at) != Some(&b':') || name.at == start {
        return without_name(bytes, start, name.at);
    }
    let mut value = name.at + 1;
    while matches!(bytes.get(value), Some(b' ' | b'\t')) {
        value += 1;
    }
    let stop = value_end(bytes, value);
    if bytes.get(stop) != Some(&b'\r') || bytes.get(stop + 1) != Some(&b'\n') {
        return without_ending(bytes, stop);
    }
    let mut value_end = stop;
    while value_end > value && matches!(bytes.get(value_end - 1), Some(b' ' | b'\t')) {
        value_end -= 1;
    }
    Ok(Next::Field(Line { name_end: name.at, value, value_end, end: stop + 2, underscore: name.underscore }))
}

/// What stands there instead of a line's end.
#[cold]
fn without_ending(bytes: &[u8], stop: usize) -> Result<Next, &'static str> {
    match bytes.get(stop..) {
        Some([] | [b'\r']) => Ok(Next::More),
        Some([b'\n', ..]) => Err("a line that ends without CR"),
        _ => Err("a malformed field value"),
    }
}

/// What stands there instead of a name and a colon, `at` which the name would have ended.
fn without_name(bytes: &[u8], start: usize, at: usize) -> Result<Next, &'static str> {
    match bytes.get(start..) {
        _ if at == bytes.len() => Ok(Next::More),
        Some([b'\r', b'\n', ..]) => Ok(Next::End(start + 2)),
        Some([b'\r']) => Ok(Next::More),
        _ if bytes.get(at) == Some(&b'\n') => Err("a line that ends without CR"),
        _ => Err("a malformed field name"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Next, next};

    #[test]
    fn lines_are_fields_ends_beginnings_or_refused() {
        for (text, name, value) in [
            ("Host: a\r\n", "Host", "a"),
            ("Host:a\r\n", "Host", "a"),
            ("Host: \t a \t b \t \r\n", "Host", "a \t b"),
            ("x_y:\r\nmore", "x_y", ""),
            ("X-Empty: \t \r\n", "X-Empty", ""),
            ("X-Text: \u{e9}\u{20ac}\r\n", "X-Text", "\u{e9}\u{20ac}"),
        ] {
            let Next::Field(line) = next(text.as_bytes(), 0).unwrap() else { panic!("{text:?}") };
            assert_eq!((&text[..line.name_end], &text[line.value..line.value_end]), (name, value));
            assert_eq!(line.underscore, name.contains('_'));
            assert_eq!(line.end, text.find('\n').unwrap() + 1);
            for cut in 0..line.end {
                assert_eq!(next(&text.as_bytes()[..cut], 0), Ok(Next::More), "{:?}", &text[..cut]);
            }
        }
        assert_eq!(next(b"Host: a\r\n\r\nbody", 9), Ok(Next::End(11)));
        for (text, reason) in [
            (": a\r\n", "a malformed field name"),
            ("Host : a\r\n", "a malformed field name"),
            (" folded\r\n", "a malformed field name"),
            ("\tfolded\r\n", "a malformed field name"),
            ("Host\r\n", "a malformed field name"),
            ("H\u{e9}: a\r\n", "a malformed field name"),
            ("\rHost: a\r\n", "a malformed field name"),
            ("Host: a\rb\r\n", "a malformed field value"),
            ("Host: a\0\r\n", "a malformed field value"),
            ("Host: \x7f\r\n", "a malformed field value"),
            ("Host: a\n", "a line that ends without CR"),
            ("Host\n", "a line that ends without CR"),
            ("\n", "a line that ends without CR"),
        ] {
            assert_eq!(next(text.as_bytes(), 0), Err(reason), "{text:?}");
        }
    }
}
