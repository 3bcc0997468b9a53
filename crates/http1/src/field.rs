//! Names and values of fields, and methods: which bytes may stand in them, which are usual, and which names belong to one connection only.

/// A name or value that can't be sent. Values are never shown: they may be secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    /// No token (RFC 9110, section 5.6.2).
    #[error("{0:?} is no field name")]
    Name(String),
    /// A control character other than tab in a value (RFC 9110, section 5.5).
    #[error("the value of {0} has a character that can't be sent in a field")]
    Value(String),
    /// No token.
    #[error("{0:?} is no method")]
    Method(String),
    /// A character that can't stand in a target.
    #[error("the request target has a character that can't be sent")]
    Target,
    /// More text than a head may hold: 4 MiB.
    #[error("the head is too large with {0}")]
    TooLarge(String),
}

/// The tokens of a comma-separated value.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// The method as text, where no look at its bytes is needed for that.
pub(crate) fn usual(method: &[u8]) -> &'static str {
    match method {
        b"GET" => "GET",
        b"POST" => "POST",
        b"HEAD" => "HEAD",
        b"PUT" => "PUT",
        b"DELETE" => "DELETE",
        _ => "",
    }
}

/// What a name means to framing. Settled once, when a field enters a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Passes through.
    Ordinary,
    /// Belongs to one connection (RFC 9110, section 7.6.1) or to framing: never copied to the other side.
    Hop,
}

/// Whether this byte may stand in a token (RFC 9110, section 5.6.2).
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)) == Some(&true)
}

/// Whether these bytes are a token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether this byte may stand in a field's value: tab, visible characters and bytes above ASCII.
#[inline]
pub(crate) const fn is_value_byte(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

/// Whether these bytes may be a field's value.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    crate::scan::value_end(bytes, 0) == bytes.len()
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the loop ends at 255")]
        let one = byte as u8;
        #[expect(clippy::indexing_slicing, reason = "evaluated when the program is compiled")]
        {
            table[byte] = one.is_ascii_alphanumeric()
                || matches!(
                    one,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
        }
        byte += 1;
    }
    table
};

/// Whether a field's name is this one, in any case. `known` is in lower case and has only letters, digits and hyphens: no other byte of a
/// token differs from one of these by the bit that tells the cases apart.
#[inline]
#[must_use]
pub fn is_name<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    <&[u8; N]>::try_from(name).is_ok_and(|name| {
        name.iter().zip(known).fold(0, |differs, (byte, wanted)| differs | ((byte | 0x20) ^ wanted)) == 0
    })
}

/// Looks at a name once: by its length first, so that most names cost one comparison.
pub(crate) fn meaning(name: &[u8]) -> Meaning {
    let hop = match name.len() {
        2 => is_name(name, b"te"),
        7 => is_name(name, b"trailer") || is_name(name, b"upgrade"),
        10 => is_name(name, b"connection") || is_name(name, b"keep-alive"),
        14 => is_name(name, b"content-length") || is_name(name, b"http2-settings"),
        17 => is_name(name, b"transfer-encoding"),
        16 | 18 | 19 => name.get(..6).is_some_and(|start| is_name(start, b"proxy-")),
        _ => false,
    };
    if hop { Meaning::Hop } else { Meaning::Ordinary }
}

/// Whether a name spells a framing field with underscores: some servers take them for hyphens.
pub(crate) fn disguises_framing(name: &[u8]) -> bool {
    let like = |known: &[u8]| {
        name.len() == known.len()
            && name
                .iter()
                .zip(known)
                .all(|(byte, wanted)| byte.eq_ignore_ascii_case(wanted) || (*byte == b'_' && *wanted == b'-'))
    };
    like(b"transfer-encoding") || like(b"content-length")
}
