//! User information in URLs: a sentence that repeats a URL must not repeat the password in it.

use super::HIDDEN;

/// The sentence with what stands between `://` and `@` taken out. It hides rather too much: a password may hold any character.
pub(super) fn without_users(sentence: &str) -> String {
    let mut said = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some((before, behind)) = rest.split_once("://") {
        said.push_str(before);
        said.push_str("://");
        let end =
            behind.find(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '<' | '>'));
        let (url, after) = behind.split_at(end.unwrap_or(behind.len()));
        // Another URL inside this one is looked at in its own turn.
        let (url, inner) = url.split_at(url.find("://").unwrap_or(url.len()));
        match url.rsplit_once('@') {
            Some((_, host)) => {
                said.push_str(HIDDEN);
                said.push('@');
                said.push_str(host);
            }
            None => said.push_str(url),
        }
        rest = behind.get(behind.len() - after.len() - inner.len()..).unwrap_or_default();
    }
    said.push_str(rest);
    said
}

#[cfg(test)]
mod tests {
    use super::without_users;

    #[test]
    fn no_user_of_a_url_is_repeated() {
        for (sentence, wanted) in [
            ("\"http://user:pw@a.test/x\" can't be called", "\"http://***@a.test/x\" can't be called"),
            ("https://u:p/w@x@a.test, and http://b", "https://***@a.test, and http://b"),
            ("http://a.test/?next=http://u:p@b.test/", "http://a.test/?next=http://***@b.test/"),
            ("nothing here @ all", "nothing here @ all"),
        ] {
            assert_eq!(without_users(sentence), wanted);
        }
    }
}
