//! Sentences that change or delete what is there.

use usher_model::kind::Kind;

use super::clauses::{self, name, node, unknown};
use super::intent::{Alteration, Called, Intent, Part, Reference, Target, Unknown, Wish};
use super::words::{Form, Word, Words};
use super::{kinds, numbers, target};

type Read = Result<Option<Intent>, Unknown>;

fn changed(target: Target, alteration: Alteration) -> Read {
    Ok(Some(Intent::Change { target, alteration }))
}

const fn kind_of(target: &Target) -> Kind {
    match target {
        Target::One(reference) => reference.kind,
        Target::Everything => Kind::GlobalRule,
    }
}

/// `set the weight of node 127.0.0.1:3001 in upstream x to 3`.
pub(super) fn weigh(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let told = probe.eat("set|change|update|make|give|put the? weight of|for the? node|server?");
    let node_first = !told && probe.eat("set|give|change the? node|server");
    if !told && !node_first {
        return Ok(None);
    }
    let Some(mut found) = node(&mut probe)? else {
        return Err(unknown(&probe, Some("a node is an address such as 127.0.0.1:3000")));
    };
    let mut upstream = None;
    loop {
        if probe.eat("in|of|on|from the? upstream|backend?") {
            let called =
                name(&mut probe).ok_or_else(|| unknown(&probe, Some("which upstream is missing")))?;
            upstream = Some(Reference { kind: Kind::Upstream, called: Called::Name(called) });
        } else if probe.eat("a? weight of?") || probe.eat("to|=|at|as|with weight?") {
            let weight = numbers::number(&mut probe);
            found.weight =
                Some(weight.ok_or_else(|| unknown(&probe, Some("a weight is a whole number from 0")))?);
        } else {
            break;
        }
    }
    if found.weight.is_none() {
        return Err(unknown(words, Some("say the weight, such as `to 3`")));
    }
    *words = probe;
    Ok(Some(Intent::Weigh { node: found, upstream }))
}

/// Where the target at the sentence's end begins: what stands before it, and the target.
fn to_target<'a>(words: &Words<'a>) -> Option<(&'a [Word], Target)> {
    let mut place = *words;
    while !place.is_done() {
        if target::begins(&place) {
            let mut behind = place;
            behind.take();
            if let Some((found, _)) = target::read(&mut behind)
                && behind.is_done()
            {
                return Some((place.since(words), found));
            }
        }
        place.take();
    }
    None
}

/// Reads `clauses to target`.
fn clauses_to_target(words: &mut Words<'_>, alteration: fn(Box<Wish>) -> Alteration) -> Read {
    let Some((before, target)) = to_target(words) else { return Ok(None) };
    let mut wish = Wish::default();
    let mut place = Words::new(before);
    clauses::read(&mut place, &mut wish, kind_of(&target))?;
    if wish.is_empty() {
        return Ok(None);
    }
    while words.take().is_some() {}
    changed(target, alteration(Box::new(wish)))
}

/// `add a limit of 5 requests a second to route x`, `enable cors on /topic/*`.
pub(super) fn add(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let told = probe.eat("add|put|attach|apply|install|enable|activate|set|use|configure|give")
        || probe.eat("turn|switch on");
    // `enable route x` is about the route, `use upstream x for route y` isn't about the upstream.
    let mut object = probe;
    let alone =
        target::reference(&mut object, Kind::Route).is_some_and(|(_, explicit)| explicit) && object.is_done();
    if !told || alone {
        return Ok(None);
    }
    // `set the limit of x to ...` says where the value goes, not the clause.
    let sets = words.sees("set|give|use|configure");
    let found = match clauses_to_target(&mut probe, if sets { Alteration::Set } else { Alteration::Add }) {
        Err(_) if sets => None,
        found => found?,
    };
    if found.is_none() && words.sees("add|attach|install") {
        return Err(unknown(words, Some("say what to add to what, such as `add cors to route speaker`")));
    }
    if found.is_some() {
        *words = probe;
    }
    Ok(found)
}

/// `require a key on /topic/*`, `limit route x to 5 per second`, `protect x with key auth`, `point x to http://...`, `rename x to y`.
pub(super) fn act(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    if probe.eat("rename") {
        return rename(words, probe);
    }
    if probe.eat("rate? limit|throttle|cap") || probe.eat("rate-limit") {
        let mut aim = probe;
        if let Some((target, _)) = target::read(&mut aim)
            && aim.eat("to|at|by")
        {
            return with_clauses(words, aim, target, "limit");
        }
    }
    if probe.eat("protect|secure|guard|point|move|switch|direct|connect") {
        let mut aim = probe;
        if let Some((target, _)) = target::read(&mut aim)
            && aim.sees("with|by|using|to")
        {
            return with_clauses(words, aim, target, "");
        }
    }
    let mut probe = *words;
    let known = probe.sees(
        "require|requires|demand|limit|allow|deny|block|admit|only|strip|rewrite|refuse|reject|ban|permit|restrict|cache|redirect",
    );
    if !known {
        return Ok(None);
    }
    let found = clauses_to_target(&mut probe, Alteration::Add)?;
    if found.is_none() {
        return Err(unknown(words, Some("say where, such as `on route speaker` or `on /speaker/*`")));
    }
    *words = probe;
    Ok(found)
}

fn rename<'a>(words: &mut Words<'a>, mut probe: Words<'a>) -> Read {
    let Some((reference, _)) = target::reference(&mut probe, Kind::Route) else {
        return Err(unknown(&probe, Some("say what, such as `rename route speaker to talks`")));
    };
    if !probe.eat("to|as|into") {
        return Err(unknown(words, Some("say the new name behind `to`")));
    }
    let called = name(&mut probe).ok_or_else(|| unknown(words, Some("the new name is missing")))?;
    *words = probe;
    let wish = Wish { name: Some(called), ..Wish::default() };
    changed(Target::One(reference), Alteration::Set(Box::new(wish)))
}

/// The rest as clauses, with a word put before it that says what they are about.
fn with_clauses<'a>(words: &mut Words<'a>, rest: Words<'a>, target: Target, about: &str) -> Read {
    let mut all = super::words::split(about);
    all.extend(rest.rest().iter().cloned());
    // A key may stand apart from the word that says so.
    super::words::mark_secrets(&mut all);
    let mut wish = Wish::default();
    clauses::read(&mut Words::new(&all), &mut wish, kind_of(&target))?;
    if wish.is_empty() {
        return Err(unknown(words, Some("say what it shall have")));
    }
    while words.take().is_some() {}
    changed(target, Alteration::Set(Box::new(wish)))
}

/// `update route x with ...`, `change the limit of route x to ...`, `make route x require a key`.
pub(super) fn set(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    if !probe.eat("update|change|modify|set|edit|configure|make|let|alter|adjust|replace|give|have") {
        return Ok(None);
    }
    match value_of(words, probe)? {
        None => clauses_of(words, probe),
        found => Ok(found),
    }
}

/// `the limit of route x to 5 per second`: the clause is the words before `of` and those behind `to`.
fn value_of<'a>(words: &mut Words<'a>, before: Words<'a>) -> Read {
    let mut place = before;
    while !place.is_done() {
        let mut aim = place;
        if aim.eat("of|on|for|in")
            && let Some((target, _)) = target::read(&mut aim)
            && aim.eat("to|=|as")
        {
            let about: Vec<&str> = place.since(&before).iter().map(|word| word.low.as_str()).collect();
            // `route x to GET` has no `of` that parts it: the other reading may fit.
            let object = target::reference(&mut before.clone(), Kind::Route);
            let named =
                object.is_some_and(|(reference, explicit)| explicit && reference.called != Called::That);
            return match with_clauses(words, aim, target, &about.join(" ")) {
                Err(_) if named => Ok(None),
                found => found,
            };
        }
        place.take();
    }
    Ok(None)
}

/// `route x with a limit of 5 per second`, `route x to GET and POST`.
fn clauses_of<'a>(words: &mut Words<'a>, mut object: Words<'a>) -> Read {
    let Some((reference, true)) = target::reference(&mut object, Kind::Route) else { return Ok(None) };
    if object.is_done() {
        return Err(unknown(words, Some("say what it shall have, such as `with 5 requests a second`")));
    }
    object.eat("so|such that");
    let target = Target::One(reference);
    match with_clauses(words, object, target.clone(), "") {
        // `change route x to 5 requests a second`
        Err(_) if object.eat("to") => with_clauses(words, object, target, ""),
        found => found,
    }
}

/// `remove the limit from route x`, `delete route x`.
pub(super) fn remove(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let told = probe.eat("remove|delete|drop|take|clear|unset|destroy|erase")
        || probe.eat("get rid of")
        || probe.eat("turn|switch off");
    if !told {
        return Ok(None);
    }
    if let Some(found) = parts_of(&mut probe.clone())? {
        while words.take().is_some() {}
        return Ok(Some(found));
    }
    if !words.sees("remove|delete|drop|destroy|erase|get") {
        return Ok(None);
    }
    if matches!(target::read(&mut probe.clone()), Some((Target::Everything, _))) || kinds_in_bulk(&probe) {
        let reason = "nothing is deleted in bulk: name each object, such as `delete route speaker`";
        return Err(unknown(words, Some(reason)));
    }
    let Some((first, explicit)) = target::reference(&mut probe, Kind::Route) else {
        return Err(unknown(words, Some("say the kind and the name, such as `delete route speaker`")));
    };
    let mut gone = apart(if explicit { first } else { target::anything(first) });
    while probe.eat(",? and|,?") {
        let kind = gone.last().map_or(Kind::Route, |last| last.kind);
        match target::reference(&mut probe, kind) {
            Some((further, _)) => gone.extend(apart(further)),
            None => return Err(unknown(&probe, None)),
        }
    }
    *words = probe;
    Ok(Some(Intent::Delete(gone)))
}

fn kinds_in_bulk(words: &Words<'_>) -> bool {
    let mut probe = *words;
    probe.eat("all|every|the of? the?");
    kinds::several(&mut probe).is_some() && probe.is_done()
}

/// `a and b` names two objects.
fn apart(reference: Reference) -> Vec<Reference> {
    match &reference.called {
        Called::Name(both) | Called::Anything(both) if both.contains(" and ") => {
            let named = !matches!(reference.called, Called::Anything(_));
            let called = |one: &str| {
                if named { Called::Name(one.to_owned()) } else { Called::Anything(one.to_owned()) }
            };
            both.split(" and ").map(|one| Reference { kind: reference.kind, called: called(one) }).collect()
        }
        _ => vec![reference],
    }
}

/// `the limit and the host a.test from route x`.
fn parts_of(words: &mut Words<'_>) -> Read {
    let mut parts = Vec::new();
    loop {
        words.eat("the|its|a|any");
        let Some(part) = part(words)? else { return Ok(None) };
        parts.push(part);
        if !words.eat(",? and|,?") {
            break;
        }
    }
    if !words.eat("from|of|off|on|for|out of?") {
        return Ok(None);
    }
    match target::read(words) {
        Some((target, _)) if words.is_done() => changed(target, Alteration::Drop(parts)),
        _ => Ok(None),
    }
}

fn part(words: &mut Words<'_>) -> Result<Option<Part>, Unknown> {
    let mut probe = *words;
    if probe.eat("host|hosts")
        && let Some(word) = probe.peek().filter(|word| word.low.contains('.') || word.form == Form::Quoted)
    {
        let host = word.low.clone();
        probe.take();
        *words = probe;
        return Ok(Some(Part::Host(host)));
    }
    probe = *words;
    probe.eat("method");
    if let Some(method) = kinds::method(&mut probe) {
        *words = probe;
        return Ok(Some(Part::Method(method)));
    }
    probe = *words;
    probe.eat("node|server");
    if let Some(node) = node(&mut probe)? {
        *words = probe;
        return Ok(Some(Part::Node(node)));
    }
    Ok(kinds::part(words))
}

/// `disable route x`, `take route x out of service`.
pub(super) fn serve(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let serves = if probe.eat("disable|pause|stop|deactivate|suspend") || probe.eat("turn|switch off") {
        Some(false)
    } else if probe.eat("enable|resume|activate|start|reactivate") || probe.eat("turn|switch on") {
        Some(true)
    } else if probe.eat("turn|switch|take|put|bring") {
        None
    } else {
        return Ok(None);
    };
    let Some((reference, true)) = target::reference(&mut probe, Kind::Route) else { return Ok(None) };
    let serves = match serves {
        None if probe.eat("off") || probe.eat("out of service?") => false,
        None if probe.eat("on") || probe.eat("back? in|into|to service?") || probe.eat("back") => true,
        None => return Ok(None),
        Some(serves) => serves,
    };
    if reference.kind != Kind::Route {
        return Err(unknown(words, Some("only routes can be taken out of service")));
    }
    *words = probe;
    changed(Target::One(reference), Alteration::Serve(serves))
}
