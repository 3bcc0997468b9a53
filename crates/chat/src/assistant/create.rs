//! New objects: they get an id that is free, and what is there already is said instead of being overwritten.

use serde_json::Value;
use usher_model::kind::Kind;

use super::Stop;
use super::change::{links, sentence};
use super::names::{get, routes_with, texts};
use super::turn::Turn;
use crate::plain::compose::{change, object, wanted_id};
use crate::plain::intent::Wish;
use crate::plain::unlike;

/// How many ids are tried before a person has to say one.
const TRIES: usize = 99;

/// The changes that make a new object.
pub(super) async fn changes(turn: &mut Turn<'_>, kind: Kind, wish: &Wish) -> Result<Vec<Value>, Stop> {
    let links = links(turn, wish).await?;
    if kind == Kind::Credential && links.consumer.is_none() {
        return Err(Stop::Answer(
            "A credential belongs to a consumer: say for example `for jack`.".to_owned(),
        ));
    }
    let Some((id, said)) = wanted_id(kind, wish, &links) else {
        // A body that can't be is said first: it is the nearer trouble.
        object(kind, "", wish, &links).map_err(sentence)?;
        return Err(Stop::Answer(format!(
            "Say what the {kind} shall be called, such as `create {} called orders ...`.",
            one(kind)
        )));
    };
    let body = object(kind, &id, wish, &links).map_err(sentence)?;
    if kind == Kind::Route && wish.priority.is_none() {
        refuse_twin(turn, &body).await?;
    }
    let id = free(turn, kind, id, said).await?;
    Ok(vec![change("create", kind, &id, Some(&body))])
}

/// `a route`, `an upstream`.
fn one(kind: Kind) -> String {
    let article = if kind == Kind::Upstream { "an" } else { "a" };
    format!("{article} {kind}")
}

/// An id that is free; one that was said has to be.
async fn free(turn: &Turn<'_>, kind: Kind, id: String, said: bool) -> Result<String, Stop> {
    for n in 1..=TRIES {
        let tried = if n == 1 { id.clone() } else { unlike(&id, n) };
        // A name of another object is no id.
        let taken = get(turn.connection, kind, &tried).await?.is_some_and(|found| found.key.id == tried);
        if !taken {
            return Ok(tried);
        }
        if said {
            return Err(Stop::Answer(format!(
                "There is {} {id} already, and it stays as it is. Say `update {kind} {id} ...` to change it, or choose another name.",
                one(kind)
            )));
        }
    }
    Err(Stop::Answer(format!("No id like {id} is free; say one with `called ...`.")))
}

/// Two routes that take the same requests are hardly meant: one of them would never be reached.
async fn refuse_twin(turn: &Turn<'_>, body: &Value) -> Result<(), Stop> {
    let paths = texts(body, "uri", "uris");
    let mut hosts = texts(body, "host", "hosts");
    hosts.sort();
    let methods = texts(body, "", "methods");
    for path in paths {
        for route in routes_with(turn.connection, &path).await? {
            let mut known_hosts = texts(&route.value, "host", "hosts");
            known_hosts.sort();
            let known = texts(&route.value, "", "methods");
            let meets =
                known.is_empty() || methods.is_empty() || known.iter().any(|method| methods.contains(method));
            let told_apart =
                ["vars", "remote_addr", "remote_addrs"].iter().any(|name| route.value.get(*name).is_some());
            if known_hosts == hosts && meets && !told_apart {
                let id = &route.key.id;
                return Err(Stop::Answer(format!(
                    "Route {id} takes {path} already, and it stays as it is. Say `update route {id} ...` to change it, or \
                    `delete route {id}` first."
                )));
            }
        }
    }
    Ok(())
}
