//! Text of users inside text of ours: what could hide, reorder or fake a line is shown as an escape.

use usher_model::invisible::push_visible;

/// The text with control, bidirectional and invisible characters escaped.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|letter| push_visible(&mut shown, letter));
    shown
}

/// The same, cut after `most` characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", plain(text.get(..end).unwrap_or_default())),
        None => plain(text),
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_long_text_is_cut_between_its_characters() {
        assert_eq!(shortened("abcdef", 3), "abc...");
        assert_eq!(shortened("äb\n", 3), "äb\\u{a}");
    }
}
