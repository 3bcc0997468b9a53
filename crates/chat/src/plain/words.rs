//! A sentence as words, and a place in it that the grammar moves on.
//!
//! Quotes and JSON are one word each, whatever is in them. A word that carries a key is marked, so that no text made from the sentence shows it.

/// The longest sentence that is looked at, in characters.
pub(crate) const LONGEST: usize = 4_000;

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// As it was said, without quotes and punctuation.
    pub(crate) text: String,
    /// In lower case, for comparing.
    pub(crate) low: String,
    pub(crate) form: Form,
    /// Whether it carries a key.
    pub(crate) secret: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Quoted,
    Json,
    Comma,
}

impl Word {
    fn new(text: &str, form: Form) -> Self {
        Self { text: text.to_owned(), low: text.to_lowercase(), form, secret: false }
    }

    /// As it may be shown.
    fn shown(&self) -> &str {
        match self.form {
            _ if self.secret => "***",
            Form::Json => "{...}",
            _ => &self.text,
        }
    }

    /// Whether it parts two sentences: a semicolon or the end of a line.
    pub(crate) fn is_break(&self) -> bool {
        self.form == Form::Comma && self.text == ";"
    }

    pub(crate) fn is_path(&self) -> bool {
        self.form != Form::Json && self.text.starts_with('/')
    }
}

/// Words as a text that may be shown and kept: without keys and JSON.
pub(crate) fn shown(words: &[Word]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && word.form != Form::Comma {
            text.push(' ');
        }
        text.push_str(word.shown());
    }
    text
}

/// Takes a sentence apart.
pub(crate) fn split(sentence: &str) -> Vec<Word> {
    let sentence: String = sentence.chars().take(LONGEST).map(|c| if c == '’' { '\'' } else { c }).collect();
    let mut words = Vec::new();
    let mut rest = sentence.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = match first {
            '{' => json(rest, &mut words),
            '"' | '\'' | '`' => quoted(rest, first, first, &mut words),
            '“' => quoted(rest, '“', '”', &mut words),
            _ => None,
        };
        let after = after.unwrap_or_else(|| plain(rest, &mut words));
        rest = after.trim_start();
        if after.strip_suffix(rest).is_some_and(|between| between.contains('\n')) {
            words.push(Word::new(";", Form::Comma));
        }
    }
    while words.last().is_some_and(Word::is_break) {
        words.pop();
    }
    mark_secrets(&mut words);
    words
}

fn quoted<'a>(rest: &'a str, open: char, close: char, words: &mut Vec<Word>) -> Option<&'a str> {
    let inside = rest.get(open.len_utf8()..)?;
    let (text, after) = inside.split_once(close)?;
    // An apostrophe that begins a word is no quote unless something ends it at a word's end.
    if after.chars().next().is_some_and(char::is_alphanumeric) {
        return None;
    }
    words.push(Word::new(text, Form::Quoted));
    let stripped = after.trim_start_matches(['.', '!', '?', ':', ')']);
    Some(comma(stripped, words))
}

fn json<'a>(rest: &'a str, words: &mut Vec<Word>) -> Option<&'a str> {
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde_json::Value>();
    values.next()?.ok()?;
    let (text, after) = rest.split_at_checked(values.byte_offset())?;
    words.push(Word::new(text, Form::Json));
    Some(comma(after, words))
}

/// A comma right behind a word is a word of its own.
fn comma<'a>(rest: &'a str, words: &mut Vec<Word>) -> &'a str {
    for mark in [",", ";"] {
        if let Some(after) = rest.strip_prefix(mark) {
            words.push(Word::new(mark, Form::Comma));
            return after;
        }
    }
    rest
}

fn plain<'a>(rest: &'a str, words: &mut Vec<Word>) -> &'a str {
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let bare = word.trim_start_matches(['(', '[']).trim_end_matches([',', ';', '.', ':', '!', '?', ')']);
    // The brackets of an IPv6 address belong to it.
    let bare = if word.contains("]:") || word.ends_with(']') {
        word.trim_end_matches([',', ';', '.'])
    } else {
        bare
    };
    let behind = word.rsplit_once(bare).map_or("", |(_, behind)| behind);
    match bare {
        "" | "-" | "–" | "—" if word.contains(['-', '–', '—', ',', ';']) => {
            words.push(Word::new(if word.contains(';') { ";" } else { "," }, Form::Comma));
        }
        "" => {}
        bare => {
            match bare.split_once('=') {
                // `key=abc` is said as `key abc`.
                Some((name, value)) if is_key_word(&name.to_lowercase()) && !value.is_empty() => {
                    words.push(Word::new(name, Form::Plain));
                    words.push(Word::new(value, Form::Plain));
                }
                _ => listed(bare, words),
            }
            if behind.contains([',', ';']) {
                words.push(Word::new(if behind.contains(';') { ";" } else { "," }, Form::Comma));
            }
        }
    }
    after
}

/// Pushes a word; methods without spaces between them, `GET,POST`, are several.
fn listed(bare: &str, words: &mut Vec<Word>) {
    let parts: Vec<&str> = bare.split([',', ';', '|']).collect();
    let apart = parts.len() > 1 && parts.iter().all(|part| super::kinds::is_method(part));
    for (at, part) in if apart { parts } else { vec![bare] }.into_iter().enumerate() {
        if at > 0 {
            words.push(Word::new(",", Form::Comma));
        }
        words.push(Word::new(part, Form::Plain));
    }
}

fn is_key_word(low: &str) -> bool {
    matches!(low, "key" | "apikey" | "api-key" | "api_key" | "secret" | "password" | "token")
}

/// Words that may follow `key` without being one.
const NO_KEYS: [&str; 36] = [
    "auth",
    "authentication",
    "on",
    "for",
    "from",
    "and",
    "to",
    "in",
    "at",
    "with",
    "of",
    "which",
    "that",
    "a",
    "an",
    "the",
    "if",
    "please",
    "again",
    "per",
    "or",
    "off",
    "via",
    "only",
    "by",
    "is",
    "required",
    "needed",
    "called",
    "named",
    "under",
    "limit",
    "cors",
    "but",
    "it",
    "consumer",
];

/// Marks the words that carry a key: those behind `key`, and the new one in `the key of jack to ...`.
pub(crate) fn mark_secrets(words: &mut [Word]) {
    let mut after_key = false;
    // Behind `key of`, the word after `to` is the key.
    let mut owned = Owned::No;
    for word in words {
        owned = match owned {
            Owned::To if word.form != Form::Comma => {
                word.secret = true;
                Owned::No
            }
            Owned::Of if word.form == Form::Plain && word.low == "to" => Owned::To,
            Owned::No if after_key && word.form == Form::Plain && word.low == "of" => Owned::Of,
            same => same,
        };
        if word.secret {
            after_key = false;
            continue;
        }
        if after_key && matches!(word.low.as_str(), "is" | "=" | "to") && word.form == Form::Plain {
            continue;
        }
        let stays =
            word.form == Form::Comma || (word.form == Form::Plain && NO_KEYS.contains(&word.low.as_str()));
        word.secret = after_key && !stays && !word.is_path();
        after_key = word.form == Form::Plain && !word.secret && is_key_word(&word.low);
    }
}

#[derive(Clone, Copy)]
enum Owned {
    No,
    Of,
    To,
}

/// A place in a sentence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    all: &'a [Word],
    at: usize,
}

impl<'a> Words<'a> {
    pub(crate) const fn new(all: &'a [Word]) -> Self {
        Self { all, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<&'a Word> {
        self.all.get(self.at)
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<&'a Word> {
        self.all.get(self.at + ahead)
    }

    pub(crate) fn take(&mut self) -> Option<&'a Word> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.all.len()
    }

    /// The words from a former place up to here.
    pub(crate) fn since(&self, former: &Self) -> &'a [Word] {
        self.all.get(former.at..self.at).unwrap_or_default()
    }

    /// The words from here on.
    pub(crate) fn rest(&self) -> &'a [Word] {
        self.all.get(self.at..).unwrap_or_default()
    }

    /// Moves behind `pattern` if it stands here: words apart by spaces, each `a|b` for alternatives, with `?` behind where it may be
    /// absent. Quoted words are names and match nothing.
    pub(crate) fn eat(&mut self, pattern: &str) -> bool {
        let mut at = self.at;
        for wanted in pattern.split(' ') {
            let (wanted, optional) = match wanted.strip_suffix('?') {
                Some(wanted) => (wanted, true),
                None => (wanted, false),
            };
            let here = self.all.get(at).filter(|word| matches!(word.form, Form::Plain | Form::Comma));
            if here.is_some_and(|word| wanted.split('|').any(|wanted| wanted == word.low)) {
                at += 1;
            } else if !optional {
                return false;
            }
        }
        let moved = at > self.at;
        self.at = at;
        moved
    }

    /// Whether `pattern` stands here.
    pub(crate) fn sees(&self, pattern: &str) -> bool {
        let mut probe = *self;
        probe.eat(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Words, shown, split};

    fn texts(sentence: &str) -> Vec<String> {
        split(sentence).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_quotes_json_and_commas_come_apart() {
        for (sentence, wanted) in [
            ("Show all routes.", vec!["Show", "all", "routes"]),
            (
                "put http://127.0.0.1:3000 behind /c/*, ten",
                vec!["put", "http://127.0.0.1:3000", "behind", "/c/*", ",", "ten"],
            ),
            ("named \"the big one\", with", vec!["named", "the big one", ",", "with"]),
            ("don't 'a b'", vec!["don't", "a b"]),
            ("why does GET /x?y=1 answer 404?", vec!["why", "does", "GET", "/x?y=1", "answer", "404"]),
            ("1,000 a day", vec!["1,000", "a", "day"]),
            ("plugin cors {\"a\": \"x } y\"}, and", vec!["plugin", "cors", "{\"a\": \"x } y\"}", ",", "and"]),
            ("to [::1]:3000 (weight 2)", vec!["to", "[::1]:3000", "weight", "2"]),
            ("a - b", vec!["a", ",", "b"]),
            ("GET,POST /x", vec!["GET", ",", "POST", "/x"]),
            ("a; b", vec!["a", ";", "b"]),
            ("a\n\n b;\n", vec!["a", ";", "b"]),
            ("{ no json", vec!["{", "no", "json"]),
            ("key=abc", vec!["key", "abc"]),
            ("???", vec![]),
        ] {
            assert_eq!(texts(sentence), wanted, "{sentence}");
        }
        assert_eq!(split("'a b'")[0].form, Form::Quoted);
    }

    #[test]
    fn keys_are_marked_and_not_shown() {
        for (sentence, wanted) in [
            ("create a consumer jack with key s3cret", "create a consumer jack with key ***"),
            ("with key \"s3cret word\" please", "with key *** please"),
            ("key=s3cret", "key ***"),
            ("the key is s3cret", "the key is ***"),
            ("change the key of consumer jack to s3cret", "change the key of consumer jack to ***"),
            ("a key for /x", "a key for /x"),
            ("with key auth, five a minute", "with key auth, five a minute"),
            ("require a key on /topic/*", "require a key on /topic/*"),
            ("plugin key-auth {\"key\": \"s3cret\"}", "plugin key-auth {...}"),
        ] {
            assert_eq!(shown(&split(sentence)), wanted, "{sentence}");
        }
    }

    #[test]
    fn patterns_move_on_or_stay() {
        let all = split("the rate limit of 5");
        let mut words = Words::new(&all);
        assert!(!words.eat("limit"));
        assert!(words.eat("a|the? rate? limit of|to?"));
        assert_eq!(words.take().unwrap().text, "5");
        assert!(words.is_done() && !words.eat("a?"));
    }
}
