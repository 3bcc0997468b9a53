//! One parameter of an operation: where it stands, how it is written, and what it has to be.

use serde_json::{Map, Value};
use usher_pipeline::request::Request;

use super::Skipped;
use super::schema::Compiler;
use crate::form::decode;
use crate::request_validation::rules::Rules;

/// How many arguments of a query are looked at.
const MAX_ARGUMENTS: usize = 256;

/// A parameter.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) place: Place,
    is_needed: bool,
    is_exploded: bool,
    separator: char,
    kind: Kind,
    rules: Option<Rules>,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// What a text is read as, before it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    List(Box<Kind>),
    Object(Vec<(String, Kind)>),
    /// JSON in a text.
    Json,
}

impl Parameter {
    /// Compiles a parameter.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(compiler: &Compiler<'_>, written: &Value) -> Result<Self, String> {
        let text = |member: &str| written.get(member).and_then(Value::as_str);
        let name = text("name").ok_or("a parameter has no name")?.to_owned();
        let place = match text("in") {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            Some("cookie") => Place::Cookie,
            other => return Err(format!("parameter {name:?} is in {other:?}")),
        };
        let content =
            written.get("content").and_then(Value::as_object).and_then(|content| content.values().next());
        let schema = written.get("schema").or_else(|| content.and_then(|content| content.get("schema")));
        let style = text("style").unwrap_or(if matches!(place, Place::Query | Place::Cookie) {
            "form"
        } else {
            "simple"
        });
        let separator = match style {
            "spaceDelimited" => ' ',
            "pipeDelimited" => '|',
            _ => ',',
        };
        let kind = match (content, schema) {
            (Some(_), _) => Kind::Json,
            (None, Some(schema)) => kind_of(compiler, schema, 0)?,
            (None, None) => Kind::Text,
        };
        let rules = schema.map(|schema| compiler.compile(schema)).transpose();
        Ok(Self {
            is_needed: written.get("required") == Some(&Value::Bool(true)) || place == Place::Path,
            is_exploded: written.get("explode").and_then(Value::as_bool).unwrap_or(style == "form"),
            separator,
            kind,
            rules: rules.map_err(|reason| format!("parameter {name:?}: {reason}"))?,
            name,
            place,
        })
    }

    /// Whether it is left unjudged.
    pub(super) const fn is_skipped(&self, skipped: Skipped) -> bool {
        match self.place {
            Place::Path => skipped.path,
            Place::Query => skipped.query,
            Place::Header | Place::Cookie => skipped.header,
        }
    }

    /// Judges it in a request.
    ///
    /// # Errors
    /// What doesn't fit.
    pub(super) fn judge(&self, request: &Request, in_path: &[(&str, String)]) -> Result<(), String> {
        // Three headers are described elsewhere in a document, whatever it says of them as parameters.
        let is_ignored = ["accept", "content-type", "authorization"]
            .iter()
            .any(|name| self.name.eq_ignore_ascii_case(name));
        if self.place == Place::Header && is_ignored {
            return Ok(());
        }
        let Some(value) = self.value(request, in_path) else {
            return if self.is_needed { Err(format!("{} is missing", self.told())) } else { Ok(()) };
        };
        match &self.rules {
            Some(rules) => rules.check(&value).map_err(|reason| format!("{}: {reason}", self.told())),
            None => Ok(()),
        }
    }

    fn told(&self) -> String {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
            Place::Cookie => "cookie",
        };
        format!("{place} parameter {:?}", self.name)
    }

    fn value(&self, request: &Request, in_path: &[(&str, String)]) -> Option<Value> {
        let texts: Vec<String> = match self.place {
            Place::Path => in_path
                .iter()
                .filter(|(name, _)| *name == self.name)
                .map(|(_, value)| value.clone())
                .collect(),
            Place::Header => request
                .head
                .get_all(&self.name)
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect(),
            Place::Cookie => request.cookie(&self.name).map(str::to_owned).into_iter().collect(),
            Place::Query => {
                let pairs = request.query().unwrap_or_default().split('&').take(MAX_ARGUMENTS);
                let pairs: Vec<(String, String)> = pairs
                    .filter(|pair| !pair.is_empty())
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .map(|(name, value)| (decode(name), decode(value)))
                    .collect();
                if let Kind::Object(members) = &self.kind {
                    return self.object(&pairs, members);
                }
                pairs.into_iter().filter(|(name, _)| *name == self.name).map(|(_, value)| value).collect()
            }
        };
        let first = texts.first()?;
        Some(match &self.kind {
            Kind::List(item) if self.is_exploded && self.place == Place::Query => {
                texts.iter().map(|text| read(text, item)).collect()
            }
            Kind::List(item) => texts
                .iter()
                .flat_map(|text| text.split(self.separator))
                .map(|text| read(text.trim(), item))
                .collect(),
            // Several values where one is meant are a list, which fits no rule for one.
            _ if texts.len() > 1 => texts.iter().map(|text| Value::from(text.as_str())).collect(),
            kind => read(first, kind),
        })
    }

    /// An object among the query's arguments: `name[member]=`, or the members themselves.
    fn object(&self, pairs: &[(String, String)], members: &[(String, Kind)]) -> Option<Value> {
        let mut found = Map::new();
        for (key, value) in pairs {
            let inside =
                key.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
            let Some(member) =
                inside.or_else(|| members.iter().any(|(name, _)| name == key).then_some(key.as_str()))
            else {
                continue;
            };
            let kind = members.iter().find(|(name, _)| name == member).map_or(&Kind::Text, |(_, kind)| kind);
            found.insert(member.to_owned(), read(value, kind));
        }
        (!found.is_empty()).then_some(Value::Object(found))
    }
}

/// A text as what it is meant to be; one that can't be that stays a text, which fits no rule for it.
pub(super) fn read(text: &str, kind: &Kind) -> Value {
    let read = match kind {
        Kind::Text | Kind::List(_) | Kind::Object(_) => None,
        Kind::Integer => text.parse::<i64>().ok().map(Value::from),
        Kind::Number => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        Kind::Boolean => text.parse::<bool>().ok().map(Value::from),
        Kind::Json => serde_json::from_str(text).ok(),
    };
    read.unwrap_or_else(|| text.into())
}

/// What a text has to be read as for this schema.
pub(super) fn kind_of(compiler: &Compiler<'_>, schema: &Value, depth: usize) -> Result<Kind, String> {
    if depth > 8 {
        return Ok(Kind::Text);
    }
    let schema = compiler.resolve(schema)?;
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
        }
        _ => Vec::new(),
    };
    Ok(match kinds.as_slice() {
        ["integer"] => Kind::Integer,
        ["number"] => Kind::Number,
        ["boolean"] => Kind::Boolean,
        ["array"] => match schema.get("items") {
            Some(items) => Kind::List(Box::new(kind_of(compiler, items, depth + 1)?)),
            None => Kind::List(Box::new(Kind::Text)),
        },
        ["object"] => {
            let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            let members =
                members.map(|(name, member)| Ok((name.clone(), kind_of(compiler, member, depth + 1)?)));
            Kind::Object(members.collect::<Result<_, String>>()?)
        }
        // A choice between schemas: the first that says what it is.
        [] => {
            let choices =
                ["allOf", "oneOf", "anyOf"].iter().filter_map(|name| schema.get(*name)?.as_array()).flatten();
            for choice in choices {
                match kind_of(compiler, choice, depth + 1)? {
                    Kind::Text => {}
                    found => return Ok(found),
                }
            }
            Kind::Text
        }
        _ => Kind::Text,
    })
}
