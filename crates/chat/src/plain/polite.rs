//! What people say around a wish: `could you please ... for me, thanks`.

use super::words::{Form, Word, Words};

const BEFORE: [&str; 16] = [
    "please|kindly|now|just|ok|okay|so|then|well|,|and|also|next|first",
    "hey|hi|hello usher?",
    "usher",
    "can|could|would|will you",
    "can|could|may|shall|should we|i",
    "i|we want|need you? to",
    "i|we would like you? to",
    "i'd|we'd like you? to",
    "i'd|we'd like",
    "let's",
    "let us",
    "go ahead and",
    "i|we want|need",
    "i|we have to",
    "make sure that?",
    "be so kind and",
];

const AFTER: [&[&str]; 10] = [
    &["please"],
    &["thanks"],
    &["thank", "you"],
    &["for", "me"],
    &["for", "us"],
    &["now"],
    &["right", "now"],
    &["then"],
    &["ok"],
    &[","],
];

/// Words before a sentence that don't say whether it asks or orders.
const NEUTRAL: &str = "please|kindly|now|just|ok|okay|so|then|well|,|and|also|next|first|hey|hi|hello|usher";

/// Words that begin a question. `could you` and the like order politely.
const ASKING: &str = "should|shall|would|may|might|must|do|does|did|is|are|was|were|will|can|could|what|why|how|when|where|\
which|who|what's|shouldn't|wouldn't|won't|can't|couldn't|don't";

/// Whether a sentence asks, rather than orders: by its first words, or by a question mark.
pub(crate) fn asks(sentence: &str, all: &[Word]) -> bool {
    let mut words = Words::new(all);
    while words.eat(NEUTRAL) {}
    if words.eat("can|could you") || words.eat("would|will you please|kindly") {
        return false;
    }
    if words.sees(ASKING) {
        return true;
    }
    // What stands in quotes asks nothing.
    let quoted = |word: &str| all.iter().any(|known| known.form == Form::Quoted && known.text.contains(word));
    sentence
        .split_whitespace()
        .map(|word| word.trim_end_matches(['!', '.', ')', '\u{201d}', '"', '\'', '`']))
        .any(|word| word.ends_with(['?', '\u{ff1f}']) && !quoted(word.trim_start_matches(['"', '\''])))
}

/// The words without politeness at both ends.
pub(crate) fn strip(all: &[Word]) -> &[Word] {
    let mut words = Words::new(all);
    while BEFORE.iter().any(|phrase| words.eat(phrase)) {}
    let mut rest = words.rest();
    while let Some(shorter) = AFTER.iter().find_map(|phrase| without(rest, phrase)) {
        rest = shorter;
    }
    rest
}

fn without<'a>(words: &'a [Word], phrase: &[&str]) -> Option<&'a [Word]> {
    let (front, back) = words.split_at_checked(words.len().checked_sub(phrase.len())?)?;
    let same = |(word, wanted): (&Word, &&str)| {
        matches!(word.form, Form::Plain | Form::Comma) && word.low == **wanted
    };
    // A sentence is never only politeness.
    (!front.is_empty() && back.iter().zip(phrase).all(same)).then_some(front)
}
