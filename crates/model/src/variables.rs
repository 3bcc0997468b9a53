//! Variables: what expressions and templates may ask of a request, by APISIX's names.
//!
//! A trait rather than a map, because a request computes a variable only when something asks for it.

use std::borrow::Cow;

/// Something that answers variables by name, such as a request on its way through the gateway.
pub trait Variables {
    /// The variable's value; `None` when it is unknown or absent. Names have no leading `$`.
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// The variable's values where it is a list (`graphql_root_fields`), for the operator `has`.
    fn list(&self, _name: &str) -> Option<Vec<Cow<'_, [u8]>>> {
        None
    }
}

/// Whether a variable of this name is looked for in the request's body.
#[must_use]
pub fn is_of_body(name: &str) -> bool {
    name.starts_with("post_arg") || name.starts_with("graphql_")
}

/// Whether a text names such a variable anywhere, as a template or a script does.
#[must_use]
pub fn names_body(text: &str) -> bool {
    text.contains("post_arg") || text.contains("graphql_")
}

/// A fixed set of variables, for tests and for requests that are only described.
impl Variables for [(&str, &str)] {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(value.as_bytes()))
    }
}
