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
