//! Sentences that make something new.

use usher_model::kind::Kind;

use super::clauses::{self, backend_here, name, redirect_to, unknown};
use super::intent::{Intent, Unknown, Wish};
use super::kinds;
use super::words::{Word, Words};

type Read = Result<Option<Intent>, Unknown>;

fn made(kind: Kind, wish: Wish) -> Read {
    Ok(Some(Intent::Create { kind, wish: Box::new(wish) }))
}

/// Whether a path stands here, with or without methods before it.
fn at_path(words: &Words<'_>) -> bool {
    let mut probe = *words;
    while kinds::method(&mut probe).is_some() {
        probe.eat(",? and|or|,?");
    }
    probe.eat("requests? to|for?");
    probe.peek().is_some_and(Word::is_path)
}

/// `forward GET /speaker/* to the conference API`, `redirect /old to /new`.
pub(super) fn forward(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let mut wish = Wish::default();
    if probe.eat("redirect") {
        if at_path(&probe) {
            read_place(&mut probe, &mut wish)?;
        }
        if !probe.sees("to|http|permanently|temporarily|requests") {
            return Ok(None);
        }
        redirect_to(&mut probe, &mut wish)?;
    } else {
        let told = probe.eat("proxy|forward|route|map|direct|pass|expose|publish|serve|put|mount");
        if !told || !at_path(&probe) {
            return Ok(None);
        }
        read_place(&mut probe, &mut wish)?;
        // `route GET /x` without an aim is none.
        if !probe.sees("to|towards|through|via|using|in|on|for|,|with") {
            return Ok(None);
        }
    }
    let led = probe;
    let read = clauses::read(&mut probe, &mut wish, Kind::Route);
    // `serve GET /x with header ...` neither.
    let aimless = wish.backend.is_none()
        && wish.service.is_none()
        && wish.plugins.is_empty()
        && wish.plugin_config.is_none();
    if aimless && !led.sees("to|towards|through|via|using") {
        return Ok(None);
    }
    read?;
    *words = probe;
    made(Kind::Route, wish)
}

/// Only the paths at this place, so that what follows can be looked at first.
fn read_place(words: &mut Words<'_>, wish: &mut Wish) -> Result<(), Unknown> {
    let mut end = *words;
    while end.peek().is_some_and(|word| word.is_path() || kinds::method(&mut end.clone()).is_some()) || {
        let mut further = end;
        further.eat(",? and|or|,?") && at_path(&further)
    } {
        end.take();
    }
    let mut place = Words::new(end.since(words));
    clauses::read(&mut place, wish, Kind::Route)?;
    *words = end;
    Ok(())
}

/// `create a route for ...`, `add an upstream called x with nodes ...`, `a route for ...`.
pub(super) fn create(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    let told = probe.eat("create|add|new|register|define|insert") || probe.eat("set up");
    // `make a route` makes one; `make route x ...` changes one.
    probe.eat("make|build|open");
    let article = probe.eat("a|an|another new?") || probe.eat("the? new");
    if !told && !article {
        return Ok(None);
    }
    if !article {
        probe.eat("the");
    }
    let Some(kind) = kinds::one(&mut probe) else { return Ok(None) };
    if kind == Kind::PluginConfig && words.sees("add") && !article {
        // `add plugin config strict to route x` uses one.
        return Ok(None);
    }
    let mut wish = Wish::default();
    probe.eat("named|called");
    if !at_path(&probe) {
        // Behind a credential's own name comes its owner.
        let own = kind != Kind::Credential || !probe.sees("for|of|with");
        if own && let Some(called) = name(&mut probe) {
            name_it(kind, &mut wish, called);
        }
    }
    clauses::read(&mut probe, &mut wish, kind)?;
    *words = probe;
    made(kind, wish)
}

/// What is said right behind the kind is a name; where it can be one, it is the id too.
fn name_it(kind: Kind, wish: &mut Wish, called: String) {
    match kind {
        Kind::Consumer | Kind::Credential => wish.id = Some(called),
        _ => wish.name = Some(called),
    }
}

/// `put http://127.0.0.1:3000 behind /api/*`, `expose the conference API at /speaker/*`.
pub(super) fn put(words: &mut Words<'_>) -> Read {
    let mut probe = *words;
    if !probe.eat("put|place|publish|expose|serve|offer|mount|make") {
        return Ok(None);
    }
    let Some(backend) = backend_here(&mut probe)? else { return Ok(None) };
    if !probe.eat("available|reachable? behind|under|at|on|below|as|to") || !at_path(&probe) {
        return Ok(None);
    }
    let mut wish = Wish { backend: Some(backend), ..Wish::default() };
    clauses::read(&mut probe, &mut wish, Kind::Route)?;
    if wish.paths.is_empty() {
        return Err(unknown(words, Some("which path is missing")));
    }
    *words = probe;
    made(Kind::Route, wish)
}
