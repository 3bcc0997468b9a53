//! Where an answer may be sent back to: to an address that the client named beforehand, letter by letter, but for the port on this machine.

use http::Uri;

/// Characters of an address.
const LONGEST: usize = 2_000;
/// Schemes that a browser runs or opens by itself.
const NEVER: [&str; 9] =
    ["javascript", "data", "vbscript", "file", "blob", "about", "view-source", "ws", "wss"];

/// Whether somebody may name this address beforehand: `https`, plain `http` on this machine, or a scheme of the program's own.
///
/// # Errors
/// Why not.
pub(super) fn check(address: &str) -> Result<(), String> {
    let refused =
        |why: &str| Err(format!("the redirect URI {} is refused: {why}", crate::tools::clean(address, 200)));
    if address.len() > LONGEST
        || !address.is_ascii()
        || address.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
    {
        return refused("it is too long, or has letters that no URI has");
    }
    if address.contains(['#', '"', '\'', '<', '>', '\\', '*', ';']) {
        return refused("it has a fragment, or letters that no URI has");
    }
    let Some((scheme, rest)) = address.split_once(':') else { return refused("it has no scheme") };
    let scheme = scheme.to_ascii_lowercase();
    let is_scheme = scheme.starts_with(|letter: char| letter.is_ascii_lowercase())
        && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    if !is_scheme || NEVER.contains(&scheme.as_str()) {
        return refused("no program is reached by its scheme");
    }
    if !matches!(scheme.as_str(), "http" | "https") {
        return if rest.is_empty() { refused("nothing is behind its scheme") } else { Ok(()) };
    }
    if !rest.starts_with("//") {
        return refused("it is no address");
    }
    let Some(uri) = address
        .parse::<Uri>()
        .ok()
        .filter(|uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@')))
    else {
        return refused("it is no address");
    };
    if scheme == "http" && !uri.host().is_some_and(is_loopback) {
        return refused("plain http is for localhost, 127.0.0.1 and [::1] alone");
    }
    Ok(())
}

/// Whether an address is one of those that were named. On this machine the port is free, because a program takes whichever it gets
/// (RFC 8252, section 7.3).
pub(super) fn is_named(address: &str, named: &[String]) -> bool {
    named.iter().any(|known| {
        known == address || without_port(known).is_some_and(|known| Some(known) == without_port(address))
    })
}

/// What a page's policy has to allow, so that a browser follows the answer to a form there.
pub(super) fn origin(address: &str) -> String {
    match address.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) => {
            format!(
                "{}://{}",
                uri.scheme_str().unwrap_or_default(),
                uri.authority().map_or("", |authority| authority.as_str())
            )
        }
        _ => format!("{}:", address.split(':').next().unwrap_or_default()),
    }
}

/// The address with an answer in its query.
pub(super) fn with(address: &str, answer: &[(&str, &str)]) -> String {
    let mut whole = address.to_owned();
    for (at, (name, value)) in answer.iter().enumerate() {
        let between = if at > 0 || address.contains('?') { '&' } else { '?' };
        let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
        whole.push_str(&format!("{between}{name}={value}"));
    }
    whole
}

fn is_loopback(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

/// The parts of an address of this machine's, without its port.
fn without_port(address: &str) -> Option<(String, String)> {
    let uri: Uri = address.parse().ok()?;
    let host = uri.host().filter(|host| is_loopback(host))?;
    if uri.scheme_str() != Some("http") || uri.authority()?.as_str().contains('@') {
        return None;
    }
    Some((host.to_owned(), uri.path_and_query().map_or_else(String::new, ToString::to_string)))
}

#[cfg(test)]
mod tests {
    use super::{check, is_named, origin, with};

    #[test]
    fn only_addresses_that_reach_a_program_are_taken() {
        for good in [
            "https://claude.ai/api/mcp/auth_callback",
            "http://127.0.0.1:33418/callback",
            "http://localhost/callback?x=1",
            "http://[::1]:9/",
            "cursor://anysphere.cursor-retrieval/oauth/user-mcp/callback",
            "com.example.app:/cb",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for wrong in [
            "",
            "nothing",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "http://evil.test/cb",
            "http://localhost.evil.test/cb",
            "http://localhost@evil.test/",
            "https://a@b.test/",
            "https://a.test/#x",
            "https://a.test/ b",
            "https://a.test/\n",
            "https://a.test/;x",
            "https:",
            "app:",
            "https://ä.test/",
            &format!("https://a.test/{}", "x".repeat(2_000)),
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_goes_where_it_was_said_and_nowhere_else() {
        let named = ["https://a.test/cb".to_owned(), "http://127.0.0.1/cb".to_owned(), "app:/cb".to_owned()];
        for (address, good) in [
            ("https://a.test/cb", true),
            ("https://a.test/cb/", false),
            ("https://a.test/CB", false),
            ("https://a.test:443/cb", false),
            ("https://a.test/cb?x=1", false),
            ("http://127.0.0.1:9999/cb", true),
            ("http://127.0.0.1/cb", true),
            ("http://127.0.0.1:9999/other", false),
            ("http://localhost:9999/cb", false),
            ("https://127.0.0.1:9999/cb", false),
            ("http://x@127.0.0.1:9999/cb", false),
            ("app:/cb", true),
            ("app:/cb2", false),
        ] {
            assert_eq!(is_named(address, &named), good, "{address}");
        }
    }

    #[test]
    fn an_answer_is_added_to_what_is_there() {
        assert_eq!(
            with("https://a.test/cb", &[("code", "a b"), ("state", "x&y")]),
            "https://a.test/cb?code=a%20b&state=x%26y"
        );
        assert_eq!(with("https://a.test/cb?x=1", &[("code", "c")]), "https://a.test/cb?x=1&code=c");
        assert_eq!(origin("http://127.0.0.1:9/cb"), "http://127.0.0.1:9");
        assert_eq!(origin("cursor://x/y"), "cursor:");
    }
}
