//! Numbers as people say them, and rates such as `ten requests a minute per client`.

use serde_json::{Value, json};

use super::words::{Form, Words};

/// How many requests a window admits, and what they are told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: u64,
    pub(crate) window_secs: u64,
    /// Clients where it isn't said.
    pub(crate) per: Option<Per>,
}

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Per {
    Client,
    Consumer,
    Host,
    Header(String),
    Everybody,
}

impl Rate {
    /// The body of `limit-count`.
    pub(crate) fn body(&self) -> Value {
        let (key_type, key) = match self.per.as_ref().unwrap_or(&Per::Client) {
            Per::Client => ("var", "remote_addr".to_owned()),
            Per::Consumer => ("var", "consumer_name".to_owned()),
            Per::Host => ("var", "host".to_owned()),
            Per::Header(name) => ("var", format!("http_{}", name.to_lowercase().replace('-', "_"))),
            Per::Everybody => ("constant", "everybody".to_owned()),
        };
        json!({
            "count": self.count, "time_window": self.window_secs, "rejected_code": 429, "key_type": key_type, "key": key,
        })
    }
}

/// The number that begins here: digits, words, or both (`two thousand`, `1,000`, `10k`).
pub(crate) fn number(words: &mut Words<'_>) -> Option<u64> {
    let first = words.peek().filter(|word| word.form == Form::Plain)?;
    if let Some(value) = digits(&first.low) {
        words.take();
        return scaled(value, words);
    }
    let article = words.sees("a|an hundred|thousand|dozen|million");
    if article {
        words.take();
    }
    let mut total: Option<u64> = article.then_some(1);
    let mut thousands = 0_u64;
    while let Some(word) = words.peek().filter(|word| word.form == Form::Plain) {
        let parts: Vec<&str> = word.low.split('-').collect();
        if let Some(value) = parts.iter().map(|part| small(part)).sum::<Option<u64>>() {
            total = Some(total.unwrap_or_default().checked_add(value)?);
        } else if let (Some(times), Some(so_far)) = (multiple(&word.low), total) {
            if times >= 1_000 {
                thousands = thousands.checked_add(so_far.checked_mul(times)?)?;
                total = Some(0);
            } else {
                total = Some(so_far.checked_mul(times)?);
            }
        } else if !(word.low == "and"
            && total.is_some_and(|so_far| so_far % 100 == 0)
            && next_is_small(words))
        {
            break;
        }
        words.take();
    }
    total.and_then(|rest| thousands.checked_add(rest))
}

/// `hundred and five`: only then is `and` a part of the number.
fn next_is_small(words: &Words<'_>) -> bool {
    words.peek_at(1).is_some_and(|word| small(&word.low).is_some())
}

fn scaled(value: u64, words: &mut Words<'_>) -> Option<u64> {
    let times = words.peek().filter(|word| word.form == Form::Plain).and_then(|word| multiple(&word.low));
    match times {
        Some(times) => {
            words.take();
            value.checked_mul(times)
        }
        None => Some(value),
    }
}

fn digits(low: &str) -> Option<u64> {
    let (number, times) = match low.strip_suffix('k') {
        Some(number) => (number, 1_000),
        None => (low, 1),
    };
    let grouped = number.contains(',');
    let in_groups = number.split(',').enumerate().all(|(at, group)| {
        group.bytes().all(|byte| byte.is_ascii_digit())
            && if at > 0 { group.len() == 3 } else { !group.is_empty() && (!grouped || group.len() <= 3) }
    });
    if !in_groups {
        return None;
    }
    number.replace(',', "").parse::<u64>().ok()?.checked_mul(times)
}

fn small(word: &str) -> Option<u64> {
    const ONES: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let find =
        |list: &[&str]| list.iter().position(|known| *known == word).and_then(|at| u64::try_from(at).ok());
    find(&ONES).or_else(|| find(&TENS).map(|at| (at + 2) * 10))
}

fn multiple(word: &str) -> Option<u64> {
    match word {
        "dozen" => Some(12),
        "hundred" => Some(100),
        "thousand" => Some(1_000),
        "million" => Some(1_000_000),
        _ => None,
    }
}

/// The rate that begins here, if one does; otherwise nothing moves.
pub(crate) fn rate(words: &mut Words<'_>) -> Option<Rate> {
    let mut probe = *words;
    let (count, window_secs) = short_rate(&mut probe).or_else(|| long_rate(&mut probe))?;
    let per = per(&mut probe);
    *words = probe;
    Some(Rate { count, window_secs, per })
}

/// `100/h`, `5/second`, `10rpm`, `10 rps`.
fn short_rate(words: &mut Words<'_>) -> Option<(u64, u64)> {
    let mut probe = *words;
    let word = probe.take().filter(|word| word.form == Form::Plain)?;
    let whole = match probe.peek() {
        Some(next)
            if (matches!(next.low.as_str(), "rps" | "rpm" | "rph")
                || next.low.split_once('/').is_some_and(|(counted, _)| is_request(counted)))
                && digits(&word.low).is_some() =>
        {
            probe.take();
            format!("{}{}", word.low, next.low)
        }
        _ => word.low.clone(),
    };
    let (number, unit) = match whole.split_once('/') {
        Some((number, unit)) => {
            let end = number
                .find(|letter: char| letter.is_ascii_alphabetic() && letter != 'k')
                .unwrap_or(number.len());
            let (number, counted) = number.split_at_checked(end)?;
            if !counted.is_empty() && !is_request(counted) {
                return None;
            }
            (number, unit)
        }
        None => {
            let number = whole.strip_suffix("rps").map(|number| (number, "s"));
            let number = number.or_else(|| whole.strip_suffix("rpm").map(|number| (number, "min")));
            number.or_else(|| whole.strip_suffix("rph").map(|number| (number, "h")))?
        }
    };
    let found = (digits(number)?, unit_secs(unit)?);
    *words = probe;
    Some(found)
}

/// A word for what is counted, as it stands before a slash.
fn is_request(word: &str) -> bool {
    matches!(
        word,
        "r" | "req"
            | "reqs"
            | "request"
            | "requests"
            | "call"
            | "calls"
            | "hit"
            | "hits"
            | "query"
            | "queries"
    )
}

/// `ten requests a minute`, `10 every 30 seconds`, `once a second`.
fn long_rate(words: &mut Words<'_>) -> Option<(u64, u64)> {
    let mut probe = *words;
    let count = if probe.eat("once") {
        1
    } else if probe.eat("twice") {
        2
    } else {
        number(&mut probe)?
    };
    probe.eat("requests|request|calls|call|hits|times|time|reqs|req|queries");
    let within = probe.eat("in|within");
    (probe.eat("a|an|per|each|every|any|/") || within).then_some(())?;
    let times = number(&mut probe).unwrap_or(1);
    let unit = probe.take().filter(|word| word.form == Form::Plain)?;
    let window = unit_secs(&unit.low)?.checked_mul(times).filter(|secs| *secs > 0)?;
    *words = probe;
    Some((count, window))
}

/// A unit of time in seconds.
pub(crate) fn unit_secs(word: &str) -> Option<u64> {
    match word {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hr" | "hour" | "hours" => Some(3_600),
        "d" | "day" | "days" => Some(86_400),
        "week" | "weeks" => Some(604_800),
        _ => None,
    }
}

/// What a rate is per, if it is said.
pub(crate) fn per(words: &mut Words<'_>) -> Option<Per> {
    if words.eat("in total|all")
        || words.eat("in? total|overall|altogether|together")
        || words.eat("for everybody|everyone|all")
    {
        return Some(Per::Everybody);
    }
    let mut probe = *words;
    let lead = probe.eat("for|from each|every|any|one|a") || probe.eat("per|by|each");
    if !lead {
        return None;
    }
    let found = who(&mut probe)?;
    *words = probe;
    Some(found)
}

/// Somebody who is counted.
pub(crate) fn who(words: &mut Words<'_>) -> Option<Per> {
    if words.eat("client|remote? ip|address|addresses|caller") {
        words.eat("address");
        return Some(Per::Client);
    }
    if words.eat("client") {
        return Some(Per::Client);
    }
    if words.eat("api? consumer|user|key") {
        return Some(Per::Consumer);
    }
    if words.eat("host|domain") {
        return Some(Per::Host);
    }
    if words.eat("header") {
        return words.take().map(|word| Per::Header(word.text.clone()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::words::{Words, split};
    use super::{Per, number, rate};

    #[test]
    fn numbers_are_read_in_digits_and_words() {
        for (said, wanted) in [
            ("ten", Some(10)),
            ("1,000", Some(1_000)),
            ("10k", Some(10_000)),
            ("a hundred", Some(100)),
            ("two hundred and five", Some(205)),
            ("twenty-five", Some(25)),
            ("twenty five", Some(25)),
            ("three thousand two hundred", Some(3_200)),
            ("a dozen", Some(12)),
            ("2 thousand", Some(2_000)),
            ("10,00", None),
            ("many", None),
            ("99999999999999999999", None),
            ("18446744073709551615 thousand", None),
        ] {
            assert_eq!(number(&mut Words::new(&split(said))), wanted, "{said}");
        }
    }

    #[test]
    fn rates_are_read_as_people_say_them() {
        for (said, wanted) in [
            ("ten requests a minute per client", Some((10, 60, Per::Client))),
            ("5 per second", Some((5, 1, Per::Client))),
            ("100/h", Some((100, 3_600, Per::Client))),
            ("100req/day", Some((100, 86_400, Per::Client))),
            ("10 req/s", Some((10, 1, Per::Client))),
            ("10 requests/min", Some((10, 60, Per::Client))),
            ("10k requests/h", Some((10_000, 3_600, Per::Client))),
            ("10 apples/s", None),
            ("10rpm", Some((10, 60, Per::Client))),
            ("10 rps in total", Some((10, 1, Per::Everybody))),
            ("once a second", Some((1, 1, Per::Client))),
            ("1,000 calls a day per consumer", Some((1_000, 86_400, Per::Consumer))),
            ("10 requests every 30 seconds for each ip address", Some((10, 30, Per::Client))),
            ("5 requests a second per api key", Some((5, 1, Per::Consumer))),
            ("5 a minute per header X-Tenant", Some((5, 60, Per::Header("X-Tenant".to_owned())))),
            ("two hundred hits within five minutes overall", Some((200, 300, Per::Everybody))),
            ("ten routes", None),
            ("5 requests", None),
            ("5 per zero seconds", None),
        ] {
            let all = split(said);
            let mut words = Words::new(&all);
            let found =
                rate(&mut words).map(|rate| (rate.count, rate.window_secs, rate.per.unwrap_or(Per::Client)));
            assert_eq!(found, wanted, "{said}");
            assert_eq!(words.is_done(), wanted.is_some(), "{said}: all or nothing is read");
        }
    }
}
