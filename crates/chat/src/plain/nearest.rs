//! The known sentences that are nearest to one that isn't understood.
//!
//! First the sentence itself with misspelt words set right, when it can be read then; else those examples that share most words with it.

use usher_model::nearest::nearest;

use super::examples::{self, EXAMPLES};
use super::words::{Form, Word, Words, shown, split};

/// How many are offered.
const OFFERED: usize = 3;

/// Words that every sentence has.
const COMMON: [&str; 16] =
    ["a", "an", "the", "to", "for", "of", "on", "in", "with", "and", "it", "that", "me", "all", "is", ","];

/// At most three sentences.
pub(crate) fn sentences(words: &[Word]) -> Vec<String> {
    if let Some(corrected) = corrected(words) {
        return vec![corrected];
    }
    let said: Vec<&str> = telling(words);
    let mut ranked: Vec<(usize, &str)> = EXAMPLES
        .iter()
        .flat_map(|group| group.sentences)
        .map(|sentence| (shared(&said, &split(sentence)), *sentence))
        .filter(|(shared, _)| *shared > 0)
        .collect();
    // Stable: among equals the more usual sentences stand first.
    ranked.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
    let mut offered: Vec<String> = Vec::new();
    for (_, sentence) in ranked.into_iter().take(OFFERED) {
        offered.push(sentence.to_owned());
    }
    if offered.is_empty() { examples::first(OFFERED) } else { offered }
}

fn telling(words: &[Word]) -> Vec<&str> {
    words
        .iter()
        .filter(|word| word.form == Form::Plain && !word.secret && !COMMON.contains(&word.low.as_str()))
        .map(|word| word.low.as_str())
        .collect()
}

fn shared(said: &[&str], example: &[Word]) -> usize {
    let known = telling(example);
    // The verb at the beginning says most about what is wanted.
    let verb = usize::from(!said.is_empty() && said.first() == known.first());
    2 * verb + said.iter().filter(|word| known.contains(word)).count()
}

/// The sentence with each unknown word set right, if it can be read so.
fn corrected(words: &[Word]) -> Option<String> {
    let vocabulary: Vec<Word> =
        EXAMPLES.iter().flat_map(|group| group.sentences).flat_map(|sentence| split(sentence)).collect();
    let known = |low: &str| vocabulary.iter().any(|word| word.low == low);
    let mut right = words.to_vec();
    let mut is_changed = false;
    for word in right.iter_mut().filter(|word| word.form == Form::Plain && !word.secret) {
        let letters = word.low.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
        if !letters || word.low.len() < 4 || known(&word.low) {
            continue;
        }
        let candidates =
            vocabulary.iter().filter(|known| known.low.len() >= 3).map(|known| known.low.as_str());
        if let Some(meant) = nearest(&word.low, candidates) {
            word.text.clone_from(&meant);
            word.low = meant;
            is_changed = true;
        }
    }
    let readable = is_changed && super::read(&right).is_ok() && Words::new(&right).peek().is_some();
    readable.then(|| shown(&right))
}
