//! The head of a message: its start line and fields as they came, with edits kept beside them.
//!
//! One arena holds the original text and, behind it, the lines that were added; a flat table points into it. A run of untouched lines is
//! forwarded with one copy, and a connection reuses one head for all of its messages.

mod original;

use std::fmt;

pub use crate::field::{BadField, is_name};
use crate::field::{Meaning, is_token, is_value, meaning, tokens, usual};
use crate::lines::Line;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

/// Heads that grow beyond this are refused by `set` and `append`.
const MAX_TEXT: usize = 4 << 20;

/// One line of a head. Offsets into the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    start: u32,
    name_len: u32,
    value: u32,
    value_len: u32,
    /// Behind the line's CRLF.
    end: u32,
    meaning: Meaning,
    alive: bool,
}

/// Method and target, or status; the rest of a start line is fixed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// What lies there.
    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        part(text, self.start, self.len)
    }
}

/// The head of a request, of an answer, or of trailers.
#[derive(Clone, Default)]
pub struct Head {
    text: Vec<u8>,
    fields: Vec<Field>,
    method: Span,
    /// The method where it is a usual one, which many ask for; empty otherwise.
    usual: &'static str,
    target: Span,
    status: u16,
    version: Version,
    underscores: bool,
}

impl Head {
    /// A head without anything, such as trailers.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A request's head. A method or target that can't be sent becomes `GET` or `/`; use the setters where they come from outside.
    #[must_use]
    pub fn request(method: &str, target: &str) -> Self {
        let mut head = Self::default();
        if head.set_method(method).is_err() {
            head.put_method(b"GET");
        }
        if head.set_target(target).is_err() {
            head.put_target(b"/");
        }
        head
    }

    /// An answer's head.
    #[must_use]
    pub fn response(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Makes it empty; its buffers keep their room.
    pub fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.method = Span::default();
        self.usual = "";
        self.target = Span::default();
        self.status = 0;
        self.version = Version::Http11;
        self.underscores = false;
    }

    /// The method; empty for answers.
    #[must_use]
    pub fn method(&self) -> &str {
        if self.usual.is_empty() { self.str(self.method) } else { self.usual }
    }

    /// Changes the method.
    ///
    /// # Errors
    /// It is no token.
    pub fn set_method(&mut self, method: &str) -> Result<(), BadField> {
        if !is_token(method.as_bytes()) {
            return Err(BadField::Method(method.chars().take(40).collect()));
        }
        self.put_method(method.as_bytes());
        Ok(())
    }

    fn put_method(&mut self, method: &[u8]) {
        self.method = self.add_text(method);
        self.usual = usual(method);
    }

    /// The request target: path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        self.str(self.target)
    }

    /// Changes the target.
    ///
    /// # Errors
    /// It is empty, or has a character outside of visible ASCII.
    pub fn set_target(&mut self, target: &str) -> Result<(), BadField> {
        if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadField::Target);
        }
        self.put_target(target.as_bytes());
        Ok(())
    }

    pub(crate) fn put_target(&mut self, target: &[u8]) {
        self.target = self.add_text(target);
    }

    /// The status; 0 for requests.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Changes the status.
    pub const fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// The standard reason phrase of the status.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        crate::reason::phrase(self.status)
    }

    /// The version it came in.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Says in which version it came.
    pub const fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// The value of the first field of this name, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(|field| self.value_of(field))
    }

    /// The same as text; `None` also where it isn't UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The values of all fields of this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(|field| self.is_named(field, name)).map(|field| self.value_of(field))
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// All fields in order, names as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .filter(|field| field.alive)
            .map(|field| (self.str(Span { start: field.start, len: field.name_len }), self.value_of(field)))
    }

    /// The fields that may go to another connection, for whoever sends them in frames.
    pub fn iter_lasting(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .filter(|field| field.alive && field.meaning == Meaning::Ordinary)
            .map(|field| (part(&self.text, field.start, field.name_len), self.value_of(field)))
    }

    /// Replaces all fields of this name by one.
    ///
    /// # Errors
    /// Name or value can't be sent; nothing is changed then.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), BadField> {
        let value = value.as_ref();
        self.admit(name, value)?;
        self.remove(name);
        self.put(name.as_bytes(), value);
        Ok(())
    }

    /// Adds a field behind the others.
    ///
    /// # Errors
    /// Name or value can't be sent; nothing is changed then.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), BadField> {
        let value = value.as_ref();
        self.admit(name, value)?;
        self.put(name.as_bytes(), value);
        Ok(())
    }

    /// Takes away all fields of this name and says how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let mut removed = 0;
        for at in 0..self.fields.len() {
            let hit = self.fields.get(at).is_some_and(|field| self.is_named(field, name));
            if hit && let Some(field) = self.fields.get_mut(at) {
                field.alive = false;
                removed += 1;
            }
        }
        removed
    }

    /// Takes away every field for which this says yes, given name and value.
    pub fn remove_where(&mut self, mut unwanted: impl FnMut(&str, &[u8]) -> bool) {
        let text = &self.text;
        for field in self.fields.iter_mut().filter(|field| field.alive) {
            let name = part(text, field.start, field.name_len);
            let value = part(text, field.value, field.value_len);
            field.alive = !unwanted(std::str::from_utf8(name).unwrap_or_default(), value);
        }
    }

    /// The same with names as bytes, which costs no look at whether they are text. Most fields can be told to stay by their names' first byte and
    /// length: those that don't concern are not looked at.
    pub fn remove_named(
        &mut self,
        mut concerns: impl FnMut(u8, usize) -> bool,
        mut unwanted: impl FnMut(&[u8], &[u8]) -> bool,
    ) {
        let text = &self.text;
        for field in self.fields.iter_mut().filter(|field| field.alive) {
            let first = text.get(field.start as usize).copied().unwrap_or_default();
            if concerns(first, field.name_len as usize) {
                let name = part(text, field.start, field.name_len);
                field.alive = !unwanted(name, part(text, field.value, field.value_len));
            }
        }
    }

    /// Adds all fields of `other` behind these. They were checked when they came into it, so that what is sent often is checked once.
    ///
    /// # Errors
    /// [`BadField::TooLarge`]; nothing is changed then.
    pub fn append_all(&mut self, other: &Self) -> Result<(), BadField> {
        if self.text.len() + other.text.len() > MAX_TEXT {
            return Err(BadField::TooLarge("the fields of another head".to_owned()));
        }
        let moved = offset(self.text.len());
        self.text.extend_from_slice(&other.text);
        let from = self.fields.len();
        // Those that were taken away there are away here too.
        self.fields.extend_from_slice(&other.fields);
        for field in self.fields.iter_mut().skip(from) {
            field.start += moved;
            field.value += moved;
            field.end += moved;
        }
        Ok(())
    }

    /// Takes away what belongs to the connection it came by: the fixed names, and those that `Connection` names. Fields that the gateway
    /// sets afterwards are its own, whatever `Connection` named.
    pub fn drop_hop_by_hop(&mut self) {
        let nominates = self.get_all("connection").any(|value| {
            tokens(value).any(|token| {
                !(token.eq_ignore_ascii_case(b"close")
                    || token.eq_ignore_ascii_case(b"keep-alive")
                    || token.eq_ignore_ascii_case(b"upgrade"))
            })
        });
        if nominates {
            let named: Vec<Vec<u8>> =
                self.get_all("connection").flat_map(tokens).map(<[u8]>::to_vec).collect();
            self.remove_where(|name, _| {
                // Host is no field of a connection: whoever names it wants a request without one.
                !name.eq_ignore_ascii_case("host")
                    && named.iter().any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
            });
        }
        for field in &mut self.fields {
            field.alive &= field.meaning == Meaning::Ordinary;
        }
    }

    /// Whether a name that came had an underscore in it.
    #[must_use]
    pub const fn has_underscore_names(&self) -> bool {
        self.underscores
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.iter().filter(|field| field.alive).count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.fields.iter().any(|field| field.alive)
    }

    /// Writes all lines that may go to another connection: each run of neighbours with one copy.
    pub(crate) fn write_lines(&self, out: &mut Vec<u8>) {
        // A run of neighbours; where nothing was added yet, an empty one.
        let (mut start, mut end) = (0, 0);
        for field in &self.fields {
            if !field.alive || field.meaning == Meaning::Hop {
                continue;
            }
            if field.start != end {
                out.extend_from_slice(part(&self.text, start, end - start));
                start = field.start;
            }
            end = field.end;
        }
        out.extend_from_slice(part(&self.text, start, end - start));
    }

    fn find(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| self.is_named(field, name))
    }

    #[inline]
    fn is_named(&self, field: &Field, name: &str) -> bool {
        field.alive
            && field.name_len as usize == name.len()
            && part(&self.text, field.start, field.name_len).eq_ignore_ascii_case(name.as_bytes())
    }

    fn value_of(&self, field: &Field) -> &[u8] {
        part(&self.text, field.value, field.value_len)
    }

    fn admit(&self, name: &str, value: &[u8]) -> Result<(), BadField> {
        if !is_token(name.as_bytes()) {
            return Err(BadField::Name(name.chars().take(80).collect()));
        }
        if !is_value(value) {
            return Err(BadField::Value(name.to_owned()));
        }
        if self.text.len() + name.len() + value.len() + 4 > MAX_TEXT {
            return Err(BadField::TooLarge(name.to_owned()));
        }
        Ok(())
    }

    /// A line for a name and value that were checked.
    pub(crate) fn put(&mut self, name: &[u8], value: &[u8]) {
        let trimmed = value.trim_ascii();
        let start = self.text.len();
        self.text.reserve(name.len() + trimmed.len() + 4);
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        let value = self.text.len();
        self.text.extend_from_slice(trimmed);
        let value_end = self.text.len();
        self.text.extend_from_slice(b"\r\n");
        let end = self.text.len();
        let line = Line { name_end: start + name.len(), value, value_end, end, underscore: false };
        self.add_original(start, &line, meaning(name));
    }

    fn add_text(&mut self, text: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        // A run of lines must never reach over this text: neighbours touch only when nothing lies between them, and this does.
        span(start, text.len())
    }

    fn str(&self, span: Span) -> &str {
        std::str::from_utf8(part(&self.text, span.start, span.len)).unwrap_or_default()
    }
}

#[inline]
fn part(text: &[u8], start: u32, len: u32) -> &[u8] {
    let start = start as usize;
    text.get(start..start + len as usize).unwrap_or_default()
}

pub(crate) const fn span(start: usize, len: usize) -> Span {
    Span { start: offset(start), len: offset(len) }
}

/// Heads are bounded far below 4 GiB.
#[expect(
    clippy::cast_possible_truncation,
    reason = "MAX_TEXT and the decoder's limits keep offsets below 32 bits"
)]
pub(crate) const fn offset(value: usize) -> u32 {
    value as u32
}

impl fmt::Debug for Head {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(|(name, _)| name).collect();
        f.debug_struct("Head")
            .field("method", &self.method())
            .field("target", &self.target())
            .field("status", &self.status)
            .field("fields", &names)
            .finish()
    }
}
