//! Prometheus' text format, version 0.0.4: names, escapes, lines.

use std::fmt::{Display, Write as _};

/// A text in the making. Families have to be written one after the other, each with all its lines.
pub(super) struct Text<'a> {
    prefix: &'a str,
    out: String,
}

/// What a family's numbers mean.
#[derive(Clone, Copy)]
pub(super) enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

impl<'a> Text<'a> {
    /// An empty text whose names begin with `prefix`.
    pub(super) const fn new(prefix: &'a str) -> Self {
        Self { prefix, out: String::new() }
    }

    /// Begins a family.
    pub(super) fn describe(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        let prefix = self.prefix;
        let _ = write!(self.out, "# HELP {prefix}{name} ");
        for character in help.chars() {
            match character {
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                other => self.out.push(other),
            }
        }
        let _ = write!(self.out, "\n# TYPE {prefix}{name} {kind}\n");
    }

    /// One line. `labels` are pieces as [`push_label`] writes them; empty ones are left out.
    pub(super) fn sample(&mut self, name: &str, labels: &[&str], value: impl Display) {
        self.out.push_str(self.prefix);
        self.out.push_str(name);
        let mut before = '{';
        for piece in labels.iter().filter(|piece| !piece.is_empty()) {
            self.out.push(before);
            self.out.push_str(piece);
            before = ',';
        }
        if before == ',' {
            self.out.push('}');
        }
        // Writing to a String can't fail.
        let _ = writeln!(self.out, " {value}");
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.out
    }
}

/// Adds `name="value"`, with a comma before it where it isn't the first.
pub(super) fn push_label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Microseconds, written as milliseconds.
pub(super) struct Millis(pub(super) u64);

impl Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 { write!(f, "{whole}") } else { write!(f, "{whole}.{rest:03}") }
    }
}

/// Whether this may be (the beginning of) a metric's name.
pub(super) fn is_metric_name(name: &str) -> bool {
    is_name(name, |byte| byte == b':')
}

/// Whether this may be a label's name; names that begin with two underscores are Prometheus' own.
pub(super) fn is_label_name(name: &str) -> bool {
    is_name(name, |_| false) && !name.starts_with("__")
}

fn is_name(name: &str, also: impl Fn(u8) -> bool) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || also(byte);
    name.bytes().all(good) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Millis, Text, Type, is_label_name, is_metric_name, push_label};

    #[test]
    fn what_could_break_a_line_is_escaped() {
        let mut labels = String::new();
        push_label(&mut labels, "a", "\"\\\n}é");
        push_label(&mut labels, "b", "");
        let mut text = Text::new("x_");
        text.describe("n", Type::Gauge, "a \\ b\nc \"d\"");
        text.sample("n", &["", &labels, "le=\"+Inf\""], 1);
        text.sample("n", &[], Millis(1050));
        assert_eq!(
            text.finish(),
            "# HELP x_n a \\\\ b\\nc \"d\"\n# TYPE x_n gauge\nx_n{a=\"\\\"\\\\\\n}é\",b=\"\",le=\"+Inf\"} 1\nx_n 1.050\n"
        );
    }

    #[test]
    fn names_are_told_from_other_texts() {
        for (name, metric, label) in [
            ("apisix_", true, true),
            ("a:b", true, false),
            ("__x", true, false),
            ("9a", false, false),
            ("a-b", false, false),
            ("é", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_metric_name(name), is_label_name(name)), (metric, label), "{name}");
        }
    }
}
