//! One line of the access log: the variables of a finished exchange, escaped as nginx escapes them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use usher_http1::head::Head;
use usher_model::variables::Variables;
use usher_pipeline::exchange::Exchange;

/// The most of one value that is logged, in bytes before escaping.
const LONGEST: usize = 8 << 10;

/// A finished exchange as its line sees it.
pub(super) struct Line<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) unix: Duration,
    pub(super) moment: &'a Moment,
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
            let at = Timestamp::from_second(i64::try_from(second).unwrap_or(0)).unwrap_or_default();
            let at = at.to_zoned(TimeZone::system());
            *text = (
                second,
                at.strftime("%d/%b/%Y:%H:%M:%S %z").to_string(),
                at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            );
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
            "http_host" => {
                let request = &self.exchange.request;
                match request.port() {
                    Some(port) => format!("{}:{port}", request.host()),
                    None => request.host().to_owned(),
                }
            }
            "remote_user" => user(&self.exchange.request.head)?,
            // Of what couldn't be read as a request nothing is made up.
            "request" | "server_protocol" if self.exchange.request.method().is_empty() => return None,
            _ => return self.exchange.variable(name),
        };
        Some(text.into_bytes().into())
    }
}

impl Variables for Line<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        Some(match self.of_log(name) {
            Some(value) if !value.is_empty() => escaped(value),
            _ => b"-".as_slice().into(),
        })
    }
}

/// The user of Basic authentication, whose password is never looked at.
fn user(head: &Head) -> Option<String> {
    let (scheme, credentials) = head.get_str("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut clear = Vec::new();
    for four in credentials.trim().as_bytes().chunks(4) {
        clear.extend(decode(four)?);
        if clear.contains(&b':') {
            break;
        }
    }
    let name = clear.split(|byte| *byte == b':').next()?;
    String::from_utf8(name.to_vec()).ok()
}

/// Up to three bytes of four digits of base64.
fn decode(four: &[u8]) -> Option<Vec<u8>> {
    let mut bits: u32 = 0;
    let mut digits = 0;
    for byte in four.iter().filter(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        digits += 1;
    }
    bits <<= 6 * (4 - digits);
    Some(bits.to_be_bytes().into_iter().skip(1).take(digits * 3 / 4).collect())
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

#[cfg(test)]
mod tests {
    use usher_http1::head::Head;

    use super::{LONGEST, escaped, user};

    #[test]
    fn nothing_in_a_value_can_end_its_line() {
        let hostile = b"a\r\nb\"c\\d\x1b\xe2\x80\xa8".as_slice();
        assert_eq!(&*escaped(hostile.into()), b"a\\x0D\\x0Ab\\x22c\\x5Cd\\x1B\\xE2\\x80\\xA8".as_slice());
        assert_eq!(escaped(vec![b'x'; 1 << 20].into()).len(), LONGEST + 3);
    }

    #[test]
    fn a_user_is_named_without_its_password() {
        for (value, wanted) in [
            ("Basic dXNlcjpwYXNz", Some("user")),
            ("basic YTpi", Some("a")),
            ("Basic YQ==", Some("a")),
            ("Basic !!!!", None),
            ("Bearer dXNlcjpwYXNz", None),
            ("Basic", None),
        ] {
            let mut head = Head::request("GET", "/");
            head.set("Authorization", value).unwrap();
            assert_eq!(user(&head).as_deref(), wanted, "{value}");
        }
    }
}
