//! `If-Match` and `If-None-Match`: a caller says which revision it has seen; nothing is written over a newer one, nor sent once more.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use usher_model::kind::Key;

use super::answer::Answer;

/// What a request expects of its resource.
#[derive(Debug)]
pub(super) struct Condition {
    matches: Option<Tags>,
    differs: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq)]
enum Tags {
    /// Whatever is there.
    Any,
    /// One of these, without quotes; weak ones with their `W/` left on.
    These(Vec<String>),
}

impl Condition {
    /// What the headers ask for.
    ///
    /// # Errors
    /// A header that is neither `*` nor a list of quoted tags.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Answer> {
        Ok(Self {
            matches: tags(headers, &header::IF_MATCH)?,
            differs: tags(headers, &header::IF_NONE_MATCH)?,
        })
    }

    /// Whether anything is expected.
    pub(super) const fn is_set(&self) -> bool {
        self.matches.is_some() || self.differs.is_some()
    }

    /// Whether a reader has what is there at this revision, so that it needn't be sent.
    ///
    /// # Errors
    /// 412 where `If-Match` wants another one.
    pub(super) fn read(&self, key: &Key, revision: u64) -> Result<bool, Answer> {
        let only_match = Self { matches: self.matches.clone(), differs: None };
        only_match.check(key, Some(revision))?;
        let only_differ = Self { matches: None, differs: self.differs.clone() };
        Ok(only_differ.check(key, Some(revision)).is_err())
    }

    /// Whether a resource at this revision is as expected; `None`: there is none.
    ///
    /// # Errors
    /// 412 with what is there instead.
    pub(super) fn check(&self, key: &Key, revision: Option<u64>) -> Result<(), Answer> {
        let is = |tag: &String, revision: u64| *tag == revision.to_string();
        let matches = match (&self.matches, revision) {
            (None, _) | (Some(Tags::Any), Some(_)) => true,
            (Some(_), None) => false,
            // RFC 9110, section 13.1.1: a weak tag never matches here.
            (Some(Tags::These(tags)), Some(revision)) => tags.iter().any(|tag| is(tag, revision)),
        };
        let differs = match (&self.differs, revision) {
            (None, _) | (Some(_), None) => true,
            (Some(Tags::Any), Some(_)) => false,
            (Some(Tags::These(tags)), Some(revision)) => {
                let strong = |tag: &String| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
                !tags.iter().any(|tag| is(&strong(tag), revision))
            }
        };
        if matches && differs { Ok(()) } else { Err(failed(key, revision)) }
    }
}

/// 412: the resource is not as the caller expects it.
pub(super) fn failed(key: &Key, revision: Option<u64>) -> Answer {
    let found = match revision {
        Some(revision) => format!("{key} is at revision {revision}"),
        None => format!("{key} does not exist"),
    };
    Answer::error(
        StatusCode::PRECONDITION_FAILED,
        format!(
            "{found}, which is not what If-Match or If-None-Match expects; read it again and repeat the change"
        ),
    )
}

/// 412: the resource was changed between our look and our write.
pub(super) fn overtaken(key: &Key) -> Answer {
    Answer::error(
        StatusCode::PRECONDITION_FAILED,
        format!("{key} was changed meanwhile; read it again and repeat the change"),
    )
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Answer> {
    let mut found: Option<Vec<String>> = None;
    for value in headers.get_all(name) {
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Some(Tags::Any));
        }
        for tag in text.split(',') {
            let (weak, quoted) = match tag.trim().strip_prefix("W/") {
                Some(rest) => ("W/", rest),
                None => ("", tag.trim()),
            };
            let bare = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let bare = bare.filter(|bare| !bare.contains('"')).ok_or_else(|| malformed(name))?;
            found.get_or_insert_default().push(format!("{weak}{bare}"));
        }
    }
    Ok(found.map(Tags::These))
}

fn malformed(name: &HeaderName) -> Answer {
    let name = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
    Answer::bad(format!("{name} holds no tag; write the ETag of a GET with its quotes, such as \"12\", or *"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use usher_model::kind::{Key, Kind};

    use super::Condition;

    fn condition(name: &'static str, value: &'static str) -> Result<Condition, u16> {
        let headers: HeaderMap = [(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect();
        Condition::of(&headers).map_err(|answer| answer.status())
    }

    #[test]
    fn tags_are_compared_with_the_revision() {
        for (name, value, at_seven, at_nothing) in [
            ("if-match", "\"7\"", true, false),
            ("if-match", "\"6\"", false, false),
            ("if-match", "\"6\", \"7\"", true, false),
            ("if-match", "W/\"7\"", false, false),
            ("if-match", "*", true, false),
            ("if-match", "\"abc\"", false, false),
            ("if-none-match", "*", false, true),
            ("if-none-match", "\"7\"", false, true),
            ("if-none-match", "W/\"7\"", false, true),
            ("if-none-match", "\"6\"", true, true),
        ] {
            let condition = condition(name, value).unwrap();
            let key = Key::new(Kind::Route, "1");
            let holds = |revision| condition.check(&key, revision).is_ok();
            assert_eq!((holds(Some(7)), holds(None)), (at_seven, at_nothing), "{name}: {value}");
            assert!(condition.is_set());
        }
        assert!(!Condition::of(&HeaderMap::new()).unwrap().is_set());
    }

    #[test]
    fn a_reader_that_has_it_is_told_so() {
        let key = Key::new(Kind::Route, "1");
        for (name, value, wanted) in [
            ("if-none-match", "\"7\"", Ok(true)),
            ("if-none-match", "W/\"7\"", Ok(true)),
            ("if-none-match", "*", Ok(true)),
            ("if-none-match", "\"6\"", Ok(false)),
            ("if-match", "\"7\"", Ok(false)),
            ("if-match", "\"6\"", Err(412)),
        ] {
            let read = condition(name, value).unwrap().read(&key, 7);
            assert_eq!(read.map_err(|answer| answer.status()), wanted, "{name}: {value}");
        }
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for value in ["7", "", "\"7", "7\"", "\"7\" \"8\"", "W/7"] {
            assert_eq!(condition("if-match", value).unwrap_err(), 400, "{value}");
        }
    }
}
