//! One line of an access log: the variables of a finished exchange or connection, escaped as nginx escapes them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::Duration;

use usher_model::variables::Variables;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::moment;
use usher_pipeline::stream::Session;

use crate::options::Escape;

/// The most of one value that is logged, in bytes before escaping.
const LONGEST: usize = 8 << 10;

/// What a line tells of.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Finished<'a> {
    /// A request and its answer.
    Exchange(&'a Exchange),
    /// A connection of a stream route, or one client of a UDP port.
    Session(&'a Session),
}

/// What has finished as its line sees it.
pub(super) struct Line<'a> {
    pub(super) finished: Finished<'a>,
    pub(super) unix: Duration,
    pub(super) moment: &'a Moment,
    pub(super) escape: Escape,
}

/// The second that is written, formatted once.
#[derive(Default)]
pub(super) struct Moment {
    text: RefCell<(u64, String, String)>,
}

impl Moment {
    fn with<R>(&self, second: u64, read: impl FnOnce(&str, &str) -> R) -> R {
        let mut text = self.text.borrow_mut();
        if text.0 != second || text.1.is_empty() {
            *text = (second, moment::local(second), moment::iso8601(second));
        }
        read(&text.1, &text.2)
    }
}

impl Line<'_> {
    fn of_log(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let second = self.unix.as_secs();
        let text = match name {
            "time_local" => self.moment.with(second, |local, _| local.to_owned()),
            "time_iso8601" => self.moment.with(second, |_, iso| iso.to_owned()),
            "msec" => format!("{second}.{:03}", self.unix.subsec_millis()),
            "pid" => std::process::id().to_string(),
            _ => {
                return match self.finished {
                    Finished::Exchange(exchange) => of_exchange(exchange, name),
                    Finished::Session(session) => session.variable(name),
                };
            }
        };
        Some(text.into_bytes().into())
    }
}

fn of_exchange<'a>(exchange: &'a Exchange, name: &str) -> Option<Cow<'a, [u8]>> {
    let request = &exchange.request;
    match name {
        "http_host" => {
            let host = match request.port() {
                Some(port) => format!("{}:{port}", request.host()),
                None => request.host().to_owned(),
            };
            Some(host.into_bytes().into())
        }
        // Of what couldn't be read as a request nothing is made up.
        "request" | "server_protocol" if request.method().is_empty() => None,
        _ => exchange.variable(name),
    }
}

impl Variables for Line<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let value = self.of_log(name).filter(|value| !value.is_empty());
        Some(match (self.escape, value) {
            (Escape::Plain, Some(value)) => escaped(value),
            (Escape::Plain, None) => b"-".as_slice().into(),
            (Escape::Json, Some(value)) => in_json(value),
            (Escape::None, Some(value)) => unbroken(value),
            (_, None) => b"".as_slice().into(),
        })
    }
}

/// Quotes, backslashes, control characters and what isn't ASCII become `\xXX`, so that nobody writes lines of their own.
fn escaped(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let harmless = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if value.len() <= LONGEST && value.iter().all(harmless) {
        return value;
    }
    let mut out = Vec::with_capacity(value.len() + 16);
    for byte in value.iter().take(LONGEST) {
        if harmless(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("\\x{byte:02X}").as_bytes());
        }
    }
    if value.len() > LONGEST {
        out.extend_from_slice(b"...");
    }
    out.into()
}

/// As inside of a JSON string. What isn't UTF-8 is replaced, because no reader of JSON would take it.
fn in_json(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let harmless = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if value.len() <= LONGEST && value.iter().all(harmless) {
        return value;
    }
    let text = String::from_utf8_lossy(value.get(..LONGEST).unwrap_or(&value)).into_owned();
    let quoted = serde_json::Value::String(text).to_string();
    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let mut out = inside.as_bytes().to_vec();
    if value.len() > LONGEST {
        out.extend_from_slice(b"...");
    }
    out.into()
}

/// As it is, but on one line: nobody writes lines of their own.
fn unbroken(value: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let value = match value {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..LONGEST).unwrap_or(bytes)),
        Cow::Owned(mut bytes) => {
            bytes.truncate(LONGEST);
            Cow::Owned(bytes)
        }
    };
    if !value.iter().any(u8::is_ascii_control) {
        return value;
    }
    let mut out = Vec::with_capacity(value.len() + 16);
    for byte in value.iter() {
        if byte.is_ascii_control() {
            out.extend_from_slice(format!("\\x{byte:02X}").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, escaped, in_json, unbroken};

    #[test]
    fn values_in_json_are_json_and_values_as_they_are_stay_on_their_line() {
        let hostile = b"a\"b\\c\r\n\x01\xc3\xa9\xff".as_slice();
        let json = in_json(hostile.into());
        let text = format!("\"{}\"", std::str::from_utf8(&json).unwrap());
        let read: String = serde_json::from_str(&text).unwrap();
        assert_eq!(read, "a\"b\\c\r\n\u{1}\u{e9}\u{fffd}");
        assert_eq!(&*unbroken(b"a \"b\"\r\n".as_slice().into()), b"a \"b\"\\x0D\\x0A".as_slice());
        assert_eq!(in_json(vec![b'x'; 1 << 20].into()).len(), LONGEST + 3);
    }

    #[test]
    fn nothing_in_a_value_can_end_its_line() {
        let hostile = b"a\r\nb\"c\\d\x1b\xe2\x80\xa8".as_slice();
        assert_eq!(&*escaped(hostile.into()), b"a\\x0D\\x0Ab\\x22c\\x5Cd\\x1B\\xE2\\x80\\xA8".as_slice());
        assert_eq!(escaped(vec![b'x'; 1 << 20].into()).len(), LONGEST + 3);
    }
}
