//! How answers are shown: as a table for people, as JSON or YAML for programs.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;
use usher_model::invisible::{is_invisible, push_visible};

use crate::terminal::{Style, say};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Prints a value for programs.
///
/// # Errors
/// Standard output is closed.
pub(crate) fn print(value: &Value, format: Format) -> anyhow::Result<()> {
    say(&form(value, format)?)
}

fn form(value: &Value, format: Format) -> anyhow::Result<String> {
    let json = || escaped(&format!("{value:#}"));
    if format != Format::Yaml {
        return Ok(json());
    }
    let yaml = serde_saphyr::to_string(value)?.trim_end().to_owned();
    // JSON is YAML too, and has an escape for everything wherever it stands.
    let hides = yaml.chars().any(|letter| letter != '\n' && is_invisible(letter));
    Ok(if hides { json() } else { yaml })
}

/// JSON with escapes for what a terminal would act upon, or that reads otherwise than it is. Outside of texts only its own line ends are such.
fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter == '\n' || !is_invisible(letter) {
            shown.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a string can't fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
}

/// Text that came from elsewhere, without what a terminal would act upon.
pub(crate) fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    text.chars().for_each(|letter| push_visible(&mut shown, letter));
    shown
}

/// The same for several lines.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// Aligned columns under their titles.
pub(crate) struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// The widest that a column becomes, in cells of a terminal; longer texts end with `...`. The last column is as wide as it is.
const WIDEST: usize = 48;

impl Table {
    /// An empty table. Without titles it is only aligned.
    pub(crate) fn new(titles: impl IntoIterator<Item = &'static str>) -> Self {
        Self { titles: titles.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; what a terminal would act upon is shown as escapes.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }

    /// Prints the table; `nothing` where it has no rows.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn print(&self, style: Style, nothing: &str) -> anyhow::Result<()> {
        if self.rows.is_empty() {
            return say(nothing);
        }
        say(&self.text(style))
    }

    /// The table as it is printed.
    pub(crate) fn text(&self, style: Style) -> String {
        let last = self.titles.len().saturating_sub(1);
        let width = |column: usize| {
            let cells =
                self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width().min(WIDEST));
            cells.chain(self.titles.get(column).map(|title| title.width())).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..=last).map(width).collect();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).enumerate();
            let padded =
                cells.map(|(at, (cell, width))| if at == last { cell.clone() } else { fitted(cell, *width) });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let titles: Vec<String> = self.titles.iter().map(|title| (*title).to_owned()).collect();
        let named = self.titles.iter().any(|title| !title.is_empty());
        let mut lines: Vec<String> = named.then(|| style.bold(&line(&titles))).into_iter().collect();
        lines.extend(self.rows.iter().map(|row| line(row)));
        lines.join("\n")
    }
}

/// A cell of exactly this width.
fn fitted(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return format!("{cell}{}", " ".repeat(width - cell.width()));
    }
    let mut kept = String::new();
    for letter in cell.chars() {
        if kept.width() + 4 > width {
            break;
        }
        kept.push(letter);
    }
    let shown = format!("{kept}...");
    let padding = width.saturating_sub(shown.width());
    format!("{shown}{}", " ".repeat(padding))
}

/// A member that is a whole number; 0 where it is none.
pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// A member that is a text; empty where it is none.
pub(crate) fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A moment, as people of this machine's time zone write it.
pub(crate) fn moment(unix_ms: u64) -> String {
    let stamp = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match stamp {
        Some(stamp) => stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => unix_ms.to_string(),
    }
}

/// How long it is until a moment, in its largest whole unit; `now` where that is over.
pub(crate) fn until(unix_ms: u64, now_unix_ms: u64) -> String {
    let secs = unix_ms.saturating_sub(now_unix_ms).div_ceil(1000);
    match secs {
        0 => "now".to_owned(),
        1..120 => format!("in {secs} s"),
        120..7200 => format!("in {} min", secs / 60),
        7200..172_800 => format!("in {} h", secs / 3600),
        _ => format!("in {} days", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Format, Table, clean, fitted, form, until};
    use crate::terminal::Style;

    #[test]
    fn the_time_until_a_moment_is_told_in_its_largest_whole_unit() {
        for (ms, wanted) in [
            (0, "now"),
            (1000, "now"),
            (1001, "in 1 s"),
            (120_000, "in 119 s"),
            (121_000, "in 2 min"),
            (7_201_000, "in 2 h"),
            (172_801_000, "in 2 days"),
        ] {
            assert_eq!(until(ms, 1000), wanted, "{ms}");
        }
    }

    #[test]
    fn every_form_escapes_what_a_terminal_acts_upon_and_reads_back() {
        let value = json!({ "name": "x\u{1b}[31m\u{9b}31m\u{202e}\u{e0041}", "lines": "a\nb" });
        for format in [Format::Json, Format::Yaml] {
            let text = form(&value, format).unwrap();
            assert!(!text.chars().any(|c| c != '\n' && usher_model::invisible::is_invisible(c)), "{text:?}");
            assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value);
        }
        assert_eq!(form(&json!({ "a": "b" }), Format::Yaml).unwrap(), "a: b");
    }

    #[test]
    fn columns_are_aligned_and_nothing_foreign_reaches_the_terminal() {
        let mut table = Table::new(["ID", "NAME", "URI"]);
        table.row(["1".to_owned(), "東京".to_owned(), "/a".to_owned()]);
        table.row(["long-id".to_owned(), "x\u{1b}[31m".to_owned(), "/b".to_owned()]);
        assert_eq!(
            table.text(Style::plain()),
            "ID       NAME         URI\n1        東京         /a\nlong-id  x\\u{1b}[31m  /b"
        );
        assert_eq!(fitted("abcdefgh", 6), "abc...");
        assert_eq!(clean("a\nb"), "a\\u{a}b");
    }
}
