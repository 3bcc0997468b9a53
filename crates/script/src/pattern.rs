//! Patterns that users write, in PCRE's dialect as APISIX takes them: on bytes, in linear time where that is possible, bounded where it isn't.
//!
//! Scripts and plugins compile them here, so that one pattern means the same in both.

use fancy_regex::{BytesMode, Regex, RegexBuilder};

/// The largest compiled program, in bytes.
const MAX_PROGRAM_BYTES: usize = 1 << 20;
/// The largest cache of a lazy automaton, in bytes.
const MAX_AUTOMATON_BYTES: usize = 2 << 20;
/// How often a pattern with look-around may step back before it counts as not matching.
const MAX_STEPS_BACK: usize = 100_000;

/// Why a pattern can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadPattern {
    /// A letter among its options that means nothing.
    #[error("unknown flag \"{0}\"")]
    Flag(char),
    /// It is no pattern, or too large a one.
    #[error("{0}")]
    Pattern(String),
}

/// Compiles a pattern with nginx's option letters: `i`, `m`, `s`, `x` and `a` mean something; `j`, `o`, `u`, `U`, `d`, `D`, `J` are about PCRE's own
/// machinery.
///
/// # Errors
/// [`BadPattern`].
pub fn pattern(text: &str, options: &str) -> Result<Regex, BadPattern> {
    let anchored = options.contains('a').then(|| format!(r"\A(?:{text})"));
    let mut builder = RegexBuilder::new(anchored.as_deref().unwrap_or(text));
    builder
        .backtrack_limit(MAX_STEPS_BACK)
        .delegate_size_limit(MAX_PROGRAM_BYTES)
        .delegate_dfa_size_limit(MAX_AUTOMATON_BYTES);
    for option in options.chars() {
        match option {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            'a' | 'j' | 'o' | 'u' | 'U' | 'd' | 'D' | 'J' => &mut builder,
            unknown => return Err(BadPattern::Flag(unknown)),
        };
    }
    // Classes with letters beyond ASCII exist only in the Unicode mode; everything else means the same as in PCRE without it.
    let compiled = builder.bytes_mode(BytesMode::Ascii).build();
    let compiled = compiled.or_else(|_| builder.bytes_mode(BytesMode::UnicodeBytes).build());
    compiled.map_err(|error| BadPattern::Pattern(error.to_string()))
}
