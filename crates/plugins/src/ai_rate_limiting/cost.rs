//! What an answer costs by an expression, such as `input_tokens + 0.1 * cache_read_input_tokens + 5 * output_tokens`.
//!
//! Names are members of what the provider says of its usage, deeper ones behind a dot; what it doesn't say is 0. Numbers, `+ - * / %`, brackets, and
//! `min`, `max`, `floor` and `ceil`, with or without `math.` before them.

use std::collections::BTreeMap;

/// The longest expression, in bytes, and how deep it may be nested.
const LONGEST: usize = 2_000;
const DEEPEST: usize = 50;

/// An expression that has been read.
#[derive(Debug, PartialEq)]
pub(super) enum Cost {
    Number(f64),
    Name(String),
    Minus(Box<Self>),
    Of(Box<Self>, Sign, Box<Self>),
    Call(Function, Vec<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
    Times,
    Over,
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Min,
    Max,
    Floor,
    Ceil,
}

impl Cost {
    /// Reads an expression.
    ///
    /// # Errors
    /// What stands in it that doesn't belong there, and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        let mut reader = Reader { text, at: 0, depth: 0 };
        let cost = reader.sum()?;
        reader.blank();
        match reader.rest().chars().next() {
            None => Ok(cost),
            Some(other) => Err(reader.surprise(other)),
        }
    }

    /// What an answer costs, in whole tokens: rounded, and 0 where the expression comes to less, or to nothing that is a number.
    pub(super) fn of(&self, usage: &BTreeMap<String, f64>) -> u64 {
        let cost = self.value(usage).round();
        // A conversion of NaN is 0, and what is too large is the largest.
        if cost > 0.0 { cost as u64 } else { 0 }
    }

    fn value(&self, usage: &BTreeMap<String, f64>) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => usage.get(name).copied().unwrap_or(0.0),
            Self::Minus(of) => -of.value(usage),
            Self::Of(one, sign, other) => {
                let (one, other) = (one.value(usage), other.value(usage));
                match sign {
                    Sign::Plus => one + other,
                    Sign::Minus => one - other,
                    Sign::Times => one * other,
                    Sign::Over => one / other,
                    Sign::Rest => one.rem_euclid(other),
                }
            }
            Self::Call(function, of) => {
                let mut values = of.iter().map(|of| of.value(usage));
                let first = values.next().unwrap_or(0.0);
                match function {
                    Function::Min => values.fold(first, f64::min),
                    Function::Max => values.fold(first, f64::max),
                    Function::Floor => first.floor(),
                    Function::Ceil => first.ceil(),
                }
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blank(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn surprise(&self, found: char) -> String {
        format!("has {found:?} at byte {}, where an operator or the end was expected", self.at)
    }

    /// Whether this comes next, which is passed then.
    fn takes(&mut self, wanted: char) -> bool {
        self.blank();
        let found = self.rest().starts_with(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn sum(&mut self) -> Result<Cost, String> {
        let mut all = self.product()?;
        loop {
            let sign = if self.takes('+') {
                Sign::Plus
            } else if self.takes('-') {
                Sign::Minus
            } else {
                return Ok(all);
            };
            all = Cost::Of(Box::new(all), sign, Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Cost, String> {
        let mut all = self.one()?;
        loop {
            let sign = if self.takes('*') {
                Sign::Times
            } else if self.takes('/') {
                Sign::Over
            } else if self.takes('%') {
                Sign::Rest
            } else {
                return Ok(all);
            };
            all = Cost::Of(Box::new(all), sign, Box::new(self.one()?));
        }
    }

    fn one(&mut self) -> Result<Cost, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("is nested deeper than {DEEPEST}"));
        }
        let one = if self.takes('-') {
            Cost::Minus(Box::new(self.one()?))
        } else if self.takes('(') {
            let inner = self.sum()?;
            self.close()?;
            inner
        } else {
            self.word()?
        };
        self.depth -= 1;
        Ok(one)
    }

    fn close(&mut self) -> Result<(), String> {
        if self.takes(')') { Ok(()) } else { Err(format!("lacks a ) at byte {}", self.at)) }
    }

    fn word(&mut self) -> Result<Cost, String> {
        self.blank();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')));
        let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().to_owned();
        if word.is_empty() {
            return Err(match rest.chars().next() {
                Some(other) => {
                    format!("has {other:?} at byte {}, where a number or a name was expected", self.at)
                }
                None => "ends where a number or a name was expected".to_owned(),
            });
        }
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            let number = word.parse().map_err(|_| format!("has {word:?}, which is no number"))?;
            self.at += word.len();
            return Ok(Cost::Number(number));
        }
        self.at += word.len();
        if !self.takes('(') {
            return Ok(Cost::Name(word));
        }
        let function = match word.strip_prefix("math.").unwrap_or(&word) {
            "min" => Function::Min,
            "max" => Function::Max,
            "floor" => Function::Floor,
            "ceil" => Function::Ceil,
            _ => return Err(format!("calls {word}; min, max, floor and ceil are there")),
        };
        let mut of = vec![self.sum()?];
        while self.takes(',') {
            of.push(self.sum()?);
        }
        self.close()?;
        if matches!(function, Function::Floor | Function::Ceil) && of.len() > 1 {
            return Err(format!("gives {word} more than one value"));
        }
        Ok(Cost::Call(function, of))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Cost, DEEPEST, LONGEST};

    #[test]
    fn expressions_are_worked_out_as_they_are_written() {
        let usage = BTreeMap::from([
            ("input_tokens".to_owned(), 100.0),
            ("output_tokens".to_owned(), 10.0),
            ("details.cached".to_owned(), 40.0),
        ]);
        for (text, wanted) in [
            ("input_tokens", 100),
            ("input_tokens + output_tokens * 5", 150),
            ("(input_tokens + output_tokens) * 5", 550),
            ("input_tokens - details.cached*0.9", 64),
            ("missing + 2.5", 3),
            ("-input_tokens", 0),
            ("- -3", 3),
            ("7 % 4 + 8 / 2", 7),
            ("max(input_tokens, output_tokens, 500)", 500),
            ("math.floor(output_tokens / 3) + math.ceil(0.1)", 4),
            ("min(1,2) * 10", 10),
            ("1 / 0", u64::MAX),
            ("0 / 0", 0),
        ] {
            assert_eq!(Cost::parse(text).map(|cost| cost.of(&usage)), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_by_its_place() {
        let deep = format!("{}1{}", "(".repeat(DEEPEST + 1), ")".repeat(DEEPEST + 1));
        let long = "1+".repeat(LONGEST);
        for (text, sentence) in [
            ("", "ends where a number or a name was expected"),
            ("1 +", "ends where a number or a name was expected"),
            ("1 2", "has '2' at byte 2"),
            ("a; b", "has ';' at byte 1"),
            ("(1", "lacks a ) at byte 2"),
            ("1.2.3", "\"1.2.3\", which is no number"),
            ("os.exit(1)", "calls os.exit; min, max, floor and ceil are there"),
            ("floor(1, 2)", "gives floor more than one value"),
            ("\u{20ac}", "has '\u{20ac}' at byte 0"),
            (&deep, "is nested deeper than"),
            (&long, "is longer than"),
        ] {
            let error = Cost::parse(text).unwrap_err();
            assert!(error.contains(sentence), "{text}: {error}");
        }
    }
}
