//! May an answer be kept, for how long, and for whom: the rules of a shared cache (RFC 9111), on the safe side wherever they leave a choice.
//!
//! Written here and not taken from `http-cache-semantics`, which tells `Private` from `private`, keeps no status of the user's choice, and adds up
//! an upstream's `Age` without a bound.

use std::time::Duration;

use usher_http1::head::{Head, Version};

/// No answer is kept for longer, whatever it says.
const MAX_TTL_SECS: u64 = 365 * 24 * 3600;
/// An answer that varies by more fields is not kept.
const MAX_VARY: usize = 8;

/// The directives of `Cache-Control` that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) public: bool,
    pub(super) only_if_cached: bool,
    /// In seconds; 0 where it can't be read.
    pub(super) max_age: Option<u64>,
    /// In seconds; 0 where it can't be read.
    pub(super) s_maxage: Option<u64>,
    /// In seconds; 0 where it can't be read.
    pub(super) min_fresh: Option<u64>,
}

impl Directives {
    /// Those of a request or an answer. `Pragma: no-cache` counts where there is no `Cache-Control`.
    pub(super) fn of(head: &Head) -> Self {
        let mut all = Self::default();
        let mut any = false;
        for line in head.get_all("cache-control") {
            any = true;
            line.split(|byte| *byte == b',').for_each(|directive| all.add(directive));
        }
        let pragma = |line: &[u8]| list(line).any(|token| token.eq_ignore_ascii_case(b"no-cache"));
        all.no_cache |= !any && head.get_all("pragma").any(pragma);
        all
    }

    fn add(&mut self, directive: &[u8]) {
        let mut halves = directive.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let value = halves.next();
        match name.as_slice() {
            b"no-store" => self.no_store = true,
            // Also where it names fields: an answer without them is not the answer.
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"public" => self.public = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => set_smallest(&mut self.max_age, value),
            b"s-maxage" => set_smallest(&mut self.s_maxage, value),
            b"min-fresh" => set_smallest(&mut self.min_fresh, value),
            _ => {}
        }
    }
}

/// Of contradicting numbers the smallest counts, and what is no number is 0: then an answer counts as stale.
fn set_smallest(place: &mut Option<u64>, value: Option<&[u8]>) {
    let text = value.map(<[u8]>::trim_ascii).unwrap_or_default();
    let bare = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    let digits = !bare.is_empty() && bare.iter().all(u8::is_ascii_digit);
    let seconds = if digits {
        // More digits than fit mean a very long time.
        std::str::from_utf8(bare).ok().and_then(|text| text.parse().ok()).unwrap_or(MAX_TTL_SECS)
    } else {
        0
    };
    *place = Some(place.map_or(seconds, |known| known.min(seconds)));
}

/// What the user decided.
pub(super) struct Rules {
    pub(super) statuses: Vec<u16>,
    pub(super) ttl: Duration,
    pub(super) cache_control: bool,
    /// What an answer says of its own time counts more than `ttl`, where it says anything.
    pub(super) prefers_own: bool,
    pub(super) set_cookie: bool,
}

/// The terms on which an answer is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// How long from now.
    pub(super) ttl: Duration,
    /// How old it is already.
    pub(super) age: Duration,
    /// The request fields that it depends on, lower case.
    pub(super) vary: Vec<String>,
    /// It says by itself that everybody may have it.
    pub(super) for_everybody: bool,
}

impl Rules {
    /// The terms for this answer, or `None` when it may not be kept. `credentials` says that the request carried some which the key doesn't
    /// tell apart.
    pub(super) fn terms(&self, answer: &Head, credentials: bool, unix_secs: u64) -> Option<Terms> {
        let status = answer.status();
        // Parts of an answer, and answers to a condition, are no answers to others.
        let whole = !matches!(status, 206 | 304) && !answer.contains("content-range");
        if !self.statuses.contains(&status) || !whole || !shows_its_end(answer) {
            return None;
        }
        let said = Directives::of(answer);
        if said.private || said.no_store || said.no_cache {
            return None;
        }
        if answer.contains("set-cookie") && !self.set_cookie {
            return None;
        }
        let for_everybody = said.public || said.s_maxage.is_some();
        if credentials && !for_everybody {
            return None;
        }
        let age = age_of(answer);
        let says = said.s_maxage.is_some() || said.max_age.is_some() || answer.contains("expires");
        let ttl = if self.cache_control || (self.prefers_own && says) {
            lifetime(answer, &said, unix_secs).saturating_sub(age)
        } else {
            self.ttl
        };
        if ttl.is_zero() {
            return None;
        }
        Some(Terms { ttl, age, vary: vary_of(answer)?, for_everybody })
    }
}

/// Whether a body that breaks off can be told from one that ends: where closing the connection is the end, it can't.
fn shows_its_end(answer: &Head) -> bool {
    answer.version() == Version::Http2
        || answer.status() == 204
        || answer.contains("content-length")
        || answer.contains("transfer-encoding")
}

fn age_of(answer: &Head) -> Duration {
    let seconds = answer.get_str("age").and_then(|text| text.trim().parse::<u64>().ok());
    Duration::from_secs(seconds.unwrap_or_default().min(MAX_TTL_SECS))
}

/// How long an answer is fresh from when it was made, by what it says itself; not at all where it says nothing.
fn lifetime(answer: &Head, said: &Directives, unix_secs: u64) -> Duration {
    let seconds = said.s_maxage.or(said.max_age).unwrap_or_else(|| {
        let date = |name| {
            answer.get_str(name).and_then(|text| httpdate::parse_http_date(text).ok()).and_then(seconds)
        };
        let made = date("date").unwrap_or(unix_secs);
        date("expires").map_or(0, |expires| expires.saturating_sub(made))
    });
    Duration::from_secs(seconds.min(MAX_TTL_SECS))
}

fn seconds(time: std::time::SystemTime) -> Option<u64> {
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The fields that an answer varies by; `None` when it may not be kept because of them.
fn vary_of(answer: &Head) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for token in answer.get_all("vary").flat_map(list) {
        let name = std::str::from_utf8(token).ok()?.to_ascii_lowercase();
        if name == "*" {
            return None;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort();
    (names.len() <= MAX_VARY).then_some(names)
}

fn list(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use usher_http1::head::Head;

    use super::{Directives, MAX_TTL_SECS, Rules};

    type Fields = &'static [(&'static str, &'static str)];

    /// Fri, 15 Jan 2027 08:00:00 GMT
    const NOW: u64 = 1_800_000_000;

    fn answer(status: u16, fields: &[(&str, &str)]) -> Head {
        let mut head = Head::response(status);
        head.append("Content-Length", "1").unwrap();
        for (name, value) in fields {
            head.append(name, value).unwrap();
        }
        head
    }

    fn rules(cache_control: bool) -> Rules {
        Rules {
            statuses: vec![200, 206, 302, 304],
            ttl: Duration::from_secs(300),
            cache_control,
            prefers_own: false,
            set_cookie: false,
        }
    }

    #[test]
    fn what_is_not_for_others_is_never_kept() {
        let cases: &[(u16, Fields, bool)] = &[
            (200, &[], true),
            (302, &[], true),
            (404, &[], false),
            (206, &[], false),
            (304, &[], false),
            (200, &[("Content-Range", "bytes 0-1/2")], false),
            (200, &[("Cache-Control", "private")], false),
            (200, &[("Cache-Control", "Private, max-age=9")], false),
            (200, &[("Cache-Control", "public"), ("cache-control", "NO-STORE")], false),
            (200, &[("Cache-Control", "max-age=60, no-cache=\"set-cookie, x\"")], false),
            (200, &[("Pragma", "no-cache")], false),
            (200, &[("Pragma", "no-cache"), ("Cache-Control", "max-age=1")], true),
            (200, &[("Set-Cookie", "a=b"), ("Cache-Control", "public")], false),
            (200, &[("Vary", "*")], false),
            (200, &[("Vary", "Accept"), ("Vary", "origin, *")], false),
            (200, &[("Vary", "a,b,c,d,e,f,g,h")], true),
            (200, &[("Vary", "a,b,c,d,e,f,g,h,i")], false),
        ];
        for (status, fields, kept) in cases {
            let answer = answer(*status, fields);
            assert_eq!(rules(false).terms(&answer, false, NOW).is_some(), *kept, "{status} {fields:?}");
        }
        let cookies = Rules { set_cookie: true, ..rules(false) };
        assert!(cookies.terms(&answer(200, &[("Set-Cookie", "a=b")]), false, NOW).is_some());
    }

    #[test]
    fn a_body_that_could_have_broken_off_unseen_is_never_kept() {
        let mut head = Head::response(200);
        assert_eq!(rules(false).terms(&head, false, NOW), None);
        head.set_version(usher_http1::head::Version::Http2);
        assert!(rules(false).terms(&head, false, NOW).is_some());
        let mut head = Head::response(200);
        head.append("Transfer-Encoding", "chunked").unwrap();
        assert!(rules(false).terms(&head, false, NOW).is_some());
    }

    #[test]
    fn an_answer_to_credentials_is_kept_only_when_it_says_that_it_is_for_everybody() {
        for (control, kept) in [
            ("", false),
            ("max-age=60", false),
            ("must-revalidate", false),
            ("public", true),
            ("s-maxage=60", true),
            ("public, private", false),
        ] {
            let terms = rules(false).terms(&answer(200, &[("Cache-Control", control)]), true, NOW);
            assert_eq!(terms.is_some_and(|terms| terms.for_everybody), kept, "{control}");
        }
    }

    #[test]
    fn the_time_to_live_is_the_users_or_the_answers() {
        let cases: &[(Fields, u64)] = &[
            (&[], 0),
            (&[("Cache-Control", "max-age=60")], 60),
            (&[("Cache-Control", "max-age=60, s-maxage=30")], 30),
            (&[("Cache-Control", "MAX-AGE = \"60\"")], 60),
            (&[("Cache-Control", "max-age=60, max-age=10")], 10),
            (&[("Cache-Control", "max-age=x")], 0),
            (&[("Cache-Control", "max-age=-1")], 0),
            (&[("Cache-Control", "max-age")], 0),
            (&[("Cache-Control", "max-age=99999999999999999999999")], MAX_TTL_SECS),
            (&[("Cache-Control", "max-age=60"), ("Age", "20")], 40),
            (&[("Cache-Control", "max-age=60"), ("Age", "18446744073709551615")], 0),
            (&[("Expires", "Fri, 15 Jan 2027 08:01:00 GMT")], 60),
            (&[("Expires", "Fri, 15 Jan 2027 08:01:00 GMT"), ("Date", "Fri, 15 Jan 2027 08:00:50 GMT")], 10),
            (&[("Expires", "Fri, 15 Jan 2027 07:59:00 GMT")], 0),
            (&[("Expires", "0")], 0),
            (&[("Expires", "Fri, 15 Jan 2027 08:01:00 GMT"), ("Cache-Control", "max-age=5")], 5),
        ];
        for (fields, secs) in cases {
            let answer = answer(200, fields);
            let ttl = rules(true).terms(&answer, false, NOW).map_or(0, |terms| terms.ttl.as_secs());
            assert_eq!(ttl, *secs, "{fields:?}");
            let fixed = rules(false).terms(&answer, false, NOW).map_or(0, |terms| terms.ttl.as_secs());
            assert_eq!(fixed, 300, "{fields:?}");
        }
    }

    #[test]
    fn fields_that_an_answer_varies_by_are_named_once_and_in_order() {
        let head = answer(200, &[("Vary", "Origin, accept-encoding"), ("vary", "ORIGIN,,")]);
        assert_eq!(rules(false).terms(&head, false, NOW).unwrap().vary, ["accept-encoding", "origin"]);
    }

    #[test]
    fn a_request_says_what_it_accepts() {
        let mut head = Head::request("GET", "/");
        head.append("Cache-Control", "only-if-cached, min-fresh=5,max-age=0").unwrap();
        let wanted = Directives {
            only_if_cached: true,
            min_fresh: Some(5),
            max_age: Some(0),
            ..Directives::default()
        };
        assert_eq!(Directives::of(&head), wanted);
    }
}
