//! Paths with names in them, such as `/users/{id}/files/{name}.txt`.

use crate::pattern::Pattern;
use crate::request_validation::reading::percent_decoded;

/// A path with names in it.
pub(super) struct Template {
    segments: Vec<Segment>,
    names: usize,
}

enum Segment {
    Exact(String),
    Whole(String),
    /// Names among other text.
    Mixed(Pattern, Vec<String>),
}

impl Template {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(path: &str) -> Result<Self, String> {
        let mut names = 0;
        let segments = path.split('/').skip(1).map(|segment| {
            let pieces = pieces(segment)?;
            let named: Vec<String> =
                pieces.iter().filter(|(_, is_name)| *is_name).map(|(text, _)| (*text).to_owned()).collect();
            names += named.len();
            Ok(match (named.as_slice(), pieces.len()) {
                ([], _) => Segment::Exact(segment.to_owned()),
                ([name], 1) => Segment::Whole(name.clone()),
                _ => {
                    let parts = pieces
                        .iter()
                        .map(|(text, is_name)| if *is_name { "([^/]+)".to_owned() } else { literal(text) });
                    let pattern = Pattern::new(&format!("^{}$", parts.collect::<String>()))?;
                    Segment::Mixed(pattern, named)
                }
            })
        });
        let segments = segments.collect::<Result<Vec<_>, String>>()?;
        Ok(Self { segments, names })
    }

    /// How little it says: a path without names comes first.
    pub(super) const fn openness(&self) -> usize {
        self.names
    }

    /// The values of the names, decoded; `None` where the path is another.
    pub(super) fn values(&self, path: &str) -> Option<Vec<(&str, String)>> {
        let mut values = Vec::with_capacity(self.names);
        let mut parts = path.strip_prefix('/')?.split('/');
        let decoded = |text: &str| percent_decoded(text.as_bytes(), b'+').ok();
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Exact(exact) if exact == part => {}
                Segment::Exact(_) => return None,
                Segment::Whole(_) if part.is_empty() => return None,
                Segment::Whole(name) => values.push((name.as_str(), decoded(part)?)),
                Segment::Mixed(pattern, names) => {
                    let groups = pattern.groups(part.as_bytes()).ok()??;
                    for (at, name) in names.iter().enumerate() {
                        let range = groups.get(at + 1)?.clone()?;
                        values.push((name.as_str(), decoded(part.get(range)?)?));
                    }
                }
            }
        }
        parts.next().is_none().then_some(values)
    }
}

/// A segment's texts and names, in order.
fn pieces(segment: &str) -> Result<Vec<(&str, bool)>, String> {
    let mut pieces = Vec::new();
    let mut rest = segment;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or("a { has no }")?;
        if !before.is_empty() {
            pieces.push((before, false));
        }
        pieces.push((name, true));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push((rest, false));
    }
    Ok(pieces)
}

fn literal(text: &str) -> String {
    let escape = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("\\x{byte:02x}") }
    };
    text.bytes().map(escape).collect()
}
