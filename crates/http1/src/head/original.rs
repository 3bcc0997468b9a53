//! What decoders put into a head: the text that came, and where its lines lie in it.

use super::{Field, Head, Span, Version, offset, part, span};
use crate::field::{Meaning, usual};
use crate::lines::Line;

impl Head {
    /// What a decoder reads: one call of [`Head::add_original`] a line follows, and then [`Head::fill`] with the text of all of them.
    pub(crate) fn begin(&mut self, version: Version) {
        self.clear();
        self.version = version;
    }

    /// Method and target that a decoder has checked.
    pub(crate) fn put_start(&mut self, method: &[u8], target: &[u8]) {
        self.put_method(method);
        self.put_target(target);
    }

    /// The original text, which the lines point into.
    pub(crate) fn fill(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    pub(crate) fn start_line(&self) -> (&[u8], &[u8]) {
        let of = |span: Span| part(&self.text, span.start, span.len);
        (of(self.method), of(self.target))
    }

    pub(crate) fn place_method(&mut self, start: usize, len: usize) {
        self.method = span(start, len);
        self.usual = usual(part(&self.text, self.method.start, self.method.len));
    }

    pub(crate) const fn place_target(&mut self, start: usize, len: usize) {
        self.target = span(start, len);
    }

    /// Lines that were read before, when the first of them began at `then`; now it does at `start`.
    #[inline]
    pub(crate) fn add_known(&mut self, lines: &[Field], then: u32, start: usize) {
        self.fields.extend_from_slice(lines);
        let moved = offset(start).wrapping_sub(then);
        if moved != 0 {
            for field in &mut self.fields {
                field.start = field.start.wrapping_add(moved);
                field.value = field.value.wrapping_add(moved);
                field.end = field.end.wrapping_add(moved);
            }
        }
    }

    /// The lines as they were read, before anybody changed them.
    pub(crate) fn originals(&self) -> &[Field] {
        &self.fields
    }

    /// A line that begins at `start` of the original text.
    #[inline]
    pub(crate) fn add_original(&mut self, start: usize, line: &Line, meaning: Meaning) {
        let name = span(start, line.name_end - start);
        let value = span(line.value, line.value_end - line.value);
        self.fields.push(Field {
            start: name.start,
            name_len: name.len,
            value: value.start,
            value_len: value.len,
            end: offset(line.end),
            meaning,
            alive: true,
        });
    }

    pub(crate) const fn note_underscore(&mut self) {
        self.underscores = true;
    }
}
