//! One parameter of an operation, and how an argument is written where it stands.

use serde_json::{Value, json};

use crate::form::escaped;

/// Header fields that no argument sets either: OpenAPI describes the first three elsewhere, the others say how a body is written or whose a request is.
const KEPT: [&str; 12] = [
    "accept",
    "authorization",
    "content-type",
    "accept-encoding",
    "content-encoding",
    "cookie",
    "forwarded",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "via",
    "x-real-ip",
];

/// Header fields that frame a request or say where it goes: nobody sets them.
const FRAMING: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header field is the gateway's own to write.
pub(super) fn is_framing(name: &str) -> bool {
    FRAMING.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// A parameter.
pub(super) struct Parameter {
    pub(super) name: String,
    /// What its argument is called.
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) is_needed: bool,
    pub(super) description: String,
    pub(super) schema: Value,
    style: Style,
    is_exploded: bool,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

impl Place {
    /// The argument that holds all parameters of this place.
    pub(super) const fn group(self) -> &'static str {
        match self {
            Self::Path => "pathParameters",
            Self::Query => "queryParameters",
            Self::Header => "headerParameters",
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    Space,
    Pipe,
    Deep,
    /// JSON in a text.
    Json,
}

impl Parameter {
    /// A parameter that can be an argument; `None` for cookies and for header fields that are nobody's to set.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(written: &Value) -> Result<Option<Self>, String> {
        let text = |member: &str| written.get(member).and_then(Value::as_str);
        let name = text("name").filter(|name| !name.is_empty()).ok_or("a parameter has no name")?.to_owned();
        let place = match text("in") {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            Some("cookie") => return Ok(None),
            other => return Err(format!("parameter {name:?} is in {other:?}")),
        };
        let lower = name.to_ascii_lowercase();
        let is_kept =
            is_framing(&name) || KEPT.contains(&lower.as_str()) || lower.starts_with("x-forwarded-");
        if place == Place::Header && is_kept {
            return Ok(None);
        }
        let content = written.get("content").and_then(Value::as_object).and_then(|all| all.values().next());
        let schema = written.get("schema").or_else(|| content.and_then(|content| content.get("schema")));
        let style = match (text("style"), place) {
            _ if content.is_some() => Style::Json,
            (None | Some("form"), Place::Query) => Style::Form,
            (Some("spaceDelimited"), Place::Query) => Style::Space,
            (Some("pipeDelimited"), Place::Query) => Style::Pipe,
            (Some("deepObject"), Place::Query) => Style::Deep,
            (None | Some("simple"), Place::Path | Place::Header) => Style::Simple,
            (Some("label"), Place::Path) => Style::Label,
            (Some("matrix"), Place::Path) => Style::Matrix,
            (Some(other), _) => {
                return Err(format!(
                    "parameter {name:?} has the style {other:?}, which its place doesn't know"
                ));
            }
        };
        Ok(Some(Self {
            key: name.clone(),
            is_needed: written.get("required") == Some(&Value::Bool(true)) || place == Place::Path,
            description: text("description").unwrap_or_default().to_owned(),
            schema: schema.cloned().unwrap_or_else(|| json!({ "type": "string" })),
            is_exploded: written
                .get("explode")
                .and_then(Value::as_bool)
                .unwrap_or(matches!(style, Style::Form | Style::Deep)),
            name,
            place,
            style,
        }))
    }

    /// A parameter of a path that the document doesn't describe.
    pub(super) fn of_path(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            key: name.to_owned(),
            place: Place::Path,
            is_needed: true,
            description: String::new(),
            schema: json!({ "type": "string" }),
            style: Style::Simple,
            is_exploded: false,
        }
    }

    /// The texts of which a value is made in a path or a header, and what joins them.
    pub(super) fn plain(&self, value: &Value) -> Plain {
        let label = |kind: &'static str| if self.is_exploded { kind } else { "," };
        let (before, joint) = match self.style {
            Style::Label => (".".to_owned(), label(".")),
            Style::Matrix if self.is_exploded && !value.is_object() => (format!(";{}=", self.name), ";"),
            Style::Matrix if self.is_exploded => (";".to_owned(), ";"),
            Style::Matrix => (format!(";{}=", self.name), ","),
            Style::Json => return Plain::one(value.to_string()),
            _ => (String::new(), ","),
        };
        // Each value of an exploded matrix has the name anew.
        let joint = if self.style == Style::Matrix && self.is_exploded && value.is_array() {
            format!("{joint}{}=", self.name)
        } else {
            joint.to_owned()
        };
        let texts = match value {
            Value::Array(items) => items.iter().map(|item| vec![word(item)]).collect(),
            Value::Object(members) if self.is_exploded => {
                members.iter().map(|(name, value)| vec![name.clone(), word(value)]).collect()
            }
            Value::Object(members) => {
                members.iter().flat_map(|(name, value)| [vec![name.clone()], vec![word(value)]]).collect()
            }
            one => vec![vec![word(one)]],
        };
        Plain { before, joint, texts }
    }

    /// Writes a value into a query.
    pub(super) fn query(&self, value: &Value, out: &mut String) {
        let mut put = |name: &str, value: &str| {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(name);
            out.push('=');
            out.push_str(value);
        };
        let name = escaped(&self.name);
        let joint = match self.style {
            Style::Space => "%20",
            Style::Pipe => "%7C",
            _ => ",",
        };
        match (self.style, value) {
            (_, Value::Null) => {}
            (Style::Json, value) => put(&name, &escaped(&value.to_string())),
            (Style::Deep, Value::Object(members)) => {
                for (member, value) in members {
                    let name = format!("{name}%5B{}%5D", escaped(member));
                    match value {
                        Value::Array(items) => {
                            items.iter().for_each(|item| put(&name, &escaped(&word(item))));
                        }
                        one => put(&name, &escaped(&word(one))),
                    }
                }
            }
            (_, Value::Array(items)) if self.is_exploded => {
                items.iter().for_each(|item| put(&name, &escaped(&word(item))));
            }
            (_, Value::Object(members)) if self.is_exploded => {
                members.iter().for_each(|(member, value)| put(&escaped(member), &escaped(&word(value))));
            }
            (_, Value::Array(items)) => {
                let texts: Vec<String> = items.iter().map(|item| escaped(&word(item))).collect();
                put(&name, &texts.join(joint));
            }
            (_, Value::Object(members)) => {
                let texts = members.iter().flat_map(|(name, value)| [escaped(name), escaped(&word(value))]);
                put(&name, &texts.collect::<Vec<_>>().join(joint));
            }
            (_, one) => put(&name, &escaped(&word(one))),
        }
    }
}

/// A value as texts, each of one piece, or of a name and a value with `=` between them.
pub(super) struct Plain {
    before: String,
    joint: String,
    texts: Vec<Vec<String>>,
}

impl Plain {
    fn one(text: String) -> Self {
        Self { before: String::new(), joint: ",".to_owned(), texts: vec![vec![text]] }
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &String> {
        self.texts.iter().flatten()
    }

    /// The whole, each piece written by `write`.
    pub(super) fn written(&self, write: impl Fn(&str) -> String) -> String {
        let texts = self.texts.iter().map(|pieces| {
            let pieces: Vec<String> = pieces.iter().map(|piece| write(piece)).collect();
            pieces.join("=")
        });
        format!("{}{}", self.before, texts.collect::<Vec<_>>().join(&self.joint))
    }
}

/// One value as a text.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
