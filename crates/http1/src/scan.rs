//! Finds where the parts of a head end, eight bytes at a time: this is where most of a head's bytes are looked at, and looked at once.
//!
//! The lanes of a word are tested without branches (Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n"). Such a test
//! may mark lanes behind a marked one by mistake, never in front of it, so that the first mark is exact.

use crate::field::{is_token_byte, is_value_byte};

const HIGH: u64 = lanes(0x80);

/// The same byte in every lane.
const fn lanes(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

const fn first_mark(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// Marks bytes that may not stand in a value, and tabs, which may.
const fn mark_unprintable(word: u64) -> u64 {
    let below_space = word.wrapping_sub(lanes(b' ')) & !word;
    let delete = word ^ lanes(0x7f);
    (below_space | (delete.wrapping_sub(lanes(1)) & !delete)) & HIGH
}

/// Marks what is neither a letter nor a hyphen; most names consist of these.
const fn mark_unusual(word: u64) -> u64 {
    // Sums of seven bits never reach the next lane.
    let lower = (word | lanes(0x20)) & !HIGH;
    let letter = (lower + lanes(0x80 - b'a')) & !(lower + lanes(0x80 - b'z' - 1));
    let hyphen = !(((word ^ lanes(b'-')) & !HIGH) + lanes(0x7f));
    !((letter | hyphen) & !word) & HIGH
}

/// Where the value that goes through `from` ends: the place of the first byte that may not stand in one, or the end of all bytes.
#[inline]
pub(crate) fn value_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = word(bytes, at) {
        let marks = mark_unprintable(word);
        if marks == 0 {
            at += 8;
            continue;
        }
        at += first_mark(marks);
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
    while bytes.get(at).is_some_and(|byte| is_value_byte(*byte)) {
        at += 1;
    }
    at
}

/// Where a token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenEnd {
    /// The place of the first byte that may not stand in one, or the end of all bytes.
    pub(crate) at: usize,
    /// Whether it has an underscore.
    pub(crate) underscore: bool,
}

/// Where the token that begins at `from` ends.
#[inline]
pub(crate) fn token_end(bytes: &[u8], from: usize) -> TokenEnd {
    let mut at = from;
    let mut underscore = false;
    loop {
        match word(bytes, at).map(mark_unusual) {
            Some(0) => {
                at += 8;
                continue;
            }
            Some(marks) => at += first_mark(marks),
            None => {}
        }
        match bytes.get(at) {
            Some(byte) if is_token_byte(*byte) => underscore |= *byte == b'_',
            _ => return TokenEnd { at, underscore },
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{TokenEnd, token_end, value_end};
    use crate::field::{is_token_byte, is_value_byte};

    /// Every byte at every place of a word, between bytes that are fine, and in front of some that aren't.
    #[test]
    fn the_first_byte_that_does_not_belong_is_found_wherever_it_stands() {
        for fine in [b'a', b'Z', b'-', b'0', b'_'] {
            for byte in 0..=u8::MAX {
                for length in 0..20 {
                    for at in 0..length {
                        let mut text = vec![fine; length];
                        text[at] = byte;
                        if let Some(last) = text.last_mut().filter(|_| at + 1 < length) {
                            *last = 0x1f;
                        }
                        let end = |belongs: fn(u8) -> bool| {
                            text.iter().position(|byte| !belongs(*byte)).unwrap_or(length)
                        };
                        assert_eq!(value_end(&text, 0), end(is_value_byte), "{text:?}");
                        let at = end(is_token_byte);
                        let underscore = text[..at].contains(&b'_');
                        assert_eq!(token_end(&text, 0), TokenEnd { at, underscore }, "{text:?}");
                    }
                }
            }
        }
    }
}
