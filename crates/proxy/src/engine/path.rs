//! The one canonical path of a request: what routes and plugins judge is what is forwarded, but for slashes that the client escaped.
//!
//! Unreserved characters are decoded, other escapes written in upper case, runs of slashes merged, dot segments resolved (also in front of
//! `;params`). What two servers could read differently is refused: escapes that are none, NUL and other control characters, overlong UTF-8,
//! dot segments beside an encoded slash, and paths that climb above the root.
//!
//! `%2F` is a slash to servers that decode a path before they look at it, so by default it is judged as one, as nginx's `$uri` has it, and
//! forwarded as it came.

/// Why a path is refused; the client is answered with 400.
pub(crate) type BadPath = &'static str;

/// What a path was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Canonical, without an escape.
    Plain,
    /// Canonical as it is.
    Canonical,
    /// Not canonical; the form that is was written.
    New,
}

/// Writes the canonical form of `path` into `out`; nothing when the path is canonical as it is.
///
/// # Errors
/// [`BadPath`].
pub(crate) fn canonical(path: &str, out: &mut String) -> Result<Spelling, BadPath> {
    out.clear();
    if is_plain(path.as_bytes()) {
        return Ok(Spelling::Plain);
    }
    let decoded = decode(path.as_bytes())?;
    resolve(&decoded, out)?;
    if out == path {
        out.clear();
        return Ok(Spelling::Canonical);
    }
    Ok(Spelling::New)
}

/// The form in which routes and plugins judge a canonical path: with each `%2F` a slash, canonical again. `None` where that is the path itself.
///
/// # Errors
/// [`BadPath`]: an escaped backslash, which some servers read as a slash too.
pub(crate) fn judged(path: &str) -> Result<Option<String>, BadPath> {
    if path.contains("%5C") {
        return Err("an escaped backslash in the path");
    }
    if !path.contains("%2F") {
        return Ok(None);
    }
    let mut out = String::with_capacity(path.len());
    resolve(&path.replace("%2F", "/"), &mut out)?;
    Ok(Some(out))
}

/// A canonical path without the `;parameters` of its segments, canonical again: a segment may have been nothing else.
///
/// # Errors
/// [`BadPath`].
pub(super) fn without_parameters(path: &str) -> Result<String, BadPath> {
    let bare: Vec<&str> =
        path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    let bare = bare.join("/");
    let mut out = String::new();
    Ok(if canonical(&bare, &mut out)? == Spelling::New { out } else { bare })
}

/// No escape, no empty segment and none that begins with a dot: nearly every path there is.
fn is_plain(path: &[u8]) -> bool {
    // All pairs of neighbours are looked at without a branch, so that many fit into one instruction.
    let odd = path.iter().zip(path.iter().skip(1)).fold(false, |odd, (before, byte)| {
        odd | (*byte == b'%') | ((*before == b'/') & ((*byte == b'/') | (*byte == b'.')))
    });
    path.first() == Some(&b'/') && !odd
}

/// Decodes what means the same either way, and writes all other escapes in upper case.
fn decode(path: &[u8]) -> Result<String, BadPath> {
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.iter();
    // The byte that was escaped just before, for UTF-8 that is longer than it needs to be.
    let mut lead = 0;
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(char::from(*byte));
            lead = 0;
            continue;
        }
        let high = bytes.next().and_then(hex);
        let low = bytes.next().and_then(hex);
        let (Some(high), Some(low)) = (high, low) else { return Err("an escape that is none in the path") };
        let escaped = high << 4 | low;
        match escaped {
            0..=0x1f | 0x7f => return Err("an escaped control character in the path"),
            0xc0 | 0xc1 => return Err("overlong UTF-8 in the path"),
            0x80..=0x9f if lead == 0xe0 => return Err("overlong UTF-8 in the path"),
            0x80..=0x8f if lead == 0xf0 => return Err("overlong UTF-8 in the path"),
            _ if escaped.is_ascii_alphanumeric() || matches!(escaped, b'-' | b'.' | b'_' | b'~') => {
                out.push(char::from(escaped));
            }
            _ => {
                out.push('%');
                out.push(digit(high));
                out.push(digit(low));
            }
        }
        lead = escaped;
    }
    Ok(out)
}

/// Merges slashes and resolves dot segments.
fn resolve(path: &str, out: &mut String) -> Result<(), BadPath> {
    let mut segments = path.split('/').peekable();
    // In front of the first slash there is nothing.
    segments.next();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let name = segment.split(';').next().unwrap_or_default();
        match name {
            "" | "." if segment.len() == name.len() || name == "." => {}
            ".." => match out.rfind('/') {
                Some(at) => out.truncate(at),
                None => return Err("a path that climbs above the root"),
            },
            _ if hides_dots(segment) => return Err("a dot segment beside an encoded slash in the path"),
            _ => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        if last {
            out.push('/');
        }
    }
    Ok(())
}

/// Whether a server that decodes `%2F`, `%5C` or `%3B` would find a dot segment in here.
fn hides_dots(segment: &str) -> bool {
    if !segment.contains('%') {
        return false;
    }
    let is_dots = |piece: &str| {
        let end = piece.find(';').into_iter().chain(piece.find("%3B")).min().unwrap_or(piece.len());
        matches!(piece.get(..end), Some("." | ".."))
    };
    segment.split("%2F").any(|piece| piece.split("%5C").any(is_dots))
}

fn hex(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::{Spelling, canonical, judged};

    fn of(path: &str) -> Result<String, &'static str> {
        let mut out = String::new();
        Ok(if canonical(path, &mut out)? == Spelling::New { out } else { path.to_owned() })
    }

    #[test]
    fn every_spelling_of_a_path_becomes_the_same_one() {
        for (path, wanted) in [
            ("/", "/"),
            ("/pub/x.html", "/pub/x.html"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/..b/.c", "/a/..b/.c"),
            ("//admin", "/admin"),
            ("///", "/"),
            ("/a//b///", "/a/b/"),
            ("/./admin", "/admin"),
            ("/admin/.", "/admin/"),
            ("/pub/../admin", "/admin"),
            ("/pub/a/../../admin", "/admin"),
            ("/pub/..", "/"),
            ("/pub/a/..", "/pub/"),
            ("/pub/%2e%2e/admin", "/admin"),
            ("/pub/.%2E/admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/%7Euser", "/~user"),
            ("/admin%2f", "/admin%2F"),
            ("/a%5cb", "/a%5Cb"),
            ("/admin%20", "/admin%20"),
            ("/%c3%a4", "/%C3%A4"),
            ("/%fc", "/%FC"),
            ("/admin;x=1", "/admin;x=1"),
            ("/;x", "/;x"),
            ("/pub/..;/admin", "/admin"),
            ("/pub/..;x=y/admin", "/admin"),
            ("/pub/.;x/admin", "/pub/admin"),
            ("/pub/%252e%252e/admin", "/pub/%252e%252e/admin"),
            ("/ADMIN", "/ADMIN"),
            ("/admin%3fx", "/admin%3Fx"),
            ("/admin%23", "/admin%23"),
            ("/a%2F..b", "/a%2F..b"),
        ] {
            let once = of(path).unwrap_or_else(|bad| panic!("{path} was refused: {bad}"));
            assert_eq!(once, wanted, "{path}");
            assert_eq!(of(&once).as_deref(), Ok(wanted), "{path} twice");
        }
    }

    #[test]
    fn an_escaped_slash_is_judged_as_a_slash() {
        for (path, wanted) in [
            ("/admin%2Fx", Some(Some("/admin/x"))),
            ("/admin%2fx%2Fy", Some(Some("/admin/x/y"))),
            ("/%2Fadmin%2F%2Fx", Some(Some("/admin/x"))),
            ("/admin%2F", Some(Some("/admin/"))),
            ("/%2f", Some(Some("/"))),
            ("/a%2F/b", Some(Some("/a/b"))),
            ("/a%2F..b", Some(Some("/a/..b"))),
            ("/%61%2Fb%20c", Some(Some("/a/b%20c"))),
            ("/x/..%2Fadmin", None),
            ("/a%5Cb", None),
            ("/a%2Fb%5cc", None),
            ("/a%252Fb", Some(None)),
            ("/a%20b", Some(None)),
            ("/a/b", Some(None)),
        ] {
            let found = of(path).and_then(|path| judged(&path)).ok();
            assert_eq!(found.as_ref().map(Option::as_deref), wanted, "{path}");
        }
    }

    #[test]
    fn parameters_of_segments_are_taken_out() {
        for (path, wanted) in [
            ("/admin;x=1", "/admin"),
            ("/a;b/c;d=e;f/", "/a/c/"),
            ("/a/;x/b", "/a/b"),
            ("/;x", "/"),
            ("/a%3Bx", "/a%3Bx"),
        ] {
            assert_eq!(super::without_parameters(path).as_deref(), Ok(wanted), "{path}");
        }
    }

    #[test]
    fn what_servers_could_read_differently_is_refused() {
        for path in [
            "/admin%00",
            "/me%0a.css",
            "/a%7f",
            "/pub/..%2fadmin",
            "/pub/%2e%2e%2Fadmin",
            "/pub%2f..",
            "/pub/%5c..%5cadmin",
            "/pub/..%3bx/admin",
            "/pub/a%2f..;x/admin",
            "/pub/%c0%af../admin",
            "/pub/%e0%80%af",
            "/pub/%f0%80%80%af",
            "/pub/%u002e",
            "/admin%",
            "/admin%2",
            "/admin%2g",
            "/..",
            "/../admin",
            "/a/../../b",
        ] {
            assert!(of(path).is_err(), "{path} became {:?}", of(path));
        }
    }
}
