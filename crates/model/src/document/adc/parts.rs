//! How ADC's members become APISIX's: names to ids, descriptions, labels, upstreams.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::document::DocumentError;
use crate::document::node::{Member, Node, Shape};

/// What an object is called.
pub(super) struct Named {
    /// As it is given, or made of the name.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) line: u64,
}

/// Takes an object's id out of it, or makes one of its name and its parent's.
///
/// # Errors
/// It has no name, or an id that is no text.
pub(super) fn named(word: &str, parent: Option<&str>, item: &mut Node) -> Result<Named, DocumentError> {
    let line = item.line;
    let Some(name) = item.get("name").and_then(Node::id_text) else {
        return Err(DocumentError::of(line, word, "name is missing; ADC's ids are made of it").field("name"));
    };
    let id = match item.take("id") {
        Some(member) => member.node.id_text().ok_or_else(|| {
            DocumentError::of(member.line, format!("{word} {name}"), "expected a text").field("id")
        })?,
        None => made_of(&parent.map_or_else(|| name.clone(), |parent| format!("{parent}.{name}"))),
    };
    Ok(Named { id, name, line })
}

/// The id that ADC makes of a name.
pub(super) fn made_of(name: &str) -> String {
    let made = digest(&SHA1_FOR_LEGACY_USE_ONLY, name.as_bytes());
    made.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `description` is APISIX's `desc`.
pub(super) fn described(item: &mut Node) {
    item.rename("description", "desc");
}

/// A label's list becomes its JSON text, because APISIX has texts only.
pub(super) fn labelled(item: &mut Node) {
    let Shape::Map(members) = &mut item.shape else { return };
    let labels = members.iter_mut().filter(|member| member.name == "labels");
    for label in labels.flat_map(|member| match &mut member.node.shape {
        Shape::Map(labels) => labels.iter_mut(),
        _ => [].iter_mut(),
    }) {
        if matches!(label.node.shape, Shape::List(_)) {
            label.node.shape = Shape::Text(label.node.value().to_string());
        }
    }
}

/// Adds a label.
pub(super) fn label(item: &mut Node, name: &str, text: &str) {
    let line = item.line;
    let mut labels = item
        .take("labels")
        .map_or_else(|| Node { line, shape: Shape::Map(Vec::new()) }, |member| member.node);
    if let Shape::Map(members) = &mut labels.shape {
        members.push(Member { name: name.to_owned(), line, node: Node::text(line, text) });
    }
    item.put("labels", labels);
}

/// Gives the members of an upstream APISIX's names.
pub(super) fn upstream(item: &mut Node) {
    described(item);
    labelled(item);
    let Shape::Map(members) = &mut item.shape else { return };
    for member in members {
        match member.name.as_str() {
            "tls" => {
                member.node.rename("cert", "client_cert");
                member.node.rename("key", "client_key");
            }
            "checks" => {
                if let Shape::Map(below) = &mut member.node.shape
                    && let Some(active) = below.iter_mut().find(|below| below.name == "active")
                {
                    active.node.rename("https_verify_cert", "https_verify_certificate");
                    active.node.rename("http_request_headers", "req_headers");
                }
            }
            _ => {}
        }
    }
}
