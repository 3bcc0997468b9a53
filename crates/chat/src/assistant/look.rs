//! Sentences that only look, answered through the tools that only read.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use usher_model::kind::{Key, Kind};

use super::names::{Item, Sure, lines, page, resolve};
use super::served;
use super::turn::Turn;
use super::{Stop, for_people, settings};
use crate::plain::examples;
use crate::plain::intent::{Asked, Called, Filter, Question, Reference};

/// Pages of a list that are read for one answer.
const PAGES: usize = 4;

/// Answers a question.
pub(super) fn at<'a>(turn: &'a mut Turn<'_>, question: Question) -> BoxFuture<'a, Result<bool, Stop>> {
    Box::pin(async move {
        let answer = match question {
            Question::Help => examples::all(),
            Question::Overview => told(turn, "gateway_overview", json!({})).await?,
            Question::List { kind, filter } => list(turn, kind, filter).await?,
            Question::Show(reference) => show(turn, &reference).await?,
            Question::Plugins => told(turn, "gateway_plugin_help", json!({ "plugin": null })).await?,
            Question::Plugin(plugin) => {
                let help = turn.connection.call("gateway_plugin_help", json!({ "plugin": plugin })).await?;
                settings::told(&help.structured)
            }
            Question::History { of, last, since } => served::history(turn, of.as_ref(), last, since).await?,
            Question::Served(asked) => served::traffic(turn, asked).await?,
            Question::Requests { of, status, last } => {
                served::requests(turn, of.as_ref(), status, last).await?
            }
            Question::Health => told(turn, "gateway_health", json!({})).await?,
            Question::Explain(asked) => explain(turn, &asked).await?,
            Question::Probe(asked) => probe(turn, &asked).await?,
            Question::Has { of, plugin, serves } => has(turn, &of, plugin.as_deref(), serves).await?,
            Question::Bye => "Bye. An empty line ends the conversation.".to_owned(),
            Question::Order(order) => {
                // What was asked about isn't done, and whoever asked shall not believe it was.
                turn.say(&format!(
                "That is a question, so nothing was planned or changed. To do it, say it as an order: `{order}`. Its plan is shown then, \
                and you are asked before anything is applied."
            ));
                return Ok(false);
            }
        };
        turn.say(&answer);
        Ok(true)
    })
}

async fn told(turn: &Turn<'_>, tool: &str, arguments: Value) -> Result<String, Stop> {
    Ok(for_people(&turn.connection.call(tool, arguments).await?.text))
}

async fn show(turn: &mut Turn<'_>, reference: &Reference) -> Result<String, Stop> {
    let found = resolve(turn, reference, Sure::Nearly).await?;
    told(turn, "gateway_get", json!({ "kind": found.key.kind.schema_name(), "id": found.key.id })).await
}

/// Whether an object is in service, or has a plugin of its own.
async fn has(
    turn: &mut Turn<'_>,
    of: &Reference,
    plugin: Option<&str>,
    serves: bool,
) -> Result<String, Stop> {
    let found = resolve(turn, of, Sure::Nearly).await?;
    let key = &found.key;
    let word = |yes: bool| if yes { "Yes" } else { "No" };
    let Some(plugin) = plugin else {
        let in_service = found.value.get("status") != Some(&json!(0));
        let state = if in_service { "in service" } else { "out of service" };
        return Ok(format!("{}: {key} is {state}.", word(in_service == serves)));
    };
    let mut text = if found.value.pointer(&format!("/plugins/{plugin}")).is_some() {
        format!("Yes: {key} has {plugin}.")
    } else {
        format!("No: {key} has no {plugin} of its own.")
    };
    // A request meets plugins from elsewhere too.
    if key.kind == Kind::Route {
        for rule in with_plugin(turn, Kind::GlobalRule, plugin).await? {
            text.push_str(&format!("\nEvery request meets it by global rule {}.", rule.id));
        }
        for (kind, member) in [(Kind::Service, "service_id"), (Kind::PluginConfig, "plugin_config_id")] {
            let Some(id) = found.value.get(member).and_then(Value::as_str) else { continue };
            let holder = super::names::get(turn.connection, kind, id).await?;
            if holder.is_some_and(|holder| holder.value.pointer(&format!("/plugins/{plugin}")).is_some()) {
                text.push_str(&format!("\nIt has it from {kind} {id}."));
            }
        }
    }
    Ok(text)
}

async fn list(turn: &mut Turn<'_>, kind: Kind, filter: Filter) -> Result<String, Stop> {
    match filter {
        Filter::All => listed(turn, kind, None, None, |_| true).await,
        Filter::Text(text) => listed(turn, kind, Some(&text), None, |_| true).await,
        Filter::Label(label) => listed(turn, kind, None, Some(&label), |_| true).await,
        Filter::Disabled => {
            listed(turn, kind, Some("(off)"), None, |item| item.line.ends_with("(off)")).await
        }
        Filter::Plugin(plugin) => {
            let mut text =
                listed(turn, kind, Some(&plugin), None, |item| has_plugin(&item.line, &plugin)).await?;
            // A route meets plugins from elsewhere too.
            for (place, what) in [
                (Kind::GlobalRule, "Every request meets it by global rule"),
                (Kind::Service, "So do the routes of service"),
                (Kind::PluginConfig, "So do the routes with plugin config"),
            ] {
                if kind == Kind::Route {
                    for item in with_plugin(turn, place, &plugin).await? {
                        text.push_str(&format!("\n{what} {}.", item.id));
                    }
                }
            }
            Ok(text)
        }
        Filter::Upstream(name) => {
            let reference = Reference { kind: Kind::Upstream, called: Called::Name(name) };
            let id = resolve(turn, &reference, Sure::Nearly).await?.key.id;
            let aim = format!("-> {id}");
            let goes =
                move |item: &Item| item.line.split(" [").next().is_some_and(|line| line.contains(&aim));
            let mut text = listed(turn, kind, Some(&id), None, &goes).await?;
            if kind == Kind::Route {
                let (services, ..) = page(turn.connection, Kind::Service, Some(&id), None, None).await?;
                for service in services.iter().filter(|item| goes(item)) {
                    text.push_str(&format!("\nSo do the routes of service {}.", service.id));
                }
            }
            Ok(text)
        }
    }
}

async fn with_plugin(turn: &Turn<'_>, kind: Kind, plugin: &str) -> Result<Vec<Item>, Stop> {
    let (mut items, ..) = page(turn.connection, kind, Some(plugin), None, None).await?;
    items.retain(|item| has_plugin(&item.line, plugin));
    Ok(items)
}

/// Whether a line's plugins name this one; a long list ends in a number, and then it may.
fn has_plugin(line: &str, plugin: &str) -> bool {
    let Some((_, plugins)) = line.rsplit_once('[') else { return false };
    let plugins = plugins.split(']').next().unwrap_or_default();
    plugins.contains(" +") || plugins.split(", ").any(|known| known == plugin)
}

async fn listed(
    turn: &mut Turn<'_>,
    kind: Kind,
    text: Option<&str>,
    label: Option<&str>,
    fits: impl Fn(&Item) -> bool,
) -> Result<String, Stop> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    let mut total = 0;
    for _ in 0..PAGES {
        let (items, count, next) = page(turn.connection, kind, text, label, cursor.as_deref()).await?;
        total = count;
        all.extend(items.into_iter().filter(&fits));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    // After a list, `it` is the only one of it or nothing.
    turn.memory.object = match all.as_slice() {
        [only] if cursor.is_none() => Some(Key::new(kind, only.id.as_str())),
        _ => None,
    };
    let word = kind.word();
    if all.is_empty() && cursor.is_none() {
        return Ok(if text.is_none() && label.is_none() {
            format!("There are no {word}s yet.")
        } else {
            format!("No {word} fits; `show all {word}s` lists what there is.")
        });
    }
    let plural = if all.len() == 1 { "" } else { "s" };
    let mut answer = format!("{} {word}{plural}:\n{}", all.len(), lines(all.iter()));
    if cursor.is_some() {
        answer.push_str(&format!(
            "\nThese are not all: {total} come into question. Say for example `show {word}s for /speaker` to see fewer."
        ));
    }
    Ok(answer)
}

fn sketched(asked: &Asked) -> (String, Value) {
    let host = asked.host.as_ref().map(|host| format!(" for host {host}")).unwrap_or_default();
    let headers: Vec<Value> =
        asked.headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let headers = if headers.is_empty() { Value::Null } else { Value::Array(headers) };
    (
        format!("{} {}{host}", asked.method, asked.path),
        json!({ "method": asked.method, "path": asked.path, "host": asked.host, "headers": headers }),
    )
}

async fn explain(turn: &Turn<'_>, asked: &Asked) -> Result<String, Stop> {
    let (request, mut arguments) = sketched(asked);
    if let Some(members) = arguments.as_object_mut() {
        members.insert("client".to_owned(), json!(asked.client));
    }
    let reply = turn.connection.call("gateway_explain_request", arguments).await?;
    let mut text = format!("{request}: {}", for_people(&reply.text));
    if let Some(wonder) = asked.status.and_then(|status| wonder(status, &reply.structured)) {
        text.push_str(&format!("\n{wonder}"));
    }
    Ok(text)
}

/// Where a status comes from, as far as the way of the request tells.
fn wonder(status: u64, explanation: &Value) -> Option<String> {
    let plugins = explanation.get("plugins").and_then(Value::as_array).into_iter().flatten();
    let plugins: Vec<&str> = plugins.filter_map(Value::as_str).collect();
    let runs = |names: &[&'static str]| {
        names.iter().copied().find(|name| plugins.iter().any(|plugin| plugin.split(' ').next() == Some(name)))
    };
    let taken = explanation.get("route").is_some_and(|route| !route.is_null());
    let own = explanation
        .get("answer")
        .and_then(Value::as_str)
        .is_some_and(|answer| answer.starts_with(&status.to_string()));
    let from = match status {
        _ if own => return None,
        401 => runs(&["key-auth", "forward-auth"]),
        403 => runs(&["ip-restriction", "forward-auth"]),
        429 => runs(&["limit-count"]),
        301..=308 => runs(&["redirect"]),
        400 => runs(&["request-validation"]),
        502..=504 if taken => {
            return Some(format!(
                "A {status} says that the backend can not be reached, or does not answer in time."
            ));
        }
        _ => None,
    };
    match from {
        Some(plugin) => Some(format!("A {status} comes from {plugin} then.")),
        None if taken => {
            Some(format!("Nothing on this way answers {status} by itself, so it comes from the backend."))
        }
        None => None,
    }
}

async fn probe(turn: &Turn<'_>, asked: &Asked) -> Result<String, Stop> {
    let (request, mut arguments) = sketched(asked);
    if let Some(members) = arguments.as_object_mut() {
        members.insert("body".to_owned(), json!(asked.body));
    }
    let reply = turn.connection.call("gateway_probe", arguments).await?.structured;
    let number = |name: &str| reply.get(name).and_then(Value::as_u64).unwrap_or_default();
    let text = |name: &str| reply.get(name).and_then(Value::as_str);
    let by =
        text("route").map_or_else(|| "no route takes it".to_owned(), |route| format!("by route {route}"));
    let body =
        text("body").filter(|body| !body.is_empty()).map(|body| format!("\n{body}")).unwrap_or_default();
    Ok(format!("{request} answers {} in {} ms, {by}.{body}", number("status"), number("millis")))
}
