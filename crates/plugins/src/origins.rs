//! Which origins are admitted: by name, by pattern, or all of them.
//!
//! Settled once per configuration, so that a request costs one look-up.

use std::collections::HashSet;

use usher_pipeline::plugin::BuildError;

use crate::pattern::Pattern;

/// How origins may be written: `*`, `**`, `null`, or a list of `scheme://host[:port]`.
pub(crate) const PATTERN: &str = r"^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$";

/// Which origins are admitted.
#[derive(Debug)]
pub(crate) enum Origins {
    /// Everybody, as `*`.
    All,
    /// Everybody, by their own name.
    Echoed,
    /// These.
    Named(HashSet<Vec<u8>>),
    /// Those that a pattern matches.
    Matched(Vec<Pattern>),
}

impl Origins {
    /// Reads `origins`, or the patterns instead where there are any.
    ///
    /// # Errors
    /// A pattern that isn't one.
    pub(crate) fn of(origins: &str, patterns: Option<&[String]>) -> Result<Self, BuildError> {
        if let Some(patterns) = patterns {
            let compile = |pattern: &String| {
                Pattern::new(pattern).map_err(|error| {
                    BuildError::new(format!("invalid regex {pattern:?} of origins: {error}"))
                })
            };
            return Ok(Self::Matched(patterns.iter().map(compile).collect::<Result<_, _>>()?));
        }
        Ok(match origins {
            "*" => Self::All,
            "**" => Self::Echoed,
            list => Self::Named(list.split(',').map(|origin| origin.as_bytes().to_vec()).collect()),
        })
    }

    /// What to answer to this origin; `None` when it is not admitted.
    pub(crate) fn admits<'o>(&self, origin: Option<&'o [u8]>) -> Option<&'o [u8]> {
        match self {
            Self::All => Some(b"*"),
            Self::Echoed => Some(origin.unwrap_or(b"*")),
            Self::Named(named) => origin.filter(|origin| named.contains(*origin)),
            Self::Matched(patterns) => {
                origin.filter(|origin| patterns.iter().any(|pattern| pattern.is_match(origin)))
            }
        }
    }
}
