//! The clauses that say what an object shall have: they come in any order, and every word has to belong to one.
//!
//! A word that belongs to none ends the reading with the part that wasn't understood: half a sentence is never acted upon.

mod place;
mod plugins;
mod traits;

use usher_model::kind::Kind;

use super::intent::{Unknown, Wish};
use super::words::{Form, Word, Words, shown};
use super::{kinds, numbers};
pub(crate) use place::{address, addresses, backend_here, domain, node};
pub(crate) use plugins::{redirect_to, strip_pattern};
pub(crate) use traits::pair;

/// One kind of clause: reads it if it stands here.
type Clause = fn(&mut Words<'_>, &mut Wish, Kind) -> Result<bool, Unknown>;

/// In the order in which they are tried.
const CLAUSES: [Clause; 19] = [
    traits::written,
    plugins::limit,
    traits::key,
    plugins::addresses,
    plugins::cors,
    plugins::strip,
    plugins::rewrite,
    plugins::redirect,
    traits::plugin_config,
    plugins::named,
    plugins::key_auth,
    traits::called,
    traits::labels,
    traits::numbers,
    traits::switches,
    place::owner,
    place::paths,
    place::hosts,
    place::backend,
];

/// Words between clauses that say nothing by themselves.
const GLUE: &str = ",|and|also|then|plus|but|it|its|that|which|should|must|be|is|are|has|have|having|with|a|an|the|please|some|so|new|us|me";

/// Reads clauses to the end, for an object of this kind.
pub(crate) fn read(words: &mut Words<'_>, wish: &mut Wish, kind: Kind) -> Result<(), Unknown> {
    'clauses: while !words.is_done() {
        for clause in CLAUSES {
            if clause(words, wish, kind)? {
                continue 'clauses;
            }
        }
        if !words.eat(GLUE) {
            return Err(unknown(words, None));
        }
    }
    Ok(())
}

/// Items one after the other: `a`, `a and b`, `a, b or c`. `item` reads one, and is told whether it is the first.
pub(crate) fn series<'a, T>(
    words: &mut Words<'a>,
    mut item: impl FnMut(&mut Words<'a>, bool) -> Option<T>,
) -> Vec<T> {
    let mut items = Vec::new();
    let mut probe = *words;
    while let Some(found) = item(&mut probe, items.is_empty()) {
        items.push(found);
        *words = probe;
        if !probe.eat(",? and|or|,?") {
            break;
        }
    }
    items
}

/// The next word, if it fits.
pub(crate) fn take_if<'a>(words: &mut Words<'a>, fits: impl Fn(&Word) -> bool) -> Option<&'a Word> {
    words.peek().filter(|word| fits(word))?;
    words.take()
}

/// The part from here to the next comma.
pub(crate) fn unknown(words: &Words<'_>, reason: Option<&str>) -> Unknown {
    let rest = words.rest();
    let end = rest.iter().position(|word| word.form == Form::Comma).unwrap_or(rest.len());
    let part = rest.get(..end.max(1)).unwrap_or(rest);
    Unknown { part: shown(part), reason: reason.map(str::to_owned), nearest: Vec::new() }
}

/// The same for a part that was read already.
pub(crate) fn bad(part: &[Word], reason: &str) -> Unknown {
    Unknown { part: shown(part), reason: Some(reason.to_owned()), nearest: Vec::new() }
}

/// Words that end a name, unless it is quoted.
const ENDS_NAME: &str = "with|for|on|at|under|below|behind|via|using|that|which|limit|limited|limiting|rate|throttled|allow|\
allowing|only|deny|denying|block|blocking|require|requires|requiring|needs|strip|stripping|without|rewrite|rewriting|redirect|\
redirecting|named|called|id|priority|host|hosts|protected|secured|from|to|weight|per|max|in|into|of|as|is|has|should|off|please|\
timeout|label|labels|labelled|disabled|enabled|inactive|paused|accept|accepts|take|takes|need|have|out|back|plus";

/// A name: a quoted one, or the words up to where something else begins.
pub(crate) fn name(words: &mut Words<'_>) -> Option<String> {
    let first = words.peek()?;
    if first.form == Form::Quoted {
        words.take();
        return Some(first.text.clone()).filter(|name| !name.trim().is_empty());
    }
    let mut parts: Vec<&str> = Vec::new();
    while let Some(word) = words.peek() {
        let article = !parts.is_empty() && words.sees("a|an|the");
        if word.form != Form::Plain || word.is_path() || word.secret || article || ends_name(words) {
            break;
        }
        parts.push(&word.text);
        words.take();
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn ends_name(words: &Words<'_>) -> bool {
    if words.sees(ENDS_NAME) || numbers::rate(&mut words.clone()).is_some() {
        return true;
    }
    let mut behind = *words;
    if behind.eat("and") {
        let another = behind.peek().is_some_and(|word| word.form != Form::Plain || word.is_path());
        let mut feature = behind;
        feature.eat("a|an|the");
        return another
            || behind.is_done()
            || ends_name(&behind)
            || kinds::plugin(&mut feature).is_some()
            || node(&mut behind).is_ok_and(|node| node.is_some());
    }
    node(&mut behind).is_ok_and(|node| node.is_some())
}
