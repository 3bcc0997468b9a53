//! Sentences without a model: what they want, without asking anybody. `docs/chat.md` lists them for people.
//!
//! Nothing is guessed. Every word has to belong to something, and what doesn't is said back with the nearest sentence that is known.

mod asks;
pub(crate) mod clauses;
pub(crate) mod compose;
pub(crate) mod examples;
mod ids;
pub(crate) mod intent;
pub(crate) mod kinds;
mod makes;
mod modifies;
mod nearest;
mod numbers;
mod polite;
mod requests;
pub(crate) mod revise;
mod target;
#[cfg(test)]
mod tests;
mod traffic;
pub(crate) mod words;

pub(crate) use self::ids::unlike;

use self::intent::{Intent, Question, Said, Unknown};
use self::words::{LONGEST, Words};

/// A way to begin a sentence: reads it whole if it begins so.
type Opening = fn(&mut Words<'_>) -> Result<Option<Intent>, Unknown>;

/// In the order in which they are tried.
const OPENINGS: [Opening; 25] = [
    asks::bye,
    asks::help,
    asks::trait_of,
    asks::undo,
    traffic::health,
    traffic::refused,
    traffic::slow,
    traffic::requests,
    traffic::traffic,
    asks::history,
    asks::overview,
    asks::plugins,
    requests::explain,
    makes::forward,
    requests::probe,
    asks::list,
    asks::show,
    makes::create,
    makes::put,
    modifies::weigh,
    modifies::add,
    modifies::remove,
    modifies::serve,
    modifies::set,
    modifies::act,
];

/// Understands a sentence.
///
/// # Errors
/// [`Unknown`], with the part that wasn't understood and sentences that are near.
pub(crate) fn parse(sentence: &str) -> Result<Said, Unknown> {
    if sentence.chars().count() > LONGEST {
        let reason = format!("a sentence has at most {LONGEST} characters");
        return Err(Unknown { part: String::new(), reason: Some(reason), nearest: Vec::new() });
    }
    let all = words::split(sentence);
    if all.iter().any(words::Word::is_break) {
        let reason = "one sentence at a time: say each on its own, so that each is answered and agreed to";
        return Err(Unknown { part: String::new(), reason: Some(reason.to_owned()), nearest: Vec::new() });
    }
    let plain = polite::strip(&all);
    match read(plain) {
        // A question whether to change something changes nothing.
        Ok(intent) if intent.acts() && polite::asks(sentence, &all) => {
            let order = words::shown(plain);
            Ok(Said { intent: Intent::Ask(Question::Order(order)), sentence: words::shown(&all) })
        }
        Ok(intent) => Ok(Said { intent, sentence: words::shown(&all) }),
        Err(mut unknown) => {
            unknown.nearest = nearest::sentences(plain);
            Err(unknown)
        }
    }
}

fn read(plain: &[words::Word]) -> Result<Intent, Unknown> {
    for opening in OPENINGS {
        let mut words = Words::new(plain);
        let Some(intent) = opening(&mut words)? else { continue };
        words.eat(",");
        return if words.is_done() { Ok(intent) } else { Err(clauses::unknown(&words, None)) };
    }
    Err(Unknown { part: words::shown(plain), reason: None, nearest: Vec::new() })
}
