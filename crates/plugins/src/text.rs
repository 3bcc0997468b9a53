//! Texts that users write with variables in them, parsed once and rendered per request.
//!
//! A text without variables costs nothing per request. The views below answer some variables differently for one text, so that no value is ever
//! pasted into a template and read again as one.

use std::borrow::Cow;
use std::cell::Cell;

use usher_model::template::Template;
use usher_model::variables::Variables;

use crate::pattern::{Groups, group_text};

/// A text with variables, or without.
#[derive(Debug)]
pub(crate) enum Text {
    /// The same for every request.
    Constant(String),
    /// Rendered per request.
    Varying(Template),
}

impl Text {
    /// Reads a text: `$var`, `${var}`, `${var ?? default}`, and `\$` for a dollar sign.
    pub(crate) fn parse(text: &str) -> Self {
        let template = Template::parse(text);
        match template.as_constant() {
            Some(constant) => Self::Constant(constant.to_owned()),
            None => Self::Varying(template),
        }
    }

    /// Whether it is the same for every request.
    pub(crate) const fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    /// The text for this request.
    pub(crate) fn render(&self, variables: &dyn Variables) -> Cow<'_, [u8]> {
        match self {
            Self::Constant(text) => Cow::Borrowed(text.as_bytes()),
            Self::Varying(template) => {
                let mut out = Vec::new();
                template.render_into(variables, &mut out);
                Cow::Owned(out)
            }
        }
    }

    /// The text for this request; `None` when not one of its variables has a value. A default is one.
    pub(crate) fn render_resolved(&self, variables: &dyn Variables) -> Option<Cow<'_, [u8]>> {
        let has_default = matches!(self, Self::Varying(template) if template.has_default());
        let counting = Counting { inner: variables, found: Cell::new(usize::from(has_default)) };
        let text = self.render(&counting);
        (counting.found.get() > 0).then_some(text)
    }
}

/// Counts the variables that have a value.
struct Counting<'a> {
    inner: &'a dyn Variables,
    found: Cell<usize>,
}

impl Variables for Counting<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let value = self.inner.variable(name)?;
        self.found.set(self.found.get() + 1);
        Some(value)
    }
}

/// Answers `$1` and the like from what a pattern captured.
pub(crate) struct Captured<'a> {
    /// All other variables.
    pub(crate) inner: &'a dyn Variables,
    /// The text that was matched, with its groups; `None` where nothing matched.
    pub(crate) groups: Option<(&'a [u8], &'a Groups)>,
}

impl Variables for Captured<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.inner.variable(name);
        }
        let (text, groups) = self.groups?;
        name.parse().ok().map(|group| Cow::Borrowed(group_text(text, groups, group)))
    }
}

/// Encodes question marks in values, so that a value can't begin a query of its own.
pub(crate) struct InPath<'a>(pub(crate) &'a dyn Variables);

impl Variables for InPath<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let value = self.0.variable(name)?;
        if !value.contains(&b'?') {
            return Some(value);
        }
        let pieces: Vec<&[u8]> = value.split(|byte| *byte == b'?').collect();
        Some(Cow::Owned(pieces.join(b"%3F".as_slice())))
    }
}

#[cfg(test)]
mod tests {
    use usher_model::variables::Variables;

    use super::{Captured, InPath, Text};
    use crate::pattern::Pattern;

    const VARIABLES: &[(&str, &str)] = &[("host", "a.test"), ("arg_x", "1?2?"), ("sly", "$host")];

    /// Gives the fixed table a size, which a trait object needs.
    struct Table;

    impl Variables for Table {
        fn variable(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
            VARIABLES.variable(name)
        }
    }

    #[test]
    fn values_stay_values() {
        let pattern = Pattern::new("(.)-(.*)").unwrap();
        let groups = pattern.groups(b"a-$host").unwrap().unwrap();
        let captured = Captured { inner: &Table, groups: Some((b"a-$host", &groups)) };
        for (text, expected) in [
            ("plain", "plain"),
            ("$host/${arg_x}", "a.test/1?2?"),
            ("$1|$2|$3|", "a|$host||"),
            ("$sly", "$host"),
        ] {
            assert_eq!(String::from_utf8_lossy(&Text::parse(text).render(&captured)), expected, "{text}");
        }
        assert_eq!(&*Text::parse("/$arg_x?q").render(&InPath(&Table)), b"/1%3F2%3F?q");
    }

    #[test]
    fn knows_whether_any_variable_had_a_value() {
        for (text, resolved) in
            [("plain", false), ("$nope", false), ("$nope$host", true), ("${nope ?? x}", true)]
        {
            assert_eq!(Text::parse(text).render_resolved(&Table).is_some(), resolved, "{text}");
        }
    }
}
