//! Reads `Authorization: Basic` (RFC 7617): user and password, as `basic-auth` and `ldap-auth` take them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use usher_http1::head::Head;

/// What a client says of itself.
pub(crate) struct Login {
    /// The user.
    pub(crate) user: Vec<u8>,
    /// The password: everything behind the first colon.
    pub(crate) password: Vec<u8>,
}

/// Why there is no login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLogin {
    /// No `Authorization` at all.
    Missing,
    /// One that can't be read, or several.
    Invalid,
}

impl NoLogin {
    /// What the client reads.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Missing => "Missing authorization in request",
            Self::Invalid => "Invalid authorization in request",
        }
    }
}

/// The login of a request. A second `Authorization` makes both invalid: no two readers may take different ones.
///
/// # Errors
/// [`NoLogin`].
pub(crate) fn login(head: &Head) -> Result<Login, NoLogin> {
    let mut fields = head.get_all("authorization");
    let field = fields.next().ok_or(NoLogin::Missing)?;
    if fields.next().is_some() {
        return Err(NoLogin::Invalid);
    }
    let (scheme, rest) = field.split_at_checked(6).ok_or(NoLogin::Invalid)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Err(NoLogin::Invalid);
    }
    let mut decoded = STANDARD.decode(rest.trim_ascii()).map_err(|_| NoLogin::Invalid)?;
    let colon = decoded.iter().position(|byte| *byte == b':').ok_or(NoLogin::Invalid)?;
    if decoded.contains(&0) {
        return Err(NoLogin::Invalid);
    }
    let password = decoded.split_off(colon + 1);
    decoded.truncate(colon);
    Ok(Login { user: decoded, password })
}

/// The same text without white space, which APISIX takes away before it compares.
pub(crate) fn without_space(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use usher_http1::head::Head;

    use super::{NoLogin, login};

    #[test]
    fn reads_what_the_standard_says_and_nothing_else() {
        for (fields, wanted) in [
            (vec![], Err(NoLogin::Missing)),
            (vec!["Basic Zm9vOmJhcg=="], Ok(("foo", "bar"))),
            (vec!["bAsIc   Zm9vOmJhcg== "], Ok(("foo", "bar"))),
            // foo:bar:baz
            (vec!["Basic Zm9vOmJhcjpiYXo="], Ok(("foo", "bar:baz"))),
            // foo:
            (vec!["Basic Zm9vOg=="], Ok(("foo", ""))),
            // foo
            (vec!["Basic Zm9v"], Err(NoLogin::Invalid)),
            // foo:b\0r
            (vec!["Basic Zm9vOmIAcg=="], Err(NoLogin::Invalid)),
            (vec!["Basic"], Err(NoLogin::Invalid)),
            (vec!["Basic ***"], Err(NoLogin::Invalid)),
            (vec!["Bearer Zm9vOmJhcg=="], Err(NoLogin::Invalid)),
            (vec!["Basic Zm9vOmJhcg==", "Basic Zm9vOmJhcg=="], Err(NoLogin::Invalid)),
        ] {
            let mut head = Head::request("GET", "/");
            for field in &fields {
                head.append("Authorization", field).unwrap();
            }
            let found = login(&head).map(|login| (login.user, login.password));
            let wanted =
                wanted.map(|(user, password)| (user.as_bytes().to_vec(), password.as_bytes().to_vec()));
            assert_eq!(found, wanted, "{fields:?}");
        }
    }
}
