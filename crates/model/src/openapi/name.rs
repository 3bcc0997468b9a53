//! What a function is called that stands for an operation.

use std::collections::BTreeSet;

/// Characters of a name: what all chats take.
const MOST_NAME: usize = 64;

/// The name of an operation as a function: the document's own, or one made of method and path, of letters, digits, `_` and `-`; never one that is
/// taken, and taken from now on.
pub fn operation_name(own: Option<&str>, method: &str, path: &str, taken: &mut BTreeSet<String>) -> String {
    let letters = own.map_or_else(|| format!("{method}{path}"), str::to_owned);
    let fit = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let name: String = letters.chars().map(|letter| if fit(letter) { letter } else { '_' }).collect();
    let name = name.trim_matches('_');
    let name: String =
        if name.is_empty() { method.to_owned() } else { name.chars().take(MOST_NAME).collect() };
    let mut unique = name.clone();
    let mut number = 2_usize;
    while taken.contains(&unique) {
        let mark = format!("_{number}");
        unique = name.chars().take(MOST_NAME - mark.len()).collect();
        unique.push_str(&mark);
        number += 1;
    }
    taken.insert(unique.clone());
    unique
}
