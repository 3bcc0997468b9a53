//! Request targets and hosts: which forms are admitted (RFC 9112, section 3.2; RFC 3986).

use crate::reject::Reject;

/// Where the target that begins at `from` ends: the place of the first byte that may not stand in a path and query, or the end of all bytes.
#[inline]
pub(crate) fn target_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !is_of(&TARGET, *byte)).unwrap_or(rest.len())
}

/// Whether this is a host with an optional port: a name, an IPv4 address, or an IPv6 address in brackets; at most 253 bytes of host.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let host = if text.first() == Some(&b'[') {
        match text.iter().position(|byte| *byte == b']') {
            // Something between the brackets.
            Some(end) if end > 1 && text.get(1..end).is_some_and(is_ipv6_like) => end + 1,
            _ => return false,
        }
    } else {
        text.iter().position(|byte| !is_of(&NAME, *byte)).unwrap_or(text.len())
    };
    (1..=253).contains(&host)
        && match text.get(host..) {
            Some([]) => true,
            Some([b':', port @ ..]) => is_port(port),
            _ => false,
        }
}

fn is_ipv6_like(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

/// A set of bytes.
type Set = [bool; 256];

#[inline]
fn is_of(set: &Set, byte: u8) -> bool {
    set.get(usize::from(byte)) == Some(&true)
}

/// Fills a set, when the program is compiled.
macro_rules! set {
    ($belongs:expr) => {{
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "the loop ends at 255")]
            let one = byte as u8;
            #[expect(clippy::indexing_slicing, reason = "evaluated when the program is compiled")]
            {
                set[byte] = $belongs(one);
            }
            byte += 1;
        }
        set
    }};
}

/// What may stand in a path and query: visible ASCII but `"`, `#`, `<`, `>` and `\`.
const TARGET: Set = set!(is_target_byte);
/// What may stand in a name of a host.
const NAME: Set = set!(is_name_byte);

const fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\')
}

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
    let digit = |port: u32, byte: &u8| byte.is_ascii_digit().then(|| port * 10 + u32::from(byte - b'0'));
    // Five digits fit into 32 bits.
    (1..=5).contains(&text.len())
        && text.iter().try_fold(0, digit).is_some_and(|port| port <= u32::from(u16::MAX))
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

/// Settles the form of a target that has only bytes that may stand in one.
///
/// # Errors
/// It has no admitted form.
pub(crate) fn form(method: &[u8], target: &[u8]) -> Result<Form, Reject> {
    if method == b"CONNECT" {
        return Err(Reject::of(405, "CONNECT is not served"));
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
