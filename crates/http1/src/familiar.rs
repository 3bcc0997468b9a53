//! Lines that came before. Heads of one client, or of one upstream, differ from each other in few lines, or in none; what is the same as in the head
//! before was judged then, and costs a comparison.
//!
//! All fields up to the empty line are compared as one. Where they differ, they are one by one: then only those that pass through are known, and what
//! belongs to framing, or to the connection, is judged anew.

use crate::facts::Facts;
use crate::head::{Field, Head, Version, offset};
use crate::lines::Line;

/// Lines of a head that are remembered.
const MOST_LINES: usize = 32;
/// Bytes of them. Beyond that all are forgotten.
const MOST_TEXT: usize = 4 << 10;
/// Bytes of one line.
const MOST_LINE: usize = 1 << 10;
/// Bytes of all fields of a head, to be remembered as one.
const MOST_WHOLE: usize = 2 << 10;

/// The lines of the last heads of one origin, each at its place in the head.
#[derive(Debug, Default)]
pub struct Familiar {
    text: Vec<u8>,
    lines: Vec<Known>,
    whole: Whole,
    forgets: bool,
}

/// All fields of a head, with the empty line behind them.
#[derive(Debug, Default)]
struct Whole {
    text: Vec<u8>,
    fields: Vec<Field>,
    /// Where the first one began.
    start: u32,
    version: Version,
    facts: Facts,
    /// How long they were in the last head that was not this one.
    last: usize,
}

/// One line. Places count from its beginning.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Where it lies in the text.
    at: u32,
    /// Its length with CRLF; 0 where none is known.
    length: u32,
    name_end: u32,
    value: u32,
    value_end: u32,
}

impl Familiar {
    /// Remembers nothing, for heads that have nothing to do with each other.
    #[must_use]
    pub const fn forgetful() -> Self {
        Self {
            text: Vec::new(),
            lines: Vec::new(),
            whole: Whole {
                text: Vec::new(),
                fields: Vec::new(),
                start: 0,
                version: Version::Http11,
                facts: Facts::NONE,
                last: 0,
            },
            forgets: true,
        }
    }

    /// From now on lines are remembered.
    pub const fn remember(&mut self) {
        self.forgets = false;
    }

    /// Puts all fields into the head, where they are those of the head before, and tells how long the head is and what they say.
    #[inline]
    pub(crate) fn fields(
        &self,
        bytes: &[u8],
        start: usize,
        version: Version,
        head: &mut Head,
    ) -> Option<(usize, Facts)> {
        let whole = &self.whole;
        let length = start + whole.text.len();
        if whole.text.is_empty() || bytes.get(start..length)? != whole.text || whole.version != version {
            return None;
        }
        head.add_known(&whole.fields, whole.start, start);
        Some((length, whole.facts))
    }

    /// Remembers all fields of a head, which lie in it from `start` on: the first ones, and later those that are as long as others were just before.
    /// Where heads differ in more than a date, such as in the length of a body, nothing is copied for nothing.
    #[inline]
    pub(crate) fn learn_fields(
        &mut self,
        text: Option<&[u8]>,
        start: usize,
        version: Version,
        head: &Head,
        facts: &Facts,
    ) {
        let text = text.unwrap_or_default();
        if self.forgets || text.len() > MOST_WHOLE || head.originals().len() > MOST_LINES {
            return;
        }
        let whole = &mut self.whole;
        if whole.text.is_empty() || whole.last == text.len() {
            whole.learn(text, start, version, head, facts);
        }
        whole.last = text.len();
    }

    /// The line that begins at `start`, where it is the one that stood at this place in the head before.
    #[inline]
    pub(crate) fn line(&self, place: usize, bytes: &[u8], start: usize) -> Option<Line> {
        let known = self.lines.get(place).filter(|known| known.length > 0)?;
        let (at, length) = (known.at as usize, known.length as usize);
        if bytes.get(start..start + length)? != self.text.get(at..at + length)? {
            return None;
        }
        Some(Line {
            name_end: start + known.name_end as usize,
            value: start + known.value as usize,
            value_end: start + known.value_end as usize,
            end: start + length,
            underscore: false,
        })
    }

    /// Remembers a line that was judged and passes through.
    #[inline]
    pub(crate) fn learn(&mut self, place: usize, bytes: &[u8], start: usize, line: &Line) {
        if !self.forgets && !line.underscore && place < MOST_LINES {
            self.learn_new(place, bytes, start, line);
        }
    }

    /// Rare beside lines that are known.
    #[cold]
    fn learn_new(&mut self, place: usize, bytes: &[u8], start: usize, line: &Line) {
        let text = bytes.get(start..line.end).unwrap_or_default();
        if text.len() > MOST_LINE {
            return;
        }
        if self.lines.len() <= place {
            self.lines.resize(place + 1, Known::default());
        }
        let Some(known) = self.lines.get_mut(place) else { return };
        let at = known.at as usize;
        if known.length as usize == text.len() {
            // Such as a date.
            if let Some(room) = self.text.get_mut(at..at + text.len()) {
                room.copy_from_slice(text);
            }
        } else if self.text.len() + text.len() > MOST_TEXT {
            self.text.clear();
            self.lines.clear();
            return;
        } else {
            known.at = offset(self.text.len());
            self.text.extend_from_slice(text);
        }
        known.length = offset(text.len());
        known.name_end = offset(line.name_end - start);
        known.value = offset(line.value - start);
        known.value_end = offset(line.value_end - start);
    }
}

impl Whole {
    #[cold]
    fn learn(&mut self, text: &[u8], start: usize, version: Version, head: &Head, facts: &Facts) {
        self.text.clear();
        self.text.extend_from_slice(text);
        self.fields.clear();
        self.fields.extend_from_slice(head.originals());
        (self.start, self.version, self.facts) = (offset(start), version, *facts);
    }
}

#[cfg(test)]
mod tests {
    use super::{Familiar, MOST_TEXT};
    use crate::lines::{Line, Next, next};

    fn read(text: &str) -> Line {
        let Next::Field(line) = next(text.as_bytes(), 0).unwrap() else { panic!("{text:?}") };
        line
    }

    #[test]
    fn a_line_is_known_at_its_place_and_only_as_a_whole() {
        let mut familiar = Familiar::default();
        let text = "X-A:  one \r\n";
        familiar.learn(2, text.as_bytes(), 0, &read(text));
        let moved = format!("ab{text}");
        let line = familiar.line(2, moved.as_bytes(), 2).unwrap();
        assert_eq!((&moved[2..line.name_end], &moved[line.value..line.value_end]), ("X-A", "one"));
        assert_eq!(line.end, moved.len());
        for (place, other) in
            [(1, text), (3, text), (2, "X-A:  two \r\n"), (2, "X-A:  one "), (2, "x-a:  one \r\n")]
        {
            assert!(familiar.line(place, other.as_bytes(), 0).is_none(), "{place} {other:?}");
        }
    }

    #[test]
    fn newer_lines_take_the_places_of_older_ones_within_a_bound() {
        let mut familiar = Familiar::default();
        for number in 0..10_000 {
            let text = format!("X-Number: {number}\r\n");
            familiar.learn(number % 40, text.as_bytes(), 0, &read(&text));
            assert!(familiar.text.len() <= MOST_TEXT);
            let known = familiar.line(number % 40, text.as_bytes(), 0).is_some();
            assert!(known || number % 40 >= 32 || familiar.lines.is_empty(), "{number}");
        }
        let mut forgetful = Familiar::forgetful();
        forgetful.learn(0, b"A: b\r\n", 0, &read("A: b\r\n"));
        assert!(forgetful.line(0, b"A: b\r\n", 0).is_none());
    }
}
