//! Ids for new objects, made from what people say.

/// The longest id that the Admin API takes.
const LONGEST: usize = 64;

/// An id from a path: `/speaker/*` is `speaker`, `/api/v1/*` is `api-v1`.
pub(crate) fn id_from_path(path: &str) -> String {
    some(&slug(path), "root")
}

/// An id from a name: `conference API` is `conference-api`. `None` where nothing of the name can stand in an id.
pub(crate) fn id_from_name(name: &str) -> Option<String> {
    Some(slug(name)).filter(|id| !id.is_empty())
}

/// The `n`th id like this one, from 2 on.
pub(crate) fn unlike(id: &str, n: usize) -> String {
    let ending = format!("-{n}");
    let kept: String = id.chars().take(LONGEST - ending.len()).collect();
    kept + &ending
}

fn some(id: &str, otherwise: &str) -> String {
    if id.is_empty() { otherwise.to_owned() } else { id.to_owned() }
}

/// Letters, digits, dots and underscores in lower case, anything else as one hyphen.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.to_lowercase().chars() {
        if slug.len() >= LONGEST {
            break;
        }
        if letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.') {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{id_from_name, id_from_path, unlike};

    #[test]
    fn paths_and_names_make_ids() {
        for (path, wanted) in [
            ("/speaker/*", "speaker"),
            ("/", "root"),
            ("/*", "root"),
            ("/api/v1/users/*", "api-v1-users"),
            ("/Session/{id}/topics", "session-id-topics"),
            ("/../x", "x"),
        ] {
            assert_eq!(id_from_path(path), wanted, "{path}");
        }
        assert_eq!(id_from_name("conference API").as_deref(), Some("conference-api"));
        assert_eq!(id_from_name("你好"), None);
        assert_eq!(unlike("speaker", 2), "speaker-2");
        assert_eq!(unlike(&"x".repeat(64), 10).len(), 64);
        assert!(id_from_path(&"/long".repeat(40)).len() <= 64);
    }
}
