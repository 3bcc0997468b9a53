//! What becomes of a value that is to be hidden.

use serde_json::Value;

use super::{LONGEST, What};
use crate::pattern::{Pattern, Replacement, Scope};

/// What becomes of a value.
pub(super) enum Action {
    Remove,
    Replace(String),
    Regex(Box<Pattern>, Replacement),
}

impl Action {
    /// # Errors
    /// What is wrong with the pattern, or missing.
    pub(super) fn new(what: What, regex: Option<&str>, value: Option<&str>) -> Result<Self, String> {
        let needed = |member: &str| format!("property \"{member}\" is required");
        Ok(match what {
            What::Remove => Self::Remove,
            What::Replace => Self::Replace(value.ok_or_else(|| needed("value"))?.to_owned()),
            What::Regex => {
                let regex = regex.ok_or_else(|| needed("regex"))?;
                let pattern = Pattern::new(regex).map_err(|error| format!("regex \"{regex}\": {error}"))?;
                let value = value.ok_or_else(|| needed("value"))?;
                Self::Regex(Box::new(pattern), Replacement::parse(value))
            }
        })
    }

    /// The new text; `None` takes the value away. Where a pattern gives up, nobody knows what it would have hidden.
    pub(super) fn apply(&self, text: &str) -> Option<String> {
        match self {
            Self::Remove => None,
            Self::Replace(value) => Some(value.clone()),
            Self::Regex(pattern, replacement) => {
                let limit = LONGEST.max(text.len());
                match pattern.replace(text.as_bytes(), replacement, Scope::Once, limit) {
                    Ok(Some(new)) => Some(String::from_utf8_lossy(&new).into_owned()),
                    Ok(None) => Some(text.to_owned()),
                    Err(_) => Some(String::from_utf8_lossy(super::HIDDEN).into_owned()),
                }
            }
        }
    }

    /// The same of a value of JSON. What is no text is one by its JSON.
    pub(super) fn apply_to(&self, value: &Value) -> Option<Value> {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let new = self.apply(&text)?;
        // A pattern that finds nothing leaves a number a number.
        Some(if new == text { value.clone() } else { Value::String(new) })
    }
}
