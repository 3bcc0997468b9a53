//! Path patterns that no request can have, because the gateway brings every path into one form before it looks for a route.

/// Why no request can match this pattern; `None` where one can.
pub(super) fn never(pattern: &str) -> Option<&'static str> {
    let has = |part: &str| pattern.contains(part);
    let ends = |part: &str| pattern.ends_with(part);
    if has("?") {
        return Some("a path ends before its \"?\"; put conditions on the query into vars, such as arg_name");
    }
    if has("#") {
        return Some("a request carries no \"#\"; leave it and what follows out");
    }
    if has("/../") || has("/./") || ends("/..") || ends("/.") {
        return Some("dot segments are resolved first; write the path without them");
    }
    if has("//") {
        return Some("slashes in a row are taken for one; write one");
    }
    has(" ").then_some("a path holds no space; write %20")
}

#[cfg(test)]
mod tests {
    use super::never;

    #[test]
    fn what_can_not_match_is_told_apart() {
        for (pattern, word) in [
            ("/a?b=1", "vars"),
            ("/a#b", "\"#\""),
            ("/a/../b", "dot segments"),
            ("/a/./b", "dot segments"),
            ("/a/..", "dot segments"),
            ("//a", "slashes"),
            ("/a b", "%20"),
        ] {
            assert!(never(pattern).is_some_and(|why| why.contains(word)), "{pattern}");
        }
        for pattern in ["/", "/*", "*", "/a/..b", "/a/.well-known/*", "/a/:id", "/a%20b"] {
            assert_eq!(never(pattern), None, "{pattern}");
        }
    }
}
