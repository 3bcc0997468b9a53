//! Our own form: `usher: 1`, then collections by APISIX's names. Objects stand under their ids, or in lists and hold them; credentials may stand
//! inside their consumer, cost decorations inside their service.

use super::collect::{Collected, id_member, list_of};
use super::error::instead;
use super::node::{Member, Node, Shape};
use super::{DocumentError, names};
use crate::kind::{Key, Kind};

/// The version of the form that is written and read.
pub(super) const VERSION: u64 = 1;

/// The member that names the version.
pub(super) const MARK: &str = "usher";

/// Takes every object.
///
/// # Errors
/// The first mistake.
pub(super) fn read(members: Vec<Member>, into: &mut Collected) -> Result<(), DocumentError> {
    for Member { name, line, node } in members {
        if name == MARK {
            if !matches!(&node.shape, Shape::Number(number) if number.as_u64() == Some(VERSION)) {
                return Err(DocumentError::at(
                    line,
                    format!("usher: this version reads `usher: {VERSION}` only"),
                ));
            }
            continue;
        }
        let Some(kind) = super::collection(&name) else {
            return Err(DocumentError::at(
                line,
                format!("{name} is no collection; {}", instead(&name, names())),
            ));
        };
        collection(&name, node, into, &|id| Key::new(kind, id), kind)?;
    }
    Ok(())
}

/// Takes the objects of one collection, in either form.
fn collection(
    name: &str,
    node: Node,
    into: &mut Collected,
    key: &dyn Fn(&str) -> Key,
    kind: Kind,
) -> Result<(), DocumentError> {
    if let Shape::Map(members) = node.shape {
        for Member { name, line, node } in members {
            object(key(&name), line, node, into)?;
        }
        return Ok(());
    }
    for (at, mut item) in list_of(name, node)?.into_iter().enumerate() {
        let member = id_member(kind);
        let line = item.line;
        let Some(id) = item.get(member).and_then(Node::id_text) else {
            let reason = format!("{member} is missing; write it into the object, or the object under its id");
            return Err(DocumentError::of(line, format!("{name}[{at}]"), reason).field(member));
        };
        // The same object written under its id holds a text.
        item.take(member);
        object(key(&id), line, item, into)?;
    }
    Ok(())
}

/// Takes one object and what stands inside of it.
fn object(key: Key, line: u64, mut node: Node, into: &mut Collected) -> Result<(), DocumentError> {
    let inside = match key.kind {
        Kind::Consumer if !key.id.contains('/') => ("credentials", Kind::Credential),
        Kind::Service if !key.id.contains('/') => ("graphql_cost_decorations", Kind::CostDecoration),
        Kind::Consumer => return into.add(Key { kind: Kind::Credential, id: key.id }, line, node),
        Kind::Service => return into.add(Key { kind: Kind::CostDecoration, id: key.id }, line, node),
        _ => return into.add(key, line, node),
    };
    let (name, kind) = inside;
    let below = node.take(name);
    let above = key.id.clone();
    into.add(key, line, node)?;
    let Some(below) = below else { return Ok(()) };
    let inner = |id: &str| match kind {
        Kind::Credential => Key::credential(&above, id),
        _ => Key::cost_decoration(&above, id),
    };
    collection(&format!("{above}.{name}"), below.node, into, &inner, kind)
}
