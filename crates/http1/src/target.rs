//! Request targets and hosts: which forms are admitted (RFC 9112, section 3.2; RFC 3986).

use crate::reject::Reject;

/// Whether these bytes may stand in a path and query: visible ASCII but `"`, `#`, `<`, `>` and `\`.
pub(crate) fn is_path_and_query(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\'))
}

/// Whether this is a host with an optional port: a name, an IPv4 address, or an IPv6 address in brackets; at most 253 bytes of host.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let (host, port) = if text.first() == Some(&b'[') {
        let Some(end) = text.iter().position(|byte| *byte == b']') else { return false };
        let (host, rest) = text.split_at(end + 1);
        let inner = host.get(1..end).unwrap_or_default();
        if inner.is_empty()
            || !inner.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        {
            return false;
        }
        match rest {
            [] => (host, None),
            [b':', port @ ..] => (host, Some(port)),
            _ => return false,
        }
    } else {
        match memchr::memchr(b':', text) {
            None => (text, None),
            Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        }
    };
    let named =
        host.first() == Some(&b'[') || host.iter().all(|byte| NAME.get(usize::from(*byte)) == Some(&true));
    !host.is_empty() && host.len() <= 253 && named && port.is_none_or(is_port)
}

const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the loop ends at 255")]
        let one = byte as u8;
        #[expect(clippy::indexing_slicing, reason = "evaluated when the program is compiled")]
        {
            table[byte] = is_name_byte(one);
        }
        byte += 1;
    }
    table
};

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b'%'
        )
}

fn is_port(text: &[u8]) -> bool {
    (1..=5).contains(&text.len())
        && text.iter().all(u8::is_ascii_digit)
        && text.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0')) <= u32::from(u16::MAX)
}

/// The form of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `/path?query`
    Origin,
    /// `*`
    Asterisk,
    /// `http://authority/path?query`; the offsets of authority and path inside the target.
    Absolute { authority: usize, path: usize },
}

/// Settles the form.
///
/// # Errors
/// The target has no admitted form, or bytes that may not stand in one.
pub(crate) fn form(method: &[u8], target: &[u8]) -> Result<Form, Reject> {
    if method == b"CONNECT" {
        return Err(Reject::of(405, "CONNECT is not served"));
    }
    if !is_path_and_query(target) {
        return Err(Reject::bad("a byte that may not stand in a request target"));
    }
    if target.first() == Some(&b'/') {
        return Ok(Form::Origin);
    }
    if target == b"*" {
        return if method == b"OPTIONS" {
            Ok(Form::Asterisk)
        } else {
            Err(Reject::bad("the target * is for OPTIONS only"))
        };
    }
    for scheme in [b"http://".as_slice(), b"https://"] {
        let Some(start) = target.get(..scheme.len()) else { continue };
        if start.eq_ignore_ascii_case(scheme) {
            let rest = target.get(scheme.len()..).unwrap_or_default();
            let len = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            return Ok(Form::Absolute { authority: scheme.len(), path: scheme.len() + len });
        }
    }
    Err(Reject::bad("the target is neither a path nor an absolute URL"))
}

#[cfg(test)]
mod tests {
    use super::is_authority;

    #[test]
    fn authorities_are_told_from_other_text() {
        for good in
            ["a.test", "a.test:80", "127.0.0.1:1", "[::1]", "[::1]:9080", "x_y", "localhost", "a.test."]
        {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "u@a.test", "a/b", "a b", "a:99999", "a:", "a:8x", "[::1", "[]", "[::1]x", "[::1]:",
            "é",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
        assert!(!is_authority("a".repeat(254).as_bytes()));
    }
}
