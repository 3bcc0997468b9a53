//! A YAML or JSON text as a tree that knows its lines.
//!
//! JSON is read by the same reader, because YAML contains it, so that a mistake in JSON has a line too.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use super::{DocumentError, Format};

/// The largest text, in bytes: 200,000 objects with room to spare.
const MOST_BYTES: usize = 256 << 20;

/// Values in one text at most, those that aliases repeat counted each time.
const MOST_NODES: usize = 12_000_000;

/// Values that aliases may repeat at most: enough for anchors that people write, too few for a bomb.
const MOST_REPEATED: usize = 200_000;

/// How deep lists and maps may lie inside each other.
const DEEPEST: usize = 64;

/// A value and the line on which it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) shape: Shape,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// A member of a map.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// The line of the name.
    pub(super) line: u64,
    pub(super) node: Node,
}

/// Reads a text; an empty one is null.
///
/// # Errors
/// It is no YAML (JSON), or larger than what one document may be.
pub(super) fn parse(text: &str, format: Format) -> Result<Node, DocumentError> {
    if text.len() > MOST_BYTES {
        return Err(DocumentError::whole(format!(
            "the document has {} bytes, at most {MOST_BYTES} are read; split it",
            text.len()
        )));
    }
    if format == Format::Json {
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| {
            let line = u64::try_from(error.line()).ok().filter(|line| *line > 0);
            DocumentError { line, ..DocumentError::whole(format!("this is no JSON: {error}")) }
        })?;
    }
    if text.trim().is_empty() {
        return Ok(Node { line: 1, shape: Shape::Null });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: MOST_NODES * 2,
            max_nodes: MOST_NODES,
            max_depth: DEEPEST,
            max_total_scalar_bytes: MOST_BYTES,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_REPEATED },
        with_snippet: false,
        emit_comments: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
        let said = error.without_snippet().to_string();
        // The line stands in front already, and how the reader is programmed helps nobody.
        let end = [" at line ", ", set "].into_iter().filter_map(|end| said.find(end)).min();
        let said =
            end.and_then(|end| said.get(..end)).unwrap_or(&said).trim_end_matches([':', ',']).to_owned();
        DocumentError { line, ..DocumentError::whole(said) }
    })
}

impl Node {
    /// A text that stands on this line.
    pub(super) fn text(line: u64, text: impl Into<String>) -> Self {
        Self { line, shape: Shape::Text(text.into()) }
    }

    /// The members, where it is a map.
    pub(super) fn members(&self) -> Option<&[Member]> {
        match &self.shape {
            Shape::Map(members) => Some(members),
            _ => None,
        }
    }

    /// A member of a map.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.members()?.iter().find(|member| member.name == name).map(|member| &member.node)
    }

    /// A member of a map, to be changed in place.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.shape {
            Shape::Map(members) => {
                members.iter_mut().find(|member| member.name == name).map(|member| &mut member.node)
            }
            _ => None,
        }
    }

    /// A text, or a whole number as text: what an id may be.
    pub(super) fn id_text(&self) -> Option<String> {
        match &self.shape {
            Shape::Text(text) => Some(text.clone()),
            Shape::Number(number) => {
                let number = crate::kind::whole(number).unwrap_or_else(|| number.clone());
                number.is_u64().then(|| number.to_string())
            }
            _ => None,
        }
    }

    /// Takes a member out of a map.
    pub(super) fn take(&mut self, name: &str) -> Option<Member> {
        match &mut self.shape {
            Shape::Map(members) => {
                let at = members.iter().position(|member| member.name == name)?;
                Some(members.remove(at))
            }
            _ => None,
        }
    }

    /// Puts a member of a map first, in place of one of that name.
    pub(super) fn put(&mut self, name: &str, node: Self) {
        self.take(name);
        let line = node.line;
        if let Shape::Map(members) = &mut self.shape {
            members.insert(0, Member { name: name.to_owned(), line, node });
        }
    }

    /// Gives a member another name; what has that name already stays, and the member is left for the schema to refuse.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if self.get(to).is_some() {
            return;
        }
        if let Shape::Map(members) = &mut self.shape
            && let Some(member) = members.iter_mut().find(|member| member.name == from)
        {
            to.clone_into(&mut member.name);
        }
    }

    /// As a word for messages.
    pub(super) const fn word(&self) -> &'static str {
        match &self.shape {
            Shape::Null => "nothing",
            Shape::Bool(_) => "true or false",
            Shape::Number(_) => "a number",
            Shape::Text(_) => "a text",
            Shape::List(_) => "a list",
            Shape::Map(_) => "a map",
        }
    }

    /// As JSON.
    pub(super) fn value(&self) -> Value {
        match &self.shape {
            Shape::Null => Value::Null,
            Shape::Bool(truth) => Value::Bool(*truth),
            Shape::Number(number) => Value::Number(number.clone()),
            Shape::Text(text) => Value::String(text.clone()),
            Shape::List(items) => items.iter().map(Self::value).collect(),
            Shape::Map(members) => {
                let members = members.iter().map(|member| (member.name.clone(), member.node.value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    /// The line of what a JSON pointer leads to, or of the last step that is there.
    pub(super) fn line_of(&self, pointer: &str) -> u64 {
        let mut line = self.line;
        let mut here = self;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &here.shape {
                Shape::Map(members) => members
                    .iter()
                    .find(|member| member.name == step)
                    .map(|member| (member.line, &member.node)),
                Shape::List(items) => {
                    step.parse::<usize>().ok().and_then(|at| items.get(at)).map(|item| (item.line, item))
                }
                _ => None,
            };
            let Some((at, node)) = next else { break };
            line = at;
            here = node;
        }
        line
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Shape>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), shape: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        Shape::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Shape, E> {
        Ok(Shape::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Shape, E> {
        Ok(Shape::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Shape, E> {
        Ok(Shape::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Shape, E> {
        Number::from_f64(number).map(Shape::Number).ok_or_else(|| E::custom("a number has to be finite"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Shape, E> {
        Ok(Shape::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Shape, E> {
        Ok(Shape::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            members.push(Member { line: name.referenced.line(), name: name.value, node: map.next_value()? });
        }
        Ok(Shape::Map(members))
    }
}
