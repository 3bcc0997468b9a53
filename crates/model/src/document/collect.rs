//! Takes the objects of a document one by one: each checked by its schema, each id once.

use std::collections::HashMap;

use serde_json::Value;

use super::DocumentError;
use super::error::instead;
use super::node::{Node, Shape};
use crate::kind::{Key, Kind};
use crate::mask;
use crate::schema;

/// Objects in one document at most.
const MOST_OBJECTS: usize = 500_000;

/// The objects so far.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) objects: Vec<(Key, Value)>,
    pub(super) warnings: Vec<String>,
    lines: HashMap<Key, u64>,
}

impl Collected {
    /// Takes an object over; its id (a consumer's user name) is put into it.
    ///
    /// # Errors
    /// It is no map, its id is taken or can't be one, or its schema refuses it.
    pub(super) fn add(&mut self, key: Key, line: u64, mut node: Node) -> Result<(), DocumentError> {
        if node.members().is_none() {
            let reason = format!("expected the members of a {}, found {}", key.kind, node.word());
            return Err(DocumentError::of(line, &key, reason));
        }
        if Key::parse(&key.path()).as_ref() != Some(&key) {
            let reason = match key.kind {
                Kind::Secret => {
                    "the id has to be <manager>/<id> with the manager vault, aws or gcp, such as vault/1"
                }
                _ => "this can't be an id; write 1 to 64 letters, digits, `-`, `_` or `.`",
            };
            return Err(DocumentError::of(line, &key, reason));
        }
        if let Some(first) = self.lines.get(&key) {
            let reason =
                format!("this {} is there already, in line {first}; give one of them another id", key.kind);
            return Err(DocumentError::of(line, &key, reason));
        }
        if self.objects.len() == MOST_OBJECTS {
            return Err(DocumentError::of(
                line,
                &key,
                format!("a document may hold {MOST_OBJECTS} objects; split it"),
            ));
        }
        identify(&key, line, &mut node)?;
        fill_plugins(&mut node);
        let value = node.value();
        // Masks stand for what is stored where the document goes, so nothing is known of their length or form here.
        let shown = mask::without_masks(&value);
        schema::check(key.kind, shown.as_ref().unwrap_or(&value))
            .map_err(|broken| explain(&key, &node, &broken))?;
        self.lines.insert(key.clone(), line);
        self.objects.push((key, value));
        Ok(())
    }
}

/// The name of the member that holds an object's id.
pub(super) const fn id_member(kind: Kind) -> &'static str {
    match kind {
        Kind::Consumer => "username",
        _ => "id",
    }
}

/// Puts the id into the object, and refuses another one there.
fn identify(key: &Key, line: u64, node: &mut Node) -> Result<(), DocumentError> {
    let member = id_member(key.kind);
    let own = key.own_id();
    match node.get(member).map(|written| (written.line, written.id_text())) {
        None => node.put(member, Node::text(line, own)),
        // As it is written: a number stays one.
        Some((_, Some(written))) if written == own => {}
        Some((at, _)) => {
            let reason = format!("differs from the id {own} under which the object stands; leave it out");
            return Err(DocumentError::of(at, key, reason).field(member));
        }
    }
    Ok(())
}

/// A plugin that is named and given nothing (`key-auth:`) has its defaults, as in APISIX's file.
fn fill_plugins(node: &mut Node) {
    let Some(Shape::Map(plugins)) = node.get_mut("plugins").map(|plugins| &mut plugins.shape) else { return };
    for plugin in plugins.iter_mut().filter(|plugin| matches!(plugin.node.shape, Shape::Null)) {
        plugin.node.shape = Shape::Map(Vec::new());
    }
}

/// Where a schema was broken, in which line, and what is allowed there.
fn explain(key: &Key, node: &Node, broken: &schema::Violation) -> DocumentError {
    const FOUND: &str = "additional properties forbidden, found ";
    let field = broken.pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let field: Vec<String> = field.collect();
    let reason = match (broken.sentence.contains(FOUND), field.split_last()) {
        (true, Some((name, above))) => {
            let known = members_at(schema::schema(key.kind), above);
            let known = known.iter().map(String::as_str);
            format!("{name} is not known here; {}", instead(name, known))
        }
        _ => innermost(&broken.sentence).to_owned(),
    };
    DocumentError::of(node.line_of(&broken.pointer), key, reason).field(field.join("."))
}

/// The sentence without the members that lead to it: those are named as the field.
fn innermost(sentence: &str) -> &str {
    let mut rest = sentence;
    while let Some((_, behind)) =
        rest.strip_prefix("property \"").and_then(|rest| rest.split_once("\" validation failed: "))
    {
        rest = behind;
    }
    rest
}

/// The members that a schema knows at a place.
fn members_at(schema: &Value, path: &[String]) -> Vec<String> {
    let place = path.iter().try_fold(schema, |schema, step| {
        let below = schema.get("properties").and_then(|properties| properties.get(step));
        below.or_else(|| schema.get("items"))
    });
    let known = place.and_then(|place| place.get("properties")).and_then(Value::as_object);
    known.map(|known| known.keys().cloned().collect()).unwrap_or_default()
}

/// The members of a map, or nothing where nothing is written.
///
/// # Errors
/// It is something else.
pub(super) fn map_of(name: &str, node: Node) -> Result<Vec<super::node::Member>, DocumentError> {
    match node.shape {
        Shape::Map(members) => Ok(members),
        Shape::Null => Ok(Vec::new()),
        _ => Err(DocumentError::at(node.line, format!("{name}: expected a map, found {}", node.word()))),
    }
}

/// The items of a list, or nothing where nothing is written.
///
/// # Errors
/// It is something else.
pub(super) fn list_of(name: &str, node: Node) -> Result<Vec<Node>, DocumentError> {
    match node.shape {
        Shape::List(items) => Ok(items),
        Shape::Null => Ok(Vec::new()),
        _ => Err(DocumentError::at(node.line, format!("{name}: expected a list, found {}", node.word()))),
    }
}
