//! An operation's path with arguments in it: none can leave the segment that it stands in.

use serde_json::Value;

use super::parameter::{Parameter, Place};
use crate::form::{decode_bytes, escaped};

/// How often a text may have been escaped before: servers behind servers decode more than once.
const MOST_DECODED: usize = 4;

/// A path.
pub(super) struct Path {
    written: String,
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    /// The name of a parameter.
    Argument(String),
}

impl Path {
    /// Reads a path, and adds the parameters that only stand in it.
    ///
    /// # Errors
    /// It can't be asked for.
    pub(super) fn new(written: &str, parameters: &mut Vec<Parameter>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = written;
        while let Some((text, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("a { of its path has no }")?;
            if name.is_empty() || name.contains(['/', '{']) {
                return Err(format!("{{{name}}} in its path is no parameter"));
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            let is_it = |known: &Parameter| known.place == Place::Path && known.name == name;
            if !parameters.iter().any(is_it) {
                parameters.push(Parameter::of_path(name));
            }
            parts.push(Part::Argument(name.to_owned()));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let texts = parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Argument(_) => None,
        });
        for text in texts {
            let is_sendable =
                text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\\"<>^`|}".contains(&byte));
            if !is_sendable || text.split('/').any(is_dots) {
                return Err(format!("{text:?} in its path can't be asked for"));
            }
        }
        parameters.retain(|parameter| {
            let is_used = |part: &Part| matches!(part, Part::Argument(name) if *name == parameter.name);
            parameter.place != Place::Path || parts.iter().any(is_used)
        });
        Ok(Self { written: written.to_owned(), parts })
    }

    /// As the document has it.
    pub(super) fn written(&self) -> &str {
        &self.written
    }

    /// The path with arguments.
    ///
    /// # Errors
    /// The argument that would lead elsewhere, or isn't there.
    pub(super) fn with<'v>(
        &self,
        argument: impl Fn(&str) -> Option<(&'v Parameter, &'v Value)>,
    ) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Argument(name) => {
                    let (parameter, value) =
                        argument(name).ok_or_else(|| format!("path parameter {name:?} is missing"))?;
                    let plain = parameter.plain(value);
                    let wrong = plain.pieces().find_map(|text| Some((text, leaves(text)?)));
                    if let Some((text, why)) = wrong {
                        return Err(format!("path parameter {name:?} is {text:?}, which {why}"));
                    }
                    if plain.pieces().next().is_none() {
                        return Err(format!("path parameter {name:?} is empty, which names nothing"));
                    }
                    out.push_str(&plain.written(escaped));
                }
            }
        }
        // Two arguments side by side make one segment.
        if out.split('/').any(is_dots) {
            return Err(format!("the arguments make the path {out:?}, which leads elsewhere"));
        }
        Ok(out)
    }
}

/// Why a text would not stay in its segment.
fn leaves(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("names nothing");
    }
    let mut seen = text.as_bytes().to_vec();
    for _ in 0..MOST_DECODED {
        if seen.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
            return Some("has a slash, plain or escaped; a path parameter is one segment");
        }
        if seen.iter().any(u8::is_ascii_control) {
            return Some("has a control character");
        }
        // Some servers read a segment without what stands behind its semicolon.
        if matches!(seen.split(|byte| *byte == b';').next(), Some(b"." | b"..")) {
            return Some("leads elsewhere");
        }
        let decoded = decode_bytes(&String::from_utf8_lossy(&seen));
        if decoded == seen {
            return None;
        }
        seen = decoded;
    }
    Some("is escaped too often")
}

fn is_dots(segment: &str) -> bool {
    let bare = segment.split(';').next().unwrap_or_default();
    matches!(decode_bytes(bare).as_slice(), b"." | b"..")
}
