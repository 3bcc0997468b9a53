//! A path template such as `/users/{id}/orders`: the route's path, and where it has parameters in it a pattern that says where each one ends.

/// Where a route takes requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The path, or the prefix before the first parameter with `*` behind it.
    pub(super) uri: String,
    /// What the whole path has to look like, where it has parameters.
    pub(super) pattern: Option<String>,
}

/// The place of a template behind a prefix.
///
/// # Errors
/// The template can't be read.
pub(super) fn place(prefix: &str, template: &str) -> Result<Place, String> {
    if template.contains(['?', '#', '*'])
        || template.chars().any(|letter| letter.is_control() || letter == ' ')
    {
        return Err("a path may not hold ?, #, * or blanks; write parameters as {name}".to_owned());
    }
    let (mut literal, mut pattern) = (prefix.to_owned(), format!("^{}", escaped(prefix)));
    let mut has_parameters = false;
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((name, after)) = behind.split_once('}') else {
            return Err(format!("the parameter that begins at {{{behind} has no end"));
        };
        if name.is_empty() || name.contains(['{', '/']) {
            return Err(format!("{{{name}}} is no parameter; write it as {{name}}"));
        }
        if !has_parameters {
            literal.push_str(before);
        }
        pattern.push_str(&escaped(before));
        pattern.push_str("[^/]+");
        has_parameters = true;
        rest = after;
    }
    if rest.contains('}') {
        return Err("a } stands there without a {".to_owned());
    }
    if !has_parameters {
        literal.push_str(rest);
        return Ok(Place { uri: literal, pattern: None });
    }
    pattern.push_str(&escaped(rest));
    pattern.push('$');
    Ok(Place { uri: format!("{literal}*"), pattern: Some(pattern) })
}

/// What stands before each path: empty, or begins with a slash and doesn't end with one.
///
/// # Errors
/// It can't stand before a path.
pub(super) fn prefix(text: &str) -> Result<String, super::OpenApiError> {
    let bare = text.trim_end_matches('*').trim_end_matches('/');
    if bare.is_empty() || (bare.starts_with('/') && !bare.contains(['*', '?', '#', '{', ' '])) {
        return Ok(bare.to_owned());
    }
    Err(super::OpenApiError::new(
        "prefix",
        format!("{text:?} can't stand before a path; write one such as /shop"),
    ))
}

/// A text that a regular expression takes as it is.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if "\\.+*?()|[]{}^$#&".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}
