//! Texts with variables in them: `$var`, `${var}`, `${var ?? default}`, and `\$` for a dollar. A place in a body is a name too: `$post_arg.user.id`,
//! `${post_arg.messages[*].role}`.

use crate::variables::Variables;

/// A text that is parsed once and rendered per request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable { name: String, default: Option<String> },
}

impl Template {
    /// Parses a text; what isn't a variable stays as it is.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['$', '\\']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(behind) = from.strip_prefix("\\$") {
                plain.push('$');
                rest = behind;
            } else if let Some((part, behind)) = variable(from) {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(part);
                rest = behind;
            } else {
                let mut chars = from.chars();
                plain.extend(chars.next());
                rest = chars.as_str();
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self { parts }
    }

    /// Writes the text with the variables' values; unknown ones are empty.
    pub fn render_into(&self, variables: &dyn Variables, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable { name, default } => match variables.variable(name) {
                    Some(value) => out.extend_from_slice(&value),
                    None => out.extend_from_slice(default.as_deref().unwrap_or_default().as_bytes()),
                },
            }
        }
    }

    /// The same as text; bytes that aren't UTF-8 are replaced.
    #[must_use]
    pub fn render(&self, variables: &dyn Variables) -> String {
        let mut out = Vec::new();
        self.render_into(variables, &mut out);
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// The same, and how many of the variables in it had a value; a default is one.
    #[must_use]
    pub fn render_counted(&self, variables: &dyn Variables) -> (String, usize) {
        let has_value = |part: &&Part| match part {
            Part::Variable { name, default } => default.is_some() || variables.variable(name).is_some(),
            Part::Text(_) => false,
        };
        (self.render(variables), self.parts.iter().filter(has_value).count())
    }

    /// Whether one of its variables has a default.
    #[must_use]
    pub fn has_default(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Variable { default: Some(_), .. }))
    }

    /// Whether it has no variable.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.as_constant().is_some()
    }

    /// The text, where it has no variable.
    #[must_use]
    pub fn as_constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The name of the variable, where the text is one and nothing else.
    #[must_use]
    pub fn as_variable(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Variable { name, default: None }] => Some(name),
            _ => None,
        }
    }

    /// The names of its variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }
}

/// What the names of places in a body begin with.
const IN_BODY: &str = "post_arg.";

/// A variable at the beginning of `text`, and what comes behind it.
fn variable(text: &str) -> Option<(Part, &str)> {
    let rest = text.strip_prefix('$')?;
    if let Some(inner) = rest.strip_prefix('{') {
        let (inside, behind) = inner.split_once('}')?;
        let (name, default) =
            inside.split_once("??").map_or((inside, None), |(name, default)| (name, Some(default.trim())));
        let name = name.trim();
        let of_place = |byte: u8| name.starts_with(IN_BODY) && matches!(byte, b'[' | b']' | b'*');
        let good = !name.is_empty()
            && name.bytes().all(|byte| is_name(byte) || matches!(byte, b'.' | b'-') || of_place(byte));
        let default = default.map(str::to_owned);
        return good.then(|| (Part::Variable { name: name.to_owned(), default }, behind));
    }
    let mut len = rest.bytes().take_while(|byte| is_name(*byte)).count();
    if rest.starts_with(IN_BODY) {
        // A dot at the end is one of the text's own.
        let dotted = rest.bytes().take_while(|byte| is_name(*byte) || *byte == b'.').count();
        len = rest.get(..dotted).map_or(len, |name| name.trim_end_matches('.').len());
    }
    let (name, behind) = rest.split_at(len);
    (!name.is_empty()).then(|| (Part::Variable { name: name.to_owned(), default: None }, behind))
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::Template;

    #[test]
    fn variables_defaults_and_escapes_are_rendered() {
        let variables: &[(&str, &str)] =
            &[("uri", "/a"), ("arg_x", "1"), ("post_arg.a.b", "p"), ("post_arg.l[*].n", "q")];
        struct Fixed<'a>(&'a [(&'a str, &'a str)]);
        impl crate::variables::Variables for Fixed<'_> {
            fn variable(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
                self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes().into())
            }
        }
        let fixed = Fixed(variables);
        for (text, wanted) in [
            ("plain", "plain"),
            ("$uri?x=$arg_x", "/a?x=1"),
            ("${uri}x", "/ax"),
            ("${none ?? z}", "z"),
            ("$none.", "."),
            ("\\$uri", "$uri"),
            ("a$", "a$"),
            ("$$uri", "$/a"),
            ("${", "${"),
            ("\\", "\\"),
            ("é$uri", "é/a"),
            ("$uri.html", "/a.html"),
            ("$post_arg.a.b, $post_arg.a.b.", "p, p."),
            ("${post_arg.l[*].n}${ post_arg.a.b }", "qp"),
            ("$post_arg.", "."),
            ("${uri[*]}", "${uri[*]}"),
        ] {
            assert_eq!(Template::parse(text).render(&fixed), wanted, "{text}");
        }
        for (text, counted) in
            [("$uri $none", 1), ("$none", 0), ("${none ?? z}", 1), ("${none ?? }$arg_x", 2)]
        {
            assert_eq!(Template::parse(text).render_counted(&fixed).1, counted, "{text}");
        }
        assert_eq!(Template::parse("a\\$b").as_constant(), Some("a$b"));
        assert!(!Template::parse("$uri").is_constant());
    }
}
