//! Tells HTTP/2 from HTTP/1 on a plain port, by the first bytes alone.

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Preface {
    /// HTTP/2.
    Whole,
    /// More bytes have to come.
    Begun,
    /// Anything else.
    Not,
}

/// Judges the first bytes. The first one that differs decides, so that a short request of HTTP/1 never waits for 24 bytes.
pub(in crate::engine) fn preface(bytes: &[u8]) -> Preface {
    let known = bytes.len().min(PREFACE.len());
    if bytes.get(..known) != PREFACE.get(..known) {
        Preface::Not
    } else if known == PREFACE.len() {
        Preface::Whole
    } else {
        Preface::Begun
    }
}

#[cfg(test)]
mod tests {
    use super::{PREFACE, Preface, preface};

    #[test]
    fn the_first_byte_that_differs_decides() {
        for (bytes, wanted) in [
            (b"".as_slice(), Preface::Begun),
            (b"P", Preface::Begun),
            (b"PR", Preface::Begun),
            (b"PO", Preface::Not),
            (b"G", Preface::Not),
            (b"PRI * HTTP/1.1\r\n", Preface::Not),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", Preface::Not),
            (PREFACE, Preface::Whole),
        ] {
            assert_eq!(preface(bytes), wanted, "{bytes:?}");
        }
        assert_eq!(preface(&[PREFACE, b"\0\0\0"].concat()), Preface::Whole);
    }
}
