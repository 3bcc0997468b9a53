//! From what people call an object to the object. An ambiguous name is asked back, never guessed.

use serde_json::{Value, json};
use usher_model::kind::{Key, Kind};
use usher_model::nearest::nearest;

use super::Stop;
use super::turn::Turn;
use crate::client::{ClientError, Connection};
use crate::plain::intent::{Called, Reference};

/// Pages that are read of those that may be meant.
const PAGES: usize = 10;
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
        Called::Id(id) => match exact(connection, reference.kind, id).await? {
            Some(found) => found,
            None => return Err(unknown(connection, reference.kind, id).await?),
        },
        Called::Anything(name) => anything(connection, name).await?,
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
    let (items, complete) = candidates(connection, kind, name).await?;
    let exact = exact(connection, kind, name).await?;
    if let Some(found) = exact {
        // Who says the id exactly means it, unless that is what another one is called.
        if !items.iter().any(|item| item.id != name && item.name.as_deref() == Some(name)) {
            return Ok(found);
        }
    }
    let wanted = plain(name);
    let mut fitting: Vec<&Item> =
        items.iter().filter(|item| calls(item, &|called| called == wanted)).collect();
    if !complete && fitting.len() < 2 {
        return Err(Stop::Answer(format!(
            "Too many {}s are like \"{name}\" to tell which is meant; say the id.",
            kind.word()
        )));
    }
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
            "Several {}s could be \"{name}\":\n{}\nSay the id, such as `{kind} with id {}`.",
            kind.word(),
            lines(several.iter().take(NAMED).copied()),
            several.first().map_or(name, |item| item.id.as_str())
        ))),
    }
}

/// The object with exactly this id.
async fn exact(connection: &Connection, kind: Kind, id: &str) -> Result<Option<Found>, Stop> {
    Ok(get(connection, kind, id).await?.filter(|found| found.key.id == id))
}

/// Objects that may be called so, and whether these are all.
async fn candidates(connection: &Connection, kind: Kind, name: &str) -> Result<(Vec<Item>, bool), Stop> {
    // The longest word finds what the whole name would miss for a hyphen.
    let word = name.split(|c: char| !c.is_alphanumeric()).max_by_key(|word| word.len()).unwrap_or(name);
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let (items, _, next) = page(connection, kind, Some(word), None, cursor.as_deref()).await?;
        all.extend(items);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    Ok((all, cursor.is_none()))
}

/// Whether an object's id or name fits.
fn calls(item: &Item, fits: &dyn Fn(&str) -> bool) -> bool {
    fits(&plain(&item.id)) || item.name.as_deref().is_some_and(|name| fits(&plain(name)))
}

/// The only object that is called so, of whatever kind.
async fn anything(connection: &Connection, name: &str) -> Result<Found, Stop> {
    let wanted = plain(name);
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        let (items, _) = candidates(connection, kind, name).await?;
        if items.iter().any(|item| calls(item, &|called| called == wanted)) {
            kinds.push(kind);
        }
    }
    match kinds.as_slice() {
        [kind] => named(connection, *kind, name, Sure::Exactly).await,
        [] => Err(Stop::Answer(format!(
            "There is nothing called \"{name}\"; say the kind too, such as `route {name}`."
        ))),
        several => {
            let called: Vec<String> = several.iter().map(|kind| format!("{kind} {name}")).collect();
            Err(Stop::Answer(format!("Say which is meant: {}.", called.join(" or "))))
        }
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
