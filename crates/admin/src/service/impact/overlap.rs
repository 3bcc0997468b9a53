//! Routes that take requests from one another: which one hides which, and which one narrows another.
//!
//! Only routes that come in question are read: those with the same host and path, and those whose wider path the new one lies in.

use std::collections::{HashMap, HashSet};

use usher_model::change::Risk;
use usher_model::kind::{Key, Kind};

use super::super::known::{MOST_PLACES, Mark};
use super::super::world::World;
use super::super::{ServiceError, scoped};
use super::guard::weaker;
use super::route::{self, Seen};
use super::{Impact, auth, leave, span};

/// Routes with the same host and path that are read at most.
const RIVALS: usize = 64;
/// Wider patterns that are looked up at most, for one route.
const LOOK_UPS: usize = 2048;

/// Host and path pattern.
pub(super) type Place = (String, String);

/// Looks at every route that is added or changed.
pub(super) async fn assess(world: &mut World<'_>, impact: &mut Impact) -> Result<(), ServiceError> {
    let edited: Vec<Key> = world
        .drafts
        .iter()
        .filter(|draft| draft.key.kind == Kind::Route && draft.after.is_some())
        .map(|draft| draft.key.clone())
        .collect();
    let mut drafted: HashMap<Place, Vec<Key>> = HashMap::new();
    for key in &edited {
        if let Some(seen) = route::after(world, key).await? {
            for place in places(&seen) {
                drafted.entry(place).or_default().push(key.clone());
            }
        }
    }
    for key in edited {
        let Some(seen) = route::after(world, &key).await?.filter(|seen| seen.route.is_on()) else { continue };
        // What already took these requests before the change takes nothing new.
        let was = route::before(world, &key).await?.filter(|was| was.route.is_on());
        for rival in rivals(world, &seen, &drafted).await? {
            meet(world, impact, &seen, was.as_ref(), &rival);
        }
        if let Some(wider) = wider(world, &seen).await? {
            narrow(world, impact, &seen, was.as_ref(), &wider);
        }
    }
    leave::assess(world, impact, &drafted).await
}

/// Routes with a host and path of this one, and a method in common.
pub(super) async fn rivals(
    world: &mut World<'_>,
    seen: &Seen,
    drafted: &HashMap<Place, Vec<Key>>,
) -> Result<Vec<Seen>, ServiceError> {
    let mut keys: Vec<Key> = world.service.look_up(|index| {
        let mut keys = Vec::new();
        for place in places(seen) {
            let room = RIVALS.saturating_sub(keys.len());
            let mark = Mark::Place(&place.0, &place.1);
            keys.extend(index.holders(mark, room, |key| world.draft(key).is_none()));
            keys.extend(drafted.get(&place).into_iter().flatten().take(RIVALS).cloned());
        }
        keys
    });
    keys.sort();
    keys.dedup();
    let mut found = Vec::new();
    for key in keys.into_iter().filter(|key| *key != seen.key).take(RIVALS) {
        if let Some(rival) = route::after(world, &key).await?
            && rival.route.is_on()
            && rival.shares_methods(seen)
            && shares_place(&rival, seen)
        {
            found.push(rival);
        }
    }
    Ok(found)
}

/// Where routes with a host and path of this one stand in the index.
fn places(seen: &Seen) -> Vec<Place> {
    // A route without a host of its own stands there for every host, whatever its service says.
    let hosts = || std::iter::once("").chain(seen.hosts.iter().map(String::as_str));
    let places = seen.route.uris().flat_map(|uri| hosts().map(move |host| (host.to_owned(), uri.to_owned())));
    places.take(MOST_PLACES).collect()
}

fn shares_place(one: &Seen, other: &Seen) -> bool {
    let uris: HashSet<&str> = one.route.uris().collect();
    let hosts: HashSet<&str> = one.hosts.iter().map(String::as_str).collect();
    other.route.uris().any(|uri| uris.contains(uri))
        && ((hosts.is_empty() && other.hosts.is_empty())
            || other.hosts.iter().any(|host| hosts.contains(host.as_str())))
}

/// Says who of two routes with the same host and path gets the requests.
fn meet(world: &World<'_>, impact: &mut Impact, seen: &Seen, was: Option<&Seen>, rival: &Seen) {
    let rank = |route: &Seen| (route.route.priority, std::cmp::Reverse(route.created));
    let wins = match rank(seen).cmp(&rank(rival)) {
        std::cmp::Ordering::Equal => seen.key < rival.key,
        order => order.is_gt(),
    };
    let (winner, loser) = if wins { (seen, rival) } else { (rival, seen) };
    let because = if winner.route.priority == loser.route.priority {
        "the older one goes first".to_owned()
    } else {
        format!("priority {} goes before {}", winner.route.priority, loser.route.priority)
    };
    let (winner_key, loser_key) = (named(world, winner), named(world, loser));
    let whole = winner.covers_methods(loser) && !winner.is_conditional();
    impact.warn(if whole {
        format!("{winner_key} hides {loser_key}: they have the same host and path, and {because}")
    } else {
        format!("{winner_key} and {loser_key} share host and path: where both fit, {because}")
    });
    let took_before = was.is_some_and(|was| {
        shares_place(was, rival) && rank(was) > rank(rival) && span::fewer(seen, was).is_none()
    });
    if wins && !took_before && world.draft(&rival.key).is_none_or(|draft| draft.before.is_some()) {
        takes(world, impact, seen, rival);
    }
}

/// The existing route with the longest path pattern that the new one lies in, by path or by host.
pub(super) async fn wider(world: &mut World<'_>, seen: &Seen) -> Result<Option<Seen>, ServiceError> {
    let above = hosts_above(seen);
    let around: Vec<&str> =
        seen.hosts.iter().map(String::as_str).chain(above.iter().map(String::as_str)).collect();
    let mut candidates: Vec<(usize, Key)> = world.service.look_up(|index| {
        let mut found = Vec::new();
        let mut left = LOOK_UPS;
        let mut look = |host: &str, pattern: &str| {
            left = left.saturating_sub(1);
            if left > 0 {
                let holders = index.holders(Mark::Place(host, pattern), 4, |key| *key != seen.key);
                found.extend(holders.into_iter().map(|key| (pattern.len(), key)));
            }
            left > 0
        };
        for uri in seen.route.uris() {
            // With a host a route goes before those of the same path that take more hosts.
            let by_host = seen.hosts.is_empty() || above.iter().all(|host| look(host, uri));
            let by_path = wider_patterns(uri).all(|pattern| around.iter().all(|host| look(host, &pattern)));
            if !by_host || !by_path {
                break;
            }
        }
        found
    });
    candidates.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    for (_, key) in candidates.into_iter().take(RIVALS) {
        if let Some(wider) = route::after(world, &key).await?
            && wider.route.is_on()
            && wider.shares_methods(seen)
            && covers_a_host(&wider, seen)
            && !shares_place(&wider, seen)
        {
            return Ok(Some(wider));
        }
    }
    Ok(None)
}

/// Every pattern that takes more paths than this one, longest first.
fn wider_patterns(uri: &str) -> impl Iterator<Item = String> {
    let (covered, itself) = match uri.strip_suffix('*') {
        Some(covered) => (covered, None),
        None => (uri, Some(uri.len())),
    };
    let shorter = covered.char_indices().rev().map(|(end, _)| end);
    itself.into_iter().chain(shorter).map(|end| format!("{}*", uri.get(..end).unwrap_or_default()))
}

/// The hosts of routes that take this one's hosts too: every wildcard above them, and none at all.
fn hosts_above(seen: &Seen) -> Vec<String> {
    let mut hosts = vec![String::new()];
    for host in &seen.hosts {
        let dots = host.match_indices('.').filter_map(|(dot, _)| host.get(dot..));
        hosts.extend(dots.map(|above| format!("*{above}")).filter(|above| above != host));
    }
    hosts.dedup();
    hosts
}

fn covers_a_host(wider: &Seen, seen: &Seen) -> bool {
    wider.hosts.is_empty()
        || seen.hosts.iter().any(|host| wider.hosts.iter().any(|pattern| span::covers_host(pattern, host)))
}

fn narrow(world: &World<'_>, impact: &mut Impact, seen: &Seen, was: Option<&Seen>, wider: &Seen) {
    if was.is_some_and(|was| span::fewer(seen, was).is_none()) {
        return;
    }
    impact.warn(format!("{} takes requests that {} took so far", seen.key, named(world, wider)));
    takes(world, impact, seen, wider);
}

/// Requests go to `seen` instead of `other` from now on.
fn takes(world: &World<'_>, impact: &mut Impact, seen: &Seen, other: &Seen) {
    let whose = named(world, other);
    impact.raise(Risk::Medium, format!("{} takes requests from {whose}", seen.key));
    let registry = world.service.registry();
    for what in weaker(&auth::of(registry, other), &auth::of(registry, seen)) {
        let reason = format!("{} takes requests from {whose}, whose traffic {what}", seen.key);
        impact.warn(reason.clone());
        impact.raise(Risk::High, reason);
    }
}

/// A route by its name, where the principal may see it.
pub(super) fn named(world: &World<'_>, seen: &Seen) -> String {
    let service = seen.route.service_id.as_ref().zip(seen.service.as_deref());
    let service = service.map(|(id, value)| (Key::new(Kind::Service, id.as_str()), value));
    let above = service.as_ref().map(|(key, value)| (key, *value));
    if world.draft(&seen.key).is_some()
        || scoped::misfit(&world.scope, &seen.key, &seen.value, above).is_none()
    {
        seen.key.to_string()
    } else {
        "a route outside your scope".to_owned()
    }
}
