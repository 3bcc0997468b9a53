//! ADC's form: services with their routes, stream routes and upstreams inside, consumers with their credentials, groups with their consumers.
//!
//! Ids are made of names as ADC makes them (SHA-1 of `name` or `parent.name`), so that what ADC put into a gateway is found again.

mod parts;

use super::DocumentError;
use super::collect::{Collected, list_of, map_of};
use super::error::instead;
use super::node::{Member, Node, Shape};
use crate::kind::{Key, Kind};
use parts::{Named, described, labelled, named, upstream};

/// The collections of the form.
const NAMES: [&str; 6] =
    ["services", "ssls", "consumers", "consumer_groups", "global_rules", "plugin_metadata"];

/// The label by which ADC keeps a stream route's name, and a consumer group's.
const STREAM_NAME: &str = "__ADC_NAME";
const GROUP_NAME: &str = "ADC_NAME";

/// The label by which ADC knows to which service a further upstream belongs.
const UPSTREAM_OF: &str = "__ADC_UPSTREAM_SERVICE_ID";

/// Whether a document has something that only ADC's form has.
pub(super) fn is_it(members: &[Member]) -> bool {
    let any = |name: &str, marks: &[&str]| {
        members.iter().filter(|member| member.name == name).any(|member| match &member.node.shape {
            Shape::List(items) => items.iter().any(|item| marks.iter().any(|mark| item.get(mark).is_some())),
            _ => false,
        })
    };
    let is_map = |name: &str| {
        members.iter().any(|member| member.name == name && matches!(member.node.shape, Shape::Map(_)))
    };
    let unnumbered = members.iter().filter(|member| member.name == "services").any(|member| {
        matches!(&member.node.shape, Shape::List(items)
            if items.iter().any(|item| item.get("name").is_some() && item.get("id").is_none()))
    });
    unnumbered
        || any("services", &["routes", "stream_routes", "upstreams", "description"])
        || any("consumers", &["credentials", "description"])
        || any("consumer_groups", &["consumers", "description"])
        || any("ssls", &["certificates"])
        || is_map("global_rules")
        || is_map("plugin_metadata")
}

/// Takes every object.
///
/// # Errors
/// The first mistake.
pub(super) fn read(members: Vec<Member>, into: &mut Collected) -> Result<(), DocumentError> {
    for Member { name, line, node } in members {
        match name.as_str() {
            "services" => each(&name, node, |item| service(item, into))?,
            "ssls" => each(&name, node, |item| ssl(item, into))?,
            "consumers" => each(&name, node, |item| consumer(item, None, into))?,
            "consumer_groups" => each(&name, node, |item| group(item, into))?,
            "global_rules" => {
                for Member { name, line, node } in map_of(&name, node)? {
                    let plugins = map(line, vec![Member { name: name.clone(), line, node }]);
                    let rule = map(line, vec![Member { name: "plugins".to_owned(), line, node: plugins }]);
                    into.add(Key::new(Kind::GlobalRule, name), line, rule)?;
                }
            }
            "plugin_metadata" => {
                for Member { name, line, node } in map_of(&name, node)? {
                    into.add(Key::new(Kind::PluginMetadata, name), line, node)?;
                }
            }
            "routes" | "stream_routes" | "upstreams" => {
                return Err(DocumentError::at(
                    line,
                    format!("{name}: in ADC's form these stand inside a service"),
                ));
            }
            other => {
                let reason =
                    format!("{other} is no collection of ADC's form; {}", instead(other, NAMES.into_iter()));
                return Err(DocumentError::at(line, reason));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) fn id_of(name: &str) -> String {
    parts::made_of(name)
}

fn each(
    name: &str,
    node: Node,
    mut take: impl FnMut(Node) -> Result<(), DocumentError>,
) -> Result<(), DocumentError> {
    for (at, item) in list_of(name, node)?.into_iter().enumerate() {
        if item.members().is_none() {
            let place = format!("{name}[{at}]");
            return Err(DocumentError::of(
                item.line,
                place,
                format!("expected an object, found {}", item.word()),
            ));
        }
        take(item)?;
    }
    Ok(())
}

const fn map(line: u64, members: Vec<Member>) -> Node {
    Node { line, shape: Shape::Map(members) }
}

fn number(line: u64, number: u64) -> Node {
    Node { line, shape: Shape::Number(number.into()) }
}

fn service(mut item: Node, into: &mut Collected) -> Result<(), DocumentError> {
    let Named { id, name, line } = named("service", None, &mut item)?;
    for unsupported in ["path_prefix", "strip_path_prefix"] {
        if let Some(member) = item.get(unsupported) {
            let reason = "this is for API7 and not known to APISIX; write the prefix into the routes' uris";
            return Err(DocumentError::of(member.line, format!("service {name}"), reason).field(unsupported));
        }
    }
    let routes = item.take("routes");
    let streams = item.take("stream_routes");
    let further = item.take("upstreams");
    if let Some(mut own) = item.take("upstream") {
        upstream(&mut own.node);
        own.node.put("name", Node::text(own.line, name.clone()));
        own.node.take("id");
        into.add(Key::new(Kind::Upstream, id.clone()), own.line, own.node)?;
        item.put("upstream_id", Node::text(own.line, id.clone()));
    }
    described(&mut item);
    labelled(&mut item);
    into.add(Key::new(Kind::Service, id.clone()), line, item)?;
    if let Some(member) = further {
        each("upstreams", member.node, |mut item| {
            let below = named("upstream", Some(&name), &mut item)?;
            upstream(&mut item);
            parts::label(&mut item, UPSTREAM_OF, &id);
            into.add(Key::new(Kind::Upstream, below.id), below.line, item)
        })?;
    }
    if let Some(member) = routes {
        each("routes", member.node, |mut item| {
            let below = named("route", Some(&name), &mut item)?;
            described(&mut item);
            labelled(&mut item);
            if item.get("status").is_none() {
                item.put("status", number(below.line, 1));
            }
            item.put("service_id", Node::text(below.line, id.clone()));
            into.add(Key::new(Kind::Route, below.id), below.line, item)
        })?;
    }
    if let Some(member) = streams {
        each("stream_routes", member.node, |mut item| {
            let below = named("stream route", Some(&name), &mut item)?;
            described(&mut item);
            labelled(&mut item);
            item.take("name");
            parts::label(&mut item, STREAM_NAME, &below.name);
            item.put("service_id", Node::text(below.line, id.clone()));
            into.add(Key::new(Kind::StreamRoute, below.id), below.line, item)
        })?;
    }
    Ok(())
}

fn consumer(mut item: Node, group: Option<&str>, into: &mut Collected) -> Result<(), DocumentError> {
    let line = item.line;
    let Some(username) = item.get("username").and_then(Node::id_text) else {
        return Err(DocumentError::of(line, "consumer", "username is missing").field("username"));
    };
    let credentials = item.take("credentials");
    described(&mut item);
    labelled(&mut item);
    if let Some(group) = group {
        item.put("group_id", Node::text(line, group));
    }
    into.add(Key::new(Kind::Consumer, username.clone()), line, item)?;
    let Some(credentials) = credentials else { return Ok(()) };
    each("credentials", credentials.node, |mut item| {
        let below = named("credential", Some(&username), &mut item)?;
        let (Some(kind), Some(config)) = (item.take("type"), item.take("config")) else {
            let reason = "a credential has a type, such as key-auth, and a config";
            return Err(DocumentError::of(below.line, format!("credential {}", below.name), reason));
        };
        let Some(plugin) = kind.node.id_text() else {
            return Err(DocumentError::of(
                kind.line,
                format!("credential {}", below.name),
                "expected a text",
            )
            .field("type"));
        };
        described(&mut item);
        labelled(&mut item);
        let config = Member { name: plugin, ..config };
        item.put("plugins", map(kind.line, vec![config]));
        into.add(Key::credential(&username, &below.id), below.line, item)
    })
}

fn group(mut item: Node, into: &mut Collected) -> Result<(), DocumentError> {
    let Named { id, name, line } = named("consumer group", None, &mut item)?;
    let consumers = item.take("consumers");
    described(&mut item);
    labelled(&mut item);
    item.take("name");
    parts::label(&mut item, GROUP_NAME, &name);
    into.add(Key::new(Kind::ConsumerGroup, id.clone()), line, item)?;
    match consumers {
        Some(member) => each("consumers", member.node, |item| consumer(item, Some(&id), into)),
        None => Ok(()),
    }
}

fn ssl(mut item: Node, into: &mut Collected) -> Result<(), DocumentError> {
    let line = item.line;
    let names: Vec<String> = match item.get("snis").map(|node| &node.shape) {
        Some(Shape::List(names)) => names.iter().filter_map(Node::id_text).collect(),
        _ => Vec::new(),
    };
    let id = item.take("id").and_then(|member| member.node.id_text());
    let id = id.unwrap_or_else(|| parts::made_of(&names.join(",")));
    let Some(certificates) = item.take("certificates") else {
        let reason = "certificates is missing; it is a list of {certificate, key}";
        return Err(DocumentError::of(line, format!("ssl {}", names.join(",")), reason).field("certificates"));
    };
    let (mut certs, mut keys) = (Vec::new(), Vec::new());
    each("certificates", certificates.node, |mut pair| {
        let (Some(cert), Some(key)) = (pair.take("certificate"), pair.take("key")) else {
            let place = format!("ssl {}", names.join(","));
            return Err(DocumentError::of(pair.line, place, "each certificate has a certificate and a key")
                .field("certificates"));
        };
        certs.push(cert.node);
        keys.push(key.node);
        Ok(())
    })?;
    for (one, several, mut nodes) in [("cert", "certs", certs), ("key", "keys", keys)] {
        if nodes.is_empty() {
            continue;
        }
        let first = nodes.remove(0);
        item.put(one, first);
        if !nodes.is_empty() {
            item.put(several, Node { line, shape: Shape::List(nodes) });
        }
    }
    if item.get("status").is_none() {
        item.put("status", number(line, 1));
    }
    labelled(&mut item);
    into.add(Key::new(Kind::Ssl, id), line, item)
}
