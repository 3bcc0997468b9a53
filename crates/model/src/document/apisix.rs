//! APISIX's standalone file: collections by name, each a list of objects that hold their ids.

use super::collect::{Collected, list_of};
use super::error::instead;
use super::node::{Member, Node, Shape};
use super::{DocumentError, names};
use crate::kind::{Key, Kind};

/// Takes every object of a standalone file.
///
/// # Errors
/// The first mistake.
pub(super) fn read(members: Vec<Member>, into: &mut Collected) -> Result<(), DocumentError> {
    for Member { name, line, node } in members {
        if let Some(collection) = name.strip_suffix("_conf_version")
            && super::collection(collection).is_some()
        {
            continue;
        }
        if name == "plugins" || name == "stream_plugins" {
            into.warnings
                .push(format!("line {line}: {name} is not acted upon: every plugin of this build is there"));
            continue;
        }
        let Some(kind) = super::collection(&name) else {
            return Err(DocumentError::at(
                line,
                format!("{name} is no collection; {}", instead(&name, names())),
            ));
        };
        collection(kind, &name, node, into)?;
    }
    Ok(())
}

/// Takes the objects of one list.
///
/// # Errors
/// The first mistake.
pub(super) fn collection(
    kind: Kind,
    name: &str,
    node: Node,
    into: &mut Collected,
) -> Result<(), DocumentError> {
    for (at, mut item) in list_of(name, node)?.into_iter().enumerate() {
        let line = item.line;
        if item.members().is_none() {
            let place = format!("{name}[{at}]");
            return Err(DocumentError::of(line, place, format!("expected an object, found {}", item.word())));
        }
        // What APISIX's own /configs endpoint adds.
        item.take("modifiedIndex");
        let key = key(kind, name, at, &mut item)?;
        into.add(key, line, item)?;
    }
    Ok(())
}

/// The key of an item. What has no id is named by its place, as in APISIX.
fn key(kind: Kind, name: &str, at: usize, item: &mut Node) -> Result<Key, DocumentError> {
    let place = || format!("{name}[{at}]");
    let id = match item.take("id") {
        None => None,
        Some(member) => Some(member.node.id_text().ok_or_else(|| {
            let found = member.node.word();
            DocumentError::of(
                member.line,
                place(),
                format!("expected a text or a whole number, found {found}"),
            )
            .field("id")
        })?),
    };
    let missing = |member: &str, what: &str| {
        Err(DocumentError::of(item.line, place(), format!("{member} is missing; it is {what}")).field(member))
    };
    match (kind, id) {
        (Kind::Consumer, Some(id)) if id.contains("/credentials/") => Ok(below(Kind::Credential, id)),
        (Kind::Service, Some(id)) if id.contains("/graphql_cost_decorations/") => {
            Ok(below(Kind::CostDecoration, id))
        }
        (Kind::Consumer, id) => match item
            .get("username")
            .map(|name| (name.line, name.id_text(), &name.shape))
        {
            Some((_, Some(username), Shape::Text(_))) if id.as_ref().is_none_or(|id| *id == username) => {
                Ok(Key::new(kind, username))
            }
            Some((line, Some(username), Shape::Text(_))) => {
                let reason = format!("differs from the username {username}; leave the id out");
                Err(DocumentError::of(line, place(), reason).field("id"))
            }
            Some((line, ..)) => Err(DocumentError::of(line, place(), "expected a text").field("username")),
            None => missing("username", "what a consumer is known by"),
        },
        (Kind::PluginMetadata, None) => missing("id", "the name of the plugin"),
        (Kind::Secret, None) => missing("id", "the manager and an id, such as vault/1"),
        (_, Some(id)) => Ok(Key::new(kind, id)),
        (_, None) => Ok(Key::new(kind, format!("arr_{}", at + 1))),
    }
}

const fn below(kind: Kind, id: String) -> Key {
    Key { kind, id }
}
