//! A line as a shell splits it: quotes, backslashes and `$'...'`. Nothing is expanded, and what would run a second command is refused.

/// The words of a line.
///
/// # Errors
/// A quote that isn't closed, or a sign that a shell would act upon.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => single(&mut letters, word.get_or_insert_default())?,
            '"' => double(&mut letters, word.get_or_insert_default())?,
            '$' if letters.peek() == Some(&'\'') => {
                letters.next();
                escaped(&mut letters, word.get_or_insert_default())?;
            }
            '\\' => match letters.next() {
                // A line that goes on.
                Some('\n') => {}
                Some('\r') => drop(letters.next_if_eq(&'\n')),
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("the command ends with a backslash".to_owned()),
            },
            '|' | ';' | '<' | '>' | '`' => {
                return Err(format!("the command holds {letter}, which a shell would act upon"));
            }
            '&' if word.is_none() || letters.peek().is_none_or(|next| next.is_whitespace()) => {
                return Err("the command holds &, which a shell would act upon".to_owned());
            }
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn open(quote: &str) -> String {
    format!("the quote {quote} is not closed")
}

fn single(letters: &mut Letters<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match letters.next().ok_or_else(|| open("'"))? {
            '\'' => return Ok(()),
            letter => word.push(letter),
        }
    }
}

fn double(letters: &mut Letters<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match letters.next().ok_or_else(|| open("\""))? {
            '"' => return Ok(()),
            // POSIX shell, section 2.2.3: only these are escaped in double quotes.
            '\\' => match letters.next().ok_or_else(|| open("\""))? {
                '\n' => {}
                letter @ ('$' | '`' | '"' | '\\') => word.push(letter),
                letter => word.extend(['\\', letter]),
            },
            letter => word.push(letter),
        }
    }
}

/// What bash calls ANSI-C quoting, which browsers copy requests with.
fn escaped(letters: &mut Letters<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match letters.next().ok_or_else(|| open("$'"))? {
            '\'' => return Ok(()),
            '\\' => match letters.next().ok_or_else(|| open("$'"))? {
                'n' => word.push('\n'),
                'r' => word.push('\r'),
                't' => word.push('\t'),
                'x' => word.extend(code(letters, 2)),
                'u' => word.extend(code(letters, 4)),
                'U' => word.extend(code(letters, 8)),
                letter => word.push(letter),
            },
            letter => word.push(letter),
        }
    }
}

fn code(letters: &mut Letters<'_>, most: usize) -> Option<char> {
    let mut number = 0;
    for _ in 0..most {
        let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(16)) else { break };
        number = number * 16 + digit;
        letters.next();
    }
    char::from_u32(number)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, wanted) in [
            ("a  b\tc\n", &["a", "b", "c"][..]),
            ("'a b' \"c d\"", &["a b", "c d"]),
            ("a'b'\"c\"d", &["abcd"]),
            ("''", &[""]),
            ("\"a \\\" \\$b \\n\"", &["a \" $b \\n"]),
            ("a\\ b \\\n c", &["a b", "c"]),
            ("$'a\\tb\\u00e4\\''", &["a\tb\u{e4}'"]),
            ("a?x=1&y=2", &["a?x=1&y=2"]),
        ] {
            assert_eq!(split(text).unwrap(), wanted, "{text}");
        }
        for wrong in ["'a", "\"a", "a\\", "a | b", "a; b", "a > b", "a &", "$'a"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
