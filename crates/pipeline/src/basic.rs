//! Who says to be calling, by Basic authentication: for the variable `remote_user`. Nobody has checked it.

/// The user of Basic authentication, whose password is never looked at.
pub(crate) fn user(authorization: &str) -> Option<String> {
    let (scheme, credentials) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut clear = Vec::new();
    for four in credentials.trim().as_bytes().chunks(4) {
        clear.extend(decode(four)?);
        if clear.contains(&b':') {
            break;
        }
    }
    let name = clear.split(|byte| *byte == b':').next()?;
    String::from_utf8(name.to_vec()).ok()
}

/// Up to three bytes of four digits of base64.
fn decode(four: &[u8]) -> Option<Vec<u8>> {
    let mut bits: u32 = 0;
    let mut digits = 0;
    for byte in four.iter().filter(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        digits += 1;
    }
    bits <<= 6 * (4 - digits);
    Some(bits.to_be_bytes().into_iter().skip(1).take(digits * 3 / 4).collect())
}

#[cfg(test)]
mod tests {
    use super::user;

    #[test]
    fn a_user_is_named_without_its_password() {
        for (value, wanted) in [
            ("Basic dXNlcjpwYXNz", Some("user")),
            ("basic YTpi", Some("a")),
            ("Basic YQ==", Some("a")),
            ("Basic !!!!", None),
            ("Bearer dXNlcjpwYXNz", None),
            ("Basic", None),
        ] {
            assert_eq!(user(value).as_deref(), wanted, "{value}");
        }
    }
}
