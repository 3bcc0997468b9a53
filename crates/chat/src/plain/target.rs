//! The object that a sentence is about: by id or name, by what it takes, as `it`, or everything.

use usher_model::kind::{Key, Kind};

use super::clauses::name;
use super::intent::{Called, Reference, Target};
use super::kinds;
use super::words::{Form, Word, Words};

/// Whether a target begins here: `to route x`, `on /topic/*`, `for everything`, `to it`.
pub(crate) fn begins(words: &Words<'_>) -> bool {
    let mut probe = *words;
    // Behind these a bare name is a target; behind the others it may be anything.
    let sure = probe.eat("to|onto") || (probe.sees("on|for the") && probe.eat("on|for"));
    if !sure && !probe.eat("on|for|from|of|in|off") {
        return false;
    }
    // Hosts, nodes and origins stand behind the same words.
    let elsewhere = probe.peek().is_some_and(|word| {
        word.low.contains("://") || super::clauses::domain(&word.low) || super::clauses::address(&word.low)
    });
    read(&mut probe).is_some_and(|(_, explicit)| explicit || (sure && !elsewhere))
}

/// The target here, and whether its kind or its path was said.
pub(crate) fn read(words: &mut Words<'_>) -> Option<(Target, bool)> {
    if all(words) {
        return Some((Target::Everything, true));
    }
    let (reference, explicit) = reference(words, Kind::Route)?;
    Some((Target::One(reference), explicit))
}

fn all(words: &mut Words<'_>) -> bool {
    words.eat("everything|everybody|everyone")
        || words.eat("all|every|any|each of? the? requests|request|routes|route|traffic")
}

/// The object here, and whether its kind or its path was said. Without either it is one of `kind`.
pub(crate) fn reference(words: &mut Words<'_>, kind: Kind) -> Option<(Reference, bool)> {
    let mut probe = *words;
    if probe.eat("it|that|this") && stands_alone(&probe) {
        *words = probe;
        return Some((Reference { kind, called: Called::It }, true));
    }
    let mut probe = *words;
    let article = probe.eat("the|this|that|my|our");
    if let Some(kind) = kinds::one(&mut probe) {
        let behind = probe;
        probe.eat("for|at|on|behind|matching|named|called|with? id?");
        let by_id = probe.since(&behind).last().is_some_and(|word| word.low == "id");
        if let Some(called) = path(&mut probe) {
            *words = probe;
            return Some((Reference { kind: Kind::Route, called }, kind == Kind::Route));
        }
        let called = match name(&mut probe) {
            Some(id) if by_id => Called::Id(id),
            Some(id) if kind == Kind::Credential => Called::Name(credential(id, &mut probe)),
            Some(name) => Called::Name(name),
            None if article => Called::That,
            None => return None,
        };
        *words = probe;
        return Some((Reference { kind, called }, true));
    }
    if let Some(called) = path(&mut probe) {
        *words = probe;
        return Some((Reference { kind: Kind::Route, called }, true));
    }
    let quoted = probe.peek().is_some_and(|word| word.form == Form::Quoted);
    let called = name(&mut probe)?;
    // `the speaker route`: the kind stands behind the name.
    let found = match called.rsplit_once(' ') {
        Some((name, last)) if !quoted => kind_word(last).map(|kind| (kind, name.to_owned())),
        _ => None,
    };
    let after = found.is_none().then(|| kinds::one(&mut probe)).flatten();
    *words = probe;
    Some(match (found, after) {
        (Some((kind, name)), _) => (Reference { kind, called: Called::Name(name) }, true),
        (None, Some(kind)) => (Reference { kind, called: Called::Name(called) }, true),
        (None, None) => (Reference { kind, called: Called::Name(called) }, false),
    })
}

/// The same where no kind was said: one of whatever kind.
pub(crate) fn anything(reference: Reference) -> Reference {
    match reference.called {
        Called::Name(name) => Reference { called: Called::Anything(name), ..reference },
        _ => reference,
    }
}

fn stands_alone(behind: &Words<'_>) -> bool {
    behind.is_done()
        || behind
            .sees("disabled|enabled|inactive|need|needs|in|,|to|with|so|from|and|require|requires|again|on|off|out|back|allow|have|a|an|accept|strip")
}

fn kind_word(word: &str) -> Option<Kind> {
    let all = super::words::split(word);
    kinds::one(&mut Words::new(&all))
}

/// `GET /speaker/*`, `/speaker/*`.
fn path(words: &mut Words<'_>) -> Option<Called> {
    let mut probe = *words;
    let method = kinds::method(&mut probe);
    let word = probe.take().filter(|word| Word::is_path(word))?;
    *words = probe;
    Some(Called::Path { method, path: word.text.clone() })
}

/// A credential's whole id: `c1 of consumer jack`.
fn credential(id: String, words: &mut Words<'_>) -> String {
    let mut probe = *words;
    if !probe.eat("of|from|for the? consumer?") {
        return id;
    }
    match name(&mut probe) {
        Some(consumer) => {
            *words = probe;
            Key::credential(&consumer, &id).id
        }
        None => id,
    }
}
