//! The known word most like a misspelt one, for "did you mean".

/// Words longer than this are not compared.
const LONGEST: usize = 64;

/// The word of `among` nearest to `word`, if one is near enough to be meant: at most a third of its letters differ, swaps counted once.
pub fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<String> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let best = among
        .filter(|known| known.len() <= LONGEST)
        .map(|known| (distance(&word.to_lowercase(), &known.to_lowercase()), known))
        .min_by_key(|(distance, known)| (*distance, known.len()))?;
    let (distance, known) = best;
    (distance <= (word.len().max(known.len()) / 3).max(1)).then(|| known.to_owned())
}

/// Damerau-Levenshtein distance over bytes, with neighbours swapped at the price of one.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let at = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&last, j + 1) + 1).min(at(&row, j) + 1).min(at(&last, j) + usize::from(a != b));
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn misspelt_words_are_recognised_and_strange_ones_are_not() {
        let known = ["limit-count", "limit-conn", "key-auth", "cors"];
        for (word, wanted) in [
            ("limit-cout", Some("limit-count")),
            ("keyauth", Some("key-auth")),
            ("crso", None),
            ("cosr", Some("cors")),
            ("Key-Auth", Some("key-auth")),
            ("prometheus", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()).as_deref(), wanted, "{word}");
        }
    }
}
