//! Names and values of fields: which bytes may stand in them, and which names belong to one connection only.

/// What a name means to framing. Settled once, when a field enters a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Passes through.
    Ordinary,
    /// Belongs to one connection (RFC 9110, section 7.6.1) or to framing: never copied to the other side.
    Hop,
}

/// Whether these bytes are a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| TOKEN.get(usize::from(*byte)) == Some(&true))
}

/// Whether these bytes may be a field's value: tab, visible characters and bytes above ASCII.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (*byte >= b' ' && *byte != 0x7f) || *byte == b'\t')
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

/// Looks at a name once: by its length first, so that most names cost one comparison.
pub(crate) fn meaning(name: &[u8]) -> Meaning {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let hop = match name.len() {
        2 => is(b"te"),
        7 => is(b"trailer") || is(b"upgrade"),
        10 => is(b"connection") || is(b"keep-alive"),
        14 => is(b"content-length") || is(b"http2-settings"),
        17 => is(b"transfer-encoding"),
        16 | 18 | 19 => name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"proxy-")),
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
