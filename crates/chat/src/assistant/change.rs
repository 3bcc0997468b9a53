//! What a sentence wants is carried out: a question is answered; of a change, names become ids, it becomes a plan, and the plan is settled.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use usher_model::kind::Kind;

use super::Stop;
use super::create;
use super::look;
use super::names::{Found, Sure, get, page, resolve};
use super::turn::Turn;
use super::verify::capital;
use crate::plain::compose::{Links, change};
use crate::plain::intent::{Alteration, Backend, Called, Intent, Node, Part, Reference, Said, Target, Wish};
use crate::plain::revise::{self, Current};

/// Carries out a sentence. The answer is whether that was done.
pub(super) fn carry_out<'a>(turn: &'a mut Turn<'_>, said: Said) -> BoxFuture<'a, Result<bool, Stop>> {
    Box::pin(async move {
        let Said { intent, sentence } = said;
        let changes = match intent {
            Intent::Ask(question) => return look::at(turn, question).await,
            Intent::Undo { revision } => return undo(turn, revision, &sentence).await,
            Intent::Create { kind, wish } => create::changes(turn, kind, &wish).await?,
            Intent::Change { target: Target::One(reference), alteration } => {
                vec![altered(turn, &reference, &alteration).await?]
            }
            Intent::Change { target: Target::Everything, alteration } => {
                for_everything(turn, &alteration).await?
            }
            Intent::Weigh { node, upstream } => vec![weighed(turn, &node, upstream.as_ref()).await?],
            Intent::Delete(references) => deleted(turn, &references).await?,
        };
        turn.propose(changes, &sentence).await
    })
}

async fn undo(turn: &mut Turn<'_>, revision: Option<u64>, sentence: &str) -> Result<bool, Stop> {
    // `that` is what this conversation did last; in a new one it is the newest change that stands.
    let revision = revision.or(turn.memory.revision);
    let arguments = json!({ "revision": revision, "intent": sentence });
    let reply = turn.connection.call("gateway_undo", arguments).await?;
    let done = turn.settle_and_tell(&reply).await?;
    if done {
        // Said again, it goes one further back instead of back and forth.
        turn.memory.revision = None;
    }
    Ok(done)
}

/// The ids of what a wish names.
pub(super) async fn links(turn: &mut Turn<'_>, wish: &Wish) -> Result<Links, Stop> {
    let before = turn.memory.object.clone();
    let mut links = Links::default();
    let upstream = match &wish.backend {
        Some(Backend::Named(name)) => Some(name),
        _ => None,
    };
    for (name, kind, place) in [
        (upstream, Kind::Upstream, &mut links.upstream),
        (wish.service.as_ref(), Kind::Service, &mut links.service),
        (wish.plugin_config.as_ref(), Kind::PluginConfig, &mut links.plugin_config),
        (wish.consumer.as_ref(), Kind::Consumer, &mut links.consumer),
    ] {
        if let Some(name) = name {
            let reference = Reference { kind, called: Called::Name(name.clone()) };
            *place = Some(resolve(turn, &reference, Sure::Nearly).await?.key.id);
        }
    }
    // What a route goes to is not what is spoken of.
    turn.memory.object = before;
    Ok(links)
}

async fn altered(turn: &mut Turn<'_>, reference: &Reference, alteration: &Alteration) -> Result<Value, Stop> {
    let found = resolve(turn, reference, Sure::Nearly).await?;
    if let (Kind::Consumer, Alteration::Add(wish)) = (found.key.kind, alteration)
        && wish.key.is_some()
    {
        // A further key of somebody who has one already is a credential.
        let wish = Wish { consumer: Some(found.key.id.clone()), ..Wish::clone(wish) };
        let made = create::changes(turn, Kind::Credential, &wish).await?;
        return made.into_iter().next().ok_or_else(|| Stop::Answer("there is nothing to change".to_owned()));
    }
    let links = match alteration {
        Alteration::Set(wish) | Alteration::Add(wish) => links(turn, wish).await?,
        _ => Links::default(),
    };
    let current = Current { kind: found.key.kind, id: &found.key.id, value: &found.value };
    let patch = revise::patch(current, alteration, &links).map_err(sentence)?;
    Ok(change("merge", found.key.kind, &found.key.id, Some(&patch)))
}

/// A change for every request is one of global rules: of the one that has the plugin already, or of a new one.
async fn for_everything(turn: &mut Turn<'_>, alteration: &Alteration) -> Result<Vec<Value>, Stop> {
    let only_plugins =
        || Stop::Answer("For every request only plugins can be set; say which route is meant.".to_owned());
    let mut changes = Vec::new();
    match alteration {
        Alteration::Set(wish) | Alteration::Add(wish) => {
            let others = Wish { plugins: Vec::new(), counts_unsaid: false, ..Wish::clone(wish) };
            if !others.is_empty() {
                return Err(only_plugins());
            }
            for plugin in &wish.plugins {
                let counts_unsaid = wish.counts_unsaid;
                let own = Wish { plugins: vec![plugin.clone()], counts_unsaid, ..Wish::default() };
                let Some(rule) = rule_with(turn, &plugin.0).await? else {
                    changes.extend(create::changes(turn, Kind::GlobalRule, &own).await?);
                    continue;
                };
                let current = Current { kind: Kind::GlobalRule, id: &rule.key.id, value: &rule.value };
                let patch = revise::patch(current, &Alteration::Set(Box::new(own)), &Links::default())
                    .map_err(sentence)?;
                changes.push(change("merge", Kind::GlobalRule, &rule.key.id, Some(&patch)));
            }
        }
        Alteration::Drop(parts) => {
            for part in parts {
                let Part::Plugin(plugin) = part else { return Err(only_plugins()) };
                let none =
                    || Stop::Answer(format!("No global rule has {plugin}; routes and services may have it."));
                let rule = rule_with(turn, plugin).await?.ok_or_else(none)?;
                let alone =
                    rule.value.get("plugins").and_then(Value::as_object).is_some_and(|all| all.len() == 1);
                changes.push(if alone {
                    change("delete", Kind::GlobalRule, &rule.key.id, None)
                } else {
                    let patch = json!({ "plugins": { plugin: null } });
                    change("merge", Kind::GlobalRule, &rule.key.id, Some(&patch))
                });
            }
        }
        Alteration::Serve(_) => return Err(only_plugins()),
    }
    Ok(changes)
}

async fn rule_with(turn: &Turn<'_>, plugin: &str) -> Result<Option<Found>, Stop> {
    let (rules, ..) = page(turn.connection, Kind::GlobalRule, Some(plugin), None, None).await?;
    for rule in rules {
        let found = get(turn.connection, Kind::GlobalRule, &rule.id).await?;
        if let Some(found) =
            found.filter(|found| found.value.pointer(&format!("/plugins/{plugin}")).is_some())
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Another weight for a node of an upstream, or of a route that has its nodes in place.
async fn weighed(turn: &mut Turn<'_>, node: &Node, upstream: Option<&Reference>) -> Result<Value, Stop> {
    let holder = match upstream {
        Some(reference) => resolve(turn, reference, Sure::Nearly).await?,
        None => holder_of(turn, node).await?,
    };
    let current = Current { kind: holder.key.kind, id: &holder.key.id, value: &holder.value };
    let patch = revise::weigh(current, node).map_err(sentence)?;
    Ok(change("merge", holder.key.kind, &holder.key.id, Some(&patch)))
}

async fn holder_of(turn: &mut Turn<'_>, node: &Node) -> Result<Found, Stop> {
    let mut holders = Vec::new();
    for kind in [Kind::Upstream, Kind::Service, Kind::Route] {
        let (items, ..) = page(turn.connection, kind, Some(&node.address), None, None).await?;
        for item in items {
            let Some(found) = get(turn.connection, kind, &item.id).await? else { continue };
            let current = Current { kind, id: &found.key.id, value: &found.value };
            // No node has this weight, so only the node itself is asked for.
            if revise::weigh(current, &Node { weight: Some(u64::MAX), ..node.clone() }).is_ok() {
                holders.push(found);
            }
        }
    }
    match holders.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Stop::Answer(format!("No upstream has the node {}.", node.address))),
        [first, ..] => {
            let names: Vec<String> = holders.iter().map(|holder| holder.key.to_string()).collect();
            Err(Stop::Answer(format!(
                "Several objects have the node {}: {}. Say which upstream, such as `in upstream {}`.",
                node.address,
                names.join(", "),
                first.key.id
            )))
        }
    }
}

async fn deleted(turn: &mut Turn<'_>, references: &[Reference]) -> Result<Vec<Value>, Stop> {
    let mut changes = Vec::new();
    for reference in references {
        let found = resolve(turn, reference, Sure::Exactly).await?;
        changes.push(change("delete", found.key.kind, &found.key.id, None));
    }
    Ok(changes)
}

/// A reason as people read it: a sentence.
pub(super) fn sentence(reason: String) -> Stop {
    let mut text = capital(&reason);
    if !text.ends_with(['.', '?', '!']) {
        text.push('.');
    }
    Stop::Answer(text)
}
