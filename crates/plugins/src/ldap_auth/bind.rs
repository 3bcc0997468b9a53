//! The one question that is asked of a directory: a simple bind (RFC 4511, section 4.2), and its answer.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// What a directory says of a user and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Both are right.
    Known,
    /// One isn't, or the user may not log in.
    Unknown,
}

/// Asks whether the password belongs to the name.
///
/// # Errors
/// The directory can't be asked, or its answer is none.
pub(super) async fn bind(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    name: &[u8],
    password: &[u8],
) -> Result<Verdict, String> {
    let request = request(name, password);
    stream.write_all(&request).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.map_err(|error| error.to_string())?;
    let [tag, first] = head;
    if tag != SEQUENCE {
        return Err("its answer is no LDAP".to_owned());
    }
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let mut bytes = vec![0; usize::from(first & 0x7f)];
        if bytes.is_empty() || bytes.len() > 4 {
            return Err("its answer has no length".to_owned());
        }
        stream.read_exact(&mut bytes).await.map_err(|error| error.to_string())?;
        bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
    };
    if length > MAX_ANSWER {
        return Err(format!("its answer is longer than {MAX_ANSWER} bytes"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.map_err(|error| error.to_string())?;
    // RFC 4511, section 4.3: nothing is answered, and the directory closes.
    if let Err(error) = stream.write_all(&[SEQUENCE, 5, INTEGER, 1, 2, UNBIND, 0]).await {
        tracing::debug!(%error, "an LDAP directory closed first");
    }
    verdict(&answer).ok_or_else(|| "its answer can't be read".to_owned())
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SIMPLE: u8 = 0x80;

fn request(name: &[u8], password: &[u8]) -> Vec<u8> {
    let mut inside = vec![INTEGER, 1, 3];
    put(&mut inside, OCTETS, name);
    put(&mut inside, SIMPLE, password);
    let mut message = vec![INTEGER, 1, 1];
    put(&mut message, BIND_REQUEST, &inside);
    let mut out = Vec::with_capacity(message.len() + 6);
    put(&mut out, SEQUENCE, &message);
    out
}

/// One value: tag, length, bytes.
fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    match u8::try_from(bytes.len()) {
        Ok(length @ ..0x80) => out.push(length),
        _ => {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
            out.push(0x84);
            out.extend_from_slice(&length);
        }
    }
    out.extend_from_slice(bytes);
}

/// The value at the front, and what is behind it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (size, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(size, _)| size.len() <= 4)?;
        (size.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}

fn verdict(message: &[u8]) -> Option<Verdict> {
    let (id, rest) = take(message, INTEGER)?;
    let (response, _) = take(rest, BIND_RESPONSE)?;
    let (code, _) = take(response, ENUMERATED)?;
    // Any code but success is a no: a referral or a further step of a login isn't a yes.
    (id == [1]).then_some(if code == [0] { Verdict::Known } else { Verdict::Unknown })
}

/// A value inside a distinguished name (RFC 4514, section 2.4): what means something there doesn't any more.
pub(super) fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' | '#' | ' ' => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    // Writing to a String can't fail.
                    let _ = write!(out, "\\{byte:02x}");
                }
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Verdict, escaped, request, verdict};

    #[test]
    fn a_request_is_what_the_standard_says() {
        assert_eq!(
            request(b"cn=a", b"b"),
            [0x30, 0x11, 2, 1, 1, 0x60, 0x0c, 2, 1, 3, 4, 4, b'c', b'n', b'=', b'a', 0x80, 1, b'b']
        );
        assert_eq!(request(&[b'a'; 300], b"b").len(), 300 + 6 + 6 + 6 + 3 + 3 + 3);
    }

    #[test]
    fn only_success_is_a_yes() {
        for (code, wanted) in
            [(0, Verdict::Known), (49, Verdict::Unknown), (10, Verdict::Unknown), (14, Verdict::Unknown)]
        {
            assert_eq!(verdict(&[2, 1, 1, 0x61, 7, 0x0a, 1, code, 4, 0, 4, 0]), Some(wanted));
        }
        let whole = [2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0];
        assert_eq!(
            verdict(&[2, 1, 2, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0]),
            None,
            "an answer to another question"
        );
        for length in 0..8 {
            assert_eq!(verdict(&whole[..length]), None, "cut at {length}");
        }
    }

    /// CVE-2026-75020: a name led into another part of the tree.
    #[test]
    fn a_name_stays_a_name() {
        for (text, wanted) in [
            ("jack", "jack"),
            ("jack,ou=admins", "jack\\,ou\\=admins"),
            ("a+uid=root", "a\\+uid\\=root"),
            ("a\\2cb", "a\\\\2cb"),
            ("#1 \"x\";<y>", "\\#1\\ \\\"x\\\"\\;\\<y\\>"),
            ("a\0b", "a\\00b"),
            ("\u{e9}*()", "\u{e9}*()"),
        ] {
            assert_eq!(escaped(text), wanted, "{text}");
        }
    }
}
