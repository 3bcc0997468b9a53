//! A command line of curl, read as the request that it would send.
//!
//! What decides about a route is understood; what only concerns curl itself is passed by, with a note where it might be missed. An option that
//! isn't known is refused by name: guessing whether it takes a value would read the rest wrong.

mod url;
mod words;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::refusal::Refusal;

/// The request that a command line would send.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) method: String,
    pub(super) host: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    /// What was passed by.
    pub(super) notes: Vec<String>,
}

/// What curl does with an option.
enum Does {
    /// Takes no value and changes nothing that we look at.
    Nothing,
    /// Takes a value that we don't look at.
    Skips,
    /// As [`Does::Skips`], and the caller is told.
    Notes(&'static str),
    Method,
    Header,
    Agent,
    Referer,
    Cookie,
    User,
    Data,
    Json,
    Form,
    Upload,
    Get,
    Head,
    Compressed,
    Url,
}

/// What an option does: by its long name, and by its letter if it has one.
const OPTIONS: &[(&str, &str, Does)] = &[
    ("request", "X", Does::Method),
    ("header", "H", Does::Header),
    ("user-agent", "A", Does::Agent),
    ("referer", "e", Does::Referer),
    ("cookie", "b", Does::Cookie),
    ("user", "u", Does::User),
    ("data", "d", Does::Data),
    ("data-raw", "", Does::Data),
    ("data-ascii", "", Does::Data),
    ("data-binary", "", Does::Data),
    ("data-urlencode", "", Does::Data),
    ("json", "", Does::Json),
    ("form", "F", Does::Form),
    ("form-string", "", Does::Form),
    ("upload-file", "T", Does::Upload),
    ("get", "G", Does::Get),
    ("head", "I", Does::Head),
    ("compressed", "", Does::Compressed),
    ("url", "", Does::Url),
    ("resolve", "", Does::Notes("--resolve says where curl connects; the route doesn't depend on it")),
    ("connect-to", "", Does::Notes("--connect-to says where curl connects; the route doesn't depend on it")),
    (
        "proxy",
        "x",
        Does::Notes("--proxy is passed by: what is explained is the request as the gateway gets it"),
    ),
    ("location", "L", Does::Nothing),
    ("insecure", "k", Does::Nothing),
    ("silent", "s", Does::Nothing),
    ("show-error", "S", Does::Nothing),
    ("verbose", "v", Does::Nothing),
    ("include", "i", Does::Nothing),
    ("show-headers", "", Does::Nothing),
    ("fail", "f", Does::Nothing),
    ("fail-with-body", "", Does::Nothing),
    ("no-buffer", "N", Does::Nothing),
    ("globoff", "g", Does::Nothing),
    ("http1.0", "0", Does::Nothing),
    ("http1.1", "", Does::Nothing),
    ("http2", "", Does::Nothing),
    ("http2-prior-knowledge", "", Does::Nothing),
    ("http3", "", Does::Nothing),
    ("ipv4", "4", Does::Nothing),
    ("ipv6", "6", Does::Nothing),
    ("path-as-is", "", Does::Nothing),
    ("remote-name", "O", Does::Nothing),
    ("progress-bar", "#", Does::Nothing),
    ("no-progress-meter", "", Does::Nothing),
    ("tcp-nodelay", "", Does::Nothing),
    ("output", "o", Does::Skips),
    ("write-out", "w", Does::Skips),
    ("max-time", "m", Does::Skips),
    ("connect-timeout", "", Does::Skips),
    ("retry", "", Does::Skips),
    ("retry-delay", "", Does::Skips),
    ("cacert", "", Does::Skips),
    ("cert", "E", Does::Skips),
    ("key", "", Does::Skips),
    ("cookie-jar", "c", Does::Skips),
    ("dump-header", "D", Does::Skips),
    ("interface", "", Does::Skips),
    ("limit-rate", "", Does::Skips),
];

/// Reads a command line.
///
/// # Errors
/// What can't be read of it, with the next step.
pub(super) fn read(text: &str) -> Result<Described, Refusal> {
    let words = words::split(text).map_err(|reason| refused(reason, "quote it as for a shell"))?;
    let mut words = words.into_iter().peekable();
    words.next_if(|word| word == "curl");
    let mut found = Found::default();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, inline) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let option = OPTIONS.iter().find(|(known, _, _)| *known == name);
            let (_, _, does) = option.ok_or_else(|| unknown(&format!("--{name}")))?;
            let mut value =
                || inline.clone().or_else(|| words.next()).ok_or_else(|| lacks(&format!("--{name}")));
            found.take(does, &mut value)?;
        } else if word.len() > 1 && word.starts_with('-') {
            letters(&word, &mut words, &mut found)?;
        } else {
            found.address(&word)?;
        }
    }
    found.finish()
}

/// Options by letters, several in one word: `-sSXPOST`.
fn letters(word: &str, words: &mut impl Iterator<Item = String>, found: &mut Found) -> Result<(), Refusal> {
    let mut rest = word.get(1..).unwrap_or_default();
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        let name = letter.to_string();
        let option = OPTIONS.iter().find(|(_, known, _)| *known == name);
        let (_, _, does) = option.ok_or_else(|| unknown(&format!("-{letter}")))?;
        let mut value = || {
            let here = std::mem::take(&mut rest);
            let value = if here.is_empty() { words.next() } else { Some(here.to_owned()) };
            value.ok_or_else(|| lacks(&format!("-{letter}")))
        };
        found.take(does, &mut value)?;
    }
    Ok(())
}

/// What was read so far.
#[derive(Default)]
struct Found {
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, String)>,
    /// Names that `-H 'Name:'` takes away.
    without: Vec<String>,
    data: Vec<String>,
    sends: Option<Sends>,
    get: bool,
    head: bool,
    notes: Vec<String>,
}

/// What the body is, which decides about method and type where nothing else does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sends {
    Data,
    Json,
    Form,
    Upload,
}

impl Found {
    fn take(
        &mut self,
        does: &Does,
        value: &mut dyn FnMut() -> Result<String, Refusal>,
    ) -> Result<(), Refusal> {
        match does {
            Does::Nothing => {}
            Does::Skips => drop(value()?),
            Does::Notes(note) => {
                value()?;
                self.notes.push((*note).to_owned());
            }
            Does::Method => self.method = Some(value()?),
            Does::Header => {
                let text = value()?;
                self.header(&text);
            }
            Does::Agent => self.headers.push(("User-Agent".to_owned(), value()?)),
            Does::Referer => self.headers.push(("Referer".to_owned(), value()?)),
            Does::Cookie => {
                let text = value()?;
                if text.contains('=') {
                    self.headers.push(("Cookie".to_owned(), text));
                } else {
                    self.notes.push(format!("the cookies in the file {text} are passed by"));
                }
            }
            Does::User => {
                let text = value()?;
                self.headers.push(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(text))));
            }
            Does::Data => self.body(Sends::Data, value()?),
            Does::Json => self.body(Sends::Json, value()?),
            Does::Form => self.body(Sends::Form, value()?),
            Does::Upload => self.body(Sends::Upload, value()?),
            Does::Get => self.get = true,
            Does::Head => self.head = true,
            Does::Compressed => {
                self.headers.push(("Accept-Encoding".to_owned(), "deflate, gzip, br, zstd".to_owned()));
            }
            Does::Url => {
                let url = value()?;
                self.address(&url)?;
            }
        }
        Ok(())
    }

    fn header(&mut self, text: &str) {
        match text.split_once(':') {
            Some((name, value)) if value.trim().is_empty() => self.without.push(name.trim().to_owned()),
            Some((name, value)) => self.headers.push((name.trim().to_owned(), value.trim().to_owned())),
            // curl writes a header without a value as `Name;`.
            None => match text.strip_suffix(';') {
                Some(name) => self.headers.push((name.trim().to_owned(), String::new())),
                None => {
                    self.notes.push(format!("the header {text:?} has no colon, so curl would not send it"))
                }
            },
        }
    }

    fn body(&mut self, sends: Sends, data: String) {
        self.sends.get_or_insert(sends);
        self.data.push(data);
    }

    fn address(&mut self, text: &str) -> Result<(), Refusal> {
        if let Some(first) = &self.url {
            return Err(refused(
                format!("the command has two addresses, {first} and {text}"),
                "give one, or quote what belongs together",
            ));
        }
        self.url = Some(text.to_owned());
        Ok(())
    }

    fn finish(mut self) -> Result<Described, Refusal> {
        let url = self.url.take().ok_or_else(|| {
            refused("the command has no address", "such as curl http://127.0.0.1:9080/path")
        })?;
        let mut url =
            url::read(&url).map_err(|reason| refused(reason, "write it as http://host:port/path"))?;
        let has = |headers: &[(String, String)], name: &str| {
            headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        if self.get {
            let joined = self.data.join("&");
            let sign = if url.target.contains('?') { '&' } else { '?' };
            if !joined.is_empty() {
                url.target = format!("{}{sign}{joined}", url.target);
            }
            self.sends = None;
        }
        let kind = match self.sends {
            Some(Sends::Data) => Some("application/x-www-form-urlencoded"),
            Some(Sends::Json) => Some("application/json"),
            Some(Sends::Form) => Some("multipart/form-data"),
            Some(Sends::Upload) | None => None,
        };
        if let Some(kind) = kind.filter(|_| !has(&self.headers, "Content-Type")) {
            self.headers.push(("Content-Type".to_owned(), kind.to_owned()));
        }
        if self.sends.is_some() {
            self.notes.push("the body is not looked at".to_owned());
        }
        if let Some(user) = url.user.filter(|_| !has(&self.headers, "Authorization")) {
            self.headers.push(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(user))));
        }
        for (name, value) in [("User-Agent", "curl"), ("Accept", "*/*")] {
            if !has(&self.headers, name) {
                self.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        self.headers.retain(|(name, _)| !self.without.iter().any(|gone| gone.eq_ignore_ascii_case(name)));
        let given = self.headers.iter().position(|(name, _)| name.eq_ignore_ascii_case("Host"));
        let host = given.map_or(url.host, |at| self.headers.remove(at).1);
        let method = self.method.unwrap_or_else(|| {
            let method = match self.sends {
                _ if self.head => "HEAD",
                Some(Sends::Upload) => "PUT",
                Some(_) => "POST",
                None => "GET",
            };
            method.to_owned()
        });
        Ok(Described { method, host, target: url.target, headers: self.headers, notes: self.notes })
    }
}

fn refused(message: impl Into<String>, next: &str) -> Refusal {
    Refusal::invalid(message).at("/curl").next(next)
}

fn unknown(option: &str) -> Refusal {
    refused(format!("{option} is no option of curl's that is understood here"), "leave it out")
}

fn lacks(option: &str) -> Refusal {
    refused(format!("{option} has no value"), "give it one")
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn command_lines_are_read_as_curl_sends_them() {
        for (command, method, host, target, header) in [
            ("curl http://a.test:9080/x", "GET", "a.test:9080", "/x", "Accept: */*"),
            ("curl a.test", "GET", "a.test", "/", "User-Agent: curl"),
            ("curl 'http://a.test/x y?q=1#part'", "GET", "a.test", "/x%20y?q=1", ""),
            ("curl -XPOST https://a.test/x", "POST", "a.test", "/x", ""),
            ("curl -sSi -X PUT a.test/x", "PUT", "a.test", "/x", ""),
            (
                "curl -d a=1 a.test/x",
                "POST",
                "a.test",
                "/x",
                "Content-Type: application/x-www-form-urlencoded",
            ),
            ("curl --json '{\"a\": 1}' a.test", "POST", "a.test", "/", "Content-Type: application/json"),
            ("curl -G -d a=1 -d b=2 a.test/x", "GET", "a.test", "/x?a=1&b=2", ""),
            ("curl -I a.test/x", "HEAD", "a.test", "/x", ""),
            ("curl -T file a.test/x", "PUT", "a.test", "/x", ""),
            (
                "curl -H 'Host: b.test' -H \"X-A: it's\" http://127.0.0.1:9080/x",
                "GET",
                "b.test",
                "/x",
                "X-A: it's",
            ),
            ("curl -H'X-A:1' --header=X-B:2 a.test", "GET", "a.test", "/", "X-B: 2"),
            ("curl -H 'X-Empty;' a.test", "GET", "a.test", "/", "X-Empty: "),
            ("curl -u ada:pass a.test", "GET", "a.test", "/", "Authorization: Basic YWRhOnBhc3M="),
            ("curl http://ada:pass@a.test/", "GET", "a.test", "/", "Authorization: Basic YWRhOnBhc3M="),
            ("curl -b 'a=1; b=2' a.test", "GET", "a.test", "/", "Cookie: a=1; b=2"),
            ("curl \\\n  --url a.test/x \\\n  -o /dev/null", "GET", "a.test", "/x", ""),
            ("curl $'http://a.test/\\x41'", "GET", "a.test", "/A", ""),
            ("curl http://[::1]:9080/x", "GET", "[::1]:9080", "/x", ""),
            ("a.test/x", "GET", "a.test", "/x", ""),
        ] {
            let found = read(command).unwrap_or_else(|refusal| panic!("{command}: {refusal:?}"));
            assert_eq!(
                (found.method.as_str(), found.host.as_str(), found.target.as_str()),
                (method, host, target),
                "{command}"
            );
            let headers: Vec<String> =
                found.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            assert!(
                header.is_empty() || headers.iter().any(|found| found == header),
                "{command}: {headers:?}"
            );
        }
    }

    #[test]
    fn what_is_passed_by_is_told() {
        let found = read("curl --resolve a.test:80:127.0.0.1 -H 'Accept:' -d @file http://a.test/").unwrap();
        assert!(found.notes.iter().any(|note| note.contains("--resolve")), "{:?}", found.notes);
        assert!(found.notes.iter().any(|note| note.contains("body")), "{:?}", found.notes);
        assert!(!found.headers.iter().any(|(name, _)| name == "Accept"));
    }

    #[test]
    fn what_cant_be_read_is_refused_by_name() {
        for (command, part) in [
            ("curl --frobnicate a.test", "--frobnicate"),
            ("curl -Z a.test", "-Z"),
            ("curl 'a.test", "quote"),
            ("curl", "no address"),
            ("curl a.test b.test", "two addresses"),
            ("curl a.test -H", "-H has no value"),
            ("curl ftp://a.test/", "ftp"),
            ("curl a.test | jq .", "|"),
        ] {
            let told = format!("{:?}", read(command).unwrap_err());
            assert!(told.contains(part), "{command}: {told}");
        }
    }
}
