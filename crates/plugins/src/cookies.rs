//! Cookies of a request, where one of them is taken away before the upstream sees it.

use usher_http1::head::Head;

/// Takes the cookie of this name out of every `Cookie` field; fields that hold nothing else go away whole.
pub(crate) fn remove_cookie(head: &mut Head, name: &str) {
    remove_cookies(head, |found| found == name);
}

/// Takes every cookie whose name is `unwanted` away.
pub(crate) fn remove_cookies(head: &mut Head, unwanted: impl Fn(&str) -> bool) {
    let named = |pair: &str| unwanted(pair.split_once('=').map_or(pair, |(name, _)| name).trim());
    let lines: Vec<Vec<u8>> = head.get_all("cookie").map(<[u8]>::to_vec).collect();
    let held = |line: &[u8]| String::from_utf8_lossy(line).split(';').any(named);
    if !lines.iter().any(|line| held(line)) {
        return;
    }
    head.remove("cookie");
    for line in lines {
        let kept = if held(&line) {
            let text = String::from_utf8_lossy(&line);
            let kept: Vec<&str> = text.split(';').map(str::trim).filter(|pair| !named(pair)).collect();
            kept.join("; ").into_bytes()
        } else {
            line
        };
        if !kept.is_empty()
            && let Err(error) = head.append("Cookie", kept)
        {
            tracing::warn!(%error, "left out cookies that can't be sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use usher_http1::head::Head;

    use super::remove_cookie;

    #[test]
    fn only_the_cookie_of_that_name_goes() {
        for (lines, wanted) in [
            (vec!["a=1; jwt=x; b=2", "jwt=y", "c=3"], vec!["a=1; b=2", "c=3"]),
            (vec!["jwt=x"], vec![]),
            (vec!["jwt2=x;ajwt=y"], vec!["jwt2=x;ajwt=y"]),
            (vec!["jwt; a=1"], vec!["a=1"]),
        ] {
            let mut head = Head::request("GET", "/");
            for line in lines {
                head.append("cookie", line).unwrap();
            }
            remove_cookie(&mut head, "jwt");
            let left: Vec<&str> =
                head.get_all("cookie").map(|line| std::str::from_utf8(line).unwrap()).collect();
            assert_eq!(left, wanted);
        }
    }
}
