//! Characters that hide, reorder or fake text: whoever shows foreign text shows them as escapes.

use std::fmt::Write as _;

/// Whether a character controls, has no shape of its own, or changes the order of others: text with it reads otherwise than it is.
#[must_use]
pub fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Adds a character, as `\u{..}` where it is invisible.
pub fn push_visible(out: &mut String, letter: char) {
    if is_invisible(letter) {
        // Writing to a string can't fail.
        let _ = write!(out, "\\u{{{:x}}}", u32::from(letter));
    } else {
        out.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::push_visible;

    #[test]
    fn what_hides_or_reorders_is_shown() {
        for (text, wanted) in [
            ("Gr\u{fc}n \u{6771}", "Gr\u{fc}n \u{6771}"),
            ("a\nb\u{1b}[31m", "a\\u{a}b\\u{1b}[31m"),
            ("\u{202e}evil\u{200b}", "\\u{202e}evil\\u{200b}"),
            ("x\u{e0041}", "x\\u{e0041}"),
        ] {
            let mut shown = String::new();
            text.chars().for_each(|letter| push_visible(&mut shown, letter));
            assert_eq!(shown, wanted);
        }
    }
}
