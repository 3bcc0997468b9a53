//! What is wrong with a document, and where.

use std::fmt;

use crate::nearest::nearest;

/// A mistake in a document. Shown as `line 12: route r1: upstream.nodes: ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// The line, from 1; `None` where the text as a whole is meant.
    pub line: Option<u64>,
    /// The object, such as `route r1` or `routes[3]`; empty outside of any.
    pub object: String,
    /// The member, dotted, such as `upstream.nodes`; empty where the whole object is meant.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub reason: String,
}

impl DocumentError {
    /// About the text as a whole.
    pub(super) fn whole(reason: impl Into<String>) -> Self {
        Self { line: None, object: String::new(), field: String::new(), reason: reason.into() }
    }

    /// About one line, outside of any object.
    pub(super) fn at(line: u64, reason: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::whole(reason) }
    }

    /// About one object.
    pub(super) fn of(line: u64, object: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self { object: object.to_string(), ..Self::at(line, reason) }
    }

    /// The same, about a member.
    pub(super) fn field(self, field: impl Into<String>) -> Self {
        Self { field: field.into(), ..self }
    }
}

/// `; did you mean x?` where something known is near, and what is allowed.
pub(super) fn instead<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let hint = nearest(name, known.clone()).map(|near| format!("did you mean {near}? "));
    let known: Vec<&str> = known.collect();
    format!("{}allowed are {}", hint.unwrap_or_default(), known.join(", "))
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        for part in [&self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for DocumentError {}
