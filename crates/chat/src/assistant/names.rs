//! From what people call an object to the object. An ambiguous name is asked back, never guessed.

use serde_json::{Value, json};
use usher_model::kind::{Key, Kind};
use usher_model::nearest::nearest;

use super::Stop;
use super::turn::Turn;
use crate::client::{ClientError, Connection};
use crate::plain::intent::{Called, Reference};

/// Candidates that are read one by one.
const MOST: usize = 10;
/// Names that are said where none fits.
const NAMED: usize = 8;

/// An object that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: Key,
    /// Masked.
    pub(super) value: Value,
}

/// An object in a list.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) line: String,
}

/// How sure a name has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sure {
    /// Id or name, but for case, spaces and hyphens: for what is deleted.
    Exactly,
    /// Also the one whose id or name has all the words.
    Nearly,
}

/// The object that a reference means.
pub(super) async fn resolve(turn: &mut Turn<'_>, reference: &Reference, sure: Sure) -> Result<Found, Stop> {
    let connection = turn.connection;
    let found = match &reference.called {
        Called::Name(name) => named(connection, reference.kind, name, sure).await?,
        Called::Path { method, path } => taking(connection, method.as_deref(), path).await?,
        Called::It | Called::That => {
            let last = turn.memory.object.clone();
            let last = last.filter(|key| reference.called == Called::It || key.kind == reference.kind);
            let what = if reference.called == Called::It { "object" } else { reference.kind.word() };
            let key = last
                .ok_or_else(|| Stop::Answer(format!("I don't know which {what} you mean; say its name.")))?;
            let gone = || Stop::Answer(format!("{key} is not there any more."));
            get(connection, key.kind, &key.id).await?.ok_or_else(gone)?
        }
    };
    turn.memory.object = Some(found.key.clone());
    Ok(found)
}

/// The object with this id, or the only one with this name.
pub(super) async fn get(connection: &Connection, kind: Kind, id: &str) -> Result<Option<Found>, Stop> {
    let reply = match connection.call("gateway_get", json!({ "kind": kind.schema_name(), "id": id })).await {
        Ok(reply) => reply.structured,
        Err(ClientError::Tool { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let id = reply.get("id").and_then(Value::as_str).unwrap_or(id).to_owned();
    let value = reply.get("value").cloned().unwrap_or_default();
    Ok(Some(Found { key: Key::new(kind, id), value }))
}

/// Objects of a kind, one page of them, and how many there are in all.
pub(super) async fn page(
    connection: &Connection,
    kind: Kind,
    text: Option<&str>,
    label: Option<&str>,
    cursor: Option<&str>,
) -> Result<(Vec<Item>, u64, Option<String>), Stop> {
    let arguments =
        json!({ "kind": kind.schema_name(), "text": text, "label": label, "cursor": cursor, "limit": null });
    let reply = connection.call("gateway_find", arguments).await?.structured;
    let items = reply.get("items").and_then(Value::as_array).into_iter().flatten();
    let text = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    let items = items
        .filter_map(|item| {
            Some(Item { id: text(item, "id")?, name: text(item, "name"), line: text(item, "line")? })
        })
        .collect();
    let total = reply.get("total").and_then(Value::as_u64).unwrap_or_default();
    Ok((items, total, text(&reply, "next")))
}

async fn named(connection: &Connection, kind: Kind, name: &str, sure: Sure) -> Result<Found, Stop> {
    if let Some(found) = get(connection, kind, name).await? {
        return Ok(found);
    }
    // The longest word finds what the whole name would miss for a hyphen.
    let word = name.split(|c: char| !c.is_alphanumeric()).max_by_key(|word| word.len()).unwrap_or(name);
    let (items, ..) = page(connection, kind, Some(word), None, None).await?;
    let calls = |item: &Item, fits: &dyn Fn(&str) -> bool| {
        fits(&plain(&item.id)) || item.name.as_deref().is_some_and(|name| fits(&plain(name)))
    };
    let wanted = plain(name);
    let mut fitting: Vec<&Item> =
        items.iter().filter(|item| calls(item, &|called| called == wanted)).collect();
    if fitting.is_empty() && sure == Sure::Nearly {
        let words: Vec<String> = name.split_whitespace().map(plain).filter(|word| !word.is_empty()).collect();
        fitting = items
            .iter()
            .filter(|item| calls(item, &|called| words.iter().all(|word| called.contains(word.as_str()))))
            .collect();
    }
    match fitting.as_slice() {
        [one] => {
            let gone = || Stop::Answer(format!("{kind} {} is not there any more.", one.id));
            get(connection, kind, &one.id).await?.ok_or_else(gone)
        }
        [] => Err(unknown(connection, kind, name).await?),
        several => Err(Stop::Answer(format!(
            "Several {}s could be \"{name}\":\n{}\nSay the id.",
            kind.word(),
            lines(several.iter().take(NAMED).copied())
        ))),
    }
}

/// Letters and digits in lower case, so that `conference API` and `conference-api` are the same.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

async fn unknown(connection: &Connection, kind: Kind, name: &str) -> Result<Stop, Stop> {
    let (items, total, _) = page(connection, kind, None, None, None).await?;
    let word = kind.word();
    if total == 0 {
        return Ok(Stop::Answer(format!("There is no {word} \"{name}\"; there are no {word}s yet.")));
    }
    let names = items.iter().flat_map(|item| [Some(item.id.as_str()), item.name.as_deref()]).flatten();
    let meant = nearest(name, names).map(|meant| format!(" Did you mean {meant}?")).unwrap_or_default();
    let known: Vec<&str> = items.iter().take(NAMED).map(|item| item.id.as_str()).collect();
    let more = if total > NAMED as u64 { " and more" } else { "" };
    Ok(Stop::Answer(format!("There is no {word} \"{name}\".{meant} There are: {}{more}.", known.join(", "))))
}

/// The route that takes this path, by how it is written.
async fn taking(connection: &Connection, method: Option<&str>, path: &str) -> Result<Found, Stop> {
    let mut fitting = routes_with(connection, path).await?;
    if let Some(method) = method {
        fitting.retain(|route| {
            let methods = texts(&route.value, "", "methods");
            methods.is_empty() || methods.iter().any(|known| known == method)
        });
    }
    match fitting.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Stop::Answer(format!(
            "No route is written for {path}. `show routes for {path}` lists what is near; `explain {path}` says which route takes it."
        ))),
        several => {
            let ids: Vec<&str> = several.iter().map(|route| route.key.id.as_str()).collect();
            Err(Stop::Answer(format!(
                "Several routes are written for {path}: {}. Say the id.",
                ids.join(", ")
            )))
        }
    }
}

/// Routes in which this path is written.
pub(super) async fn routes_with(connection: &Connection, path: &str) -> Result<Vec<Found>, Stop> {
    let (items, ..) = page(connection, Kind::Route, Some(path), None, None).await?;
    let mut fitting = Vec::new();
    for item in items.iter().take(MOST) {
        if let Some(route) = get(connection, Kind::Route, &item.id).await?
            && texts(&route.value, "uri", "uris").iter().any(|known| known == path)
        {
            fitting.push(route);
        }
    }
    Ok(fitting)
}

/// What stands in the member for one, and in the one for several.
pub(super) fn texts(value: &Value, one: &str, several: &str) -> Vec<String> {
    let one = value.get(one).and_then(Value::as_str).map(str::to_owned);
    let several = value.get(several).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    one.into_iter().chain(several.iter().filter_map(Value::as_str).map(str::to_owned)).collect()
}

/// Objects as lines.
pub(super) fn lines<'a>(items: impl Iterator<Item = &'a Item>) -> String {
    let lines: Vec<String> = items
        .map(|item| {
            let name = item.name.as_ref().filter(|name| **name != item.id);
            let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
            format!("  {}{name}  {}", item.id, item.line)
        })
        .collect();
    lines.join("\n")
}
