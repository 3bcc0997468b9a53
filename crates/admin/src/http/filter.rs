//! Which resources of a list are shown: searches, labels, references, pages (Admin API contract, section 4.3).

use axum::http::StatusCode;
use serde_json::Value;
use usher_model::kind::Kind;

use super::answer::Answer;
use super::args::Args;
use super::search::Pattern;

/// What a resource has to look like to be listed. All of it has to hold.
pub(super) struct Filter {
    name: Option<Pattern>,
    label: Option<String>,
    uri: Option<Pattern>,
    references: Vec<(&'static str, String)>,
}

impl Filter {
    /// The filter that the arguments of a list ask for.
    ///
    /// # Errors
    /// A pattern that can't be used.
    pub(super) fn of(kind: Kind, args: &Args) -> Result<Self, Answer> {
        let pattern = |name: &str| {
            let pattern = args.filled(name).map(Pattern::new).transpose();
            pattern.map_err(|error| Answer::bad(format!("invalid argument {name}: {error}")))
        };
        let mut references = Vec::new();
        if matches!(kind, Kind::Route | Kind::StreamRoute)
            && let Some(filter) = args.filled("filter")
        {
            let inner = Args::of(Some(filter));
            for member in ["service_id", "upstream_id"] {
                references.extend(inner.first(member).map(|id| (member, id.to_owned())));
            }
        }
        Ok(Self {
            name: pattern("name")?,
            // An empty label is one that no resource has, where an empty name or uri asks for nothing.
            label: args.first("label").map(str::to_owned),
            uri: pattern("uri")?,
            references,
        })
    }

    /// Whether a resource is listed.
    ///
    /// # Errors
    /// A search took too long.
    pub(super) fn keeps(&self, value: &Value) -> Result<bool, Answer> {
        let member = |name: &str| value.get(name);
        if let Some(label) = &self.label
            && member("labels").and_then(|labels| labels.get(label)).is_none()
        {
            return Ok(false);
        }
        let refers = |(name, id): &(&str, String)| member(name).and_then(Value::as_str) == Some(id);
        if !self.references.iter().all(refers) {
            return Ok(false);
        }
        if let Some(pattern) = &self.name {
            // A resource without a name is searched as this word, as APISIX does.
            let name = member("name").and_then(Value::as_str).unwrap_or("nil");
            if !finds(pattern, "name", name)? {
                return Ok(false);
            }
        }
        let Some(pattern) = &self.uri else { return Ok(true) };
        let several = member("uris").and_then(Value::as_array).into_iter().flatten();
        for uri in member("uri").into_iter().chain(several).filter_map(Value::as_str) {
            if finds(pattern, "uri", uri)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn finds(pattern: &Pattern, argument: &str, text: &str) -> Result<bool, Answer> {
    pattern.finds(text).map_err(|error| Answer::bad(format!("invalid argument {argument}: {error}")))
}

/// One page of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// The page that the arguments ask for; `None` for everything, which is so unless both are numbers.
    ///
    /// # Errors
    /// 400 with bare text for a size outside 10 to 500.
    pub(super) fn of(args: &Args) -> Result<Option<Self>, Answer> {
        let (Some(number), Some(size)) = (args.number("page"), args.number("page_size")) else {
            return Ok(None);
        };
        // What is behind a point says nothing. Saturating, so that a page far beyond the end is empty.
        let (number, size) = (number as usize, size as usize);
        if !(10..=500).contains(&size) {
            return Err(Answer::text(StatusCode::BAD_REQUEST, "page_size must be between 10 and 500"));
        }
        Ok(Some(Self { number: number.max(1), size }))
    }

    /// The items of this page.
    pub(super) fn cut<T>(self, items: Vec<T>) -> Vec<T> {
        items.into_iter().skip((self.number - 1).saturating_mul(self.size)).take(self.size).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::kind::Kind;

    use super::{Filter, Page};
    use crate::http::args::Args;

    #[test]
    fn keeps_what_was_asked_for() {
        let value = json!({
            "name": "speakers", "uris": ["/speaker/*", "/topics"], "labels": { "team": "conf" },
            "service_id": "s1", "upstream_id": 7,
        });
        for (query, wanted) in [
            ("", true),
            ("name=peak", true),
            ("name=^peak", false),
            ("name=", true),
            ("uri=topic", true),
            ("uri=^/x", false),
            ("uri=", true),
            ("label=team", true),
            ("label=conf", false),
            ("label=", false),
            ("label", false),
            ("name=speak&label=none", false),
            ("filter=service_id%3Ds1", true),
            ("filter=service_id%3Ds2", false),
            ("filter=service_id%3Ds1%26upstream_id%3D7", false),
            ("filter=other%3D1", true),
        ] {
            let filter = Filter::of(Kind::Route, &Args::of(Some(query))).unwrap();
            assert_eq!(filter.keeps(&value).unwrap(), wanted, "{query}");
        }
        let of = |kind, query| Filter::of(kind, &Args::of(Some(query))).unwrap();
        assert!(of(Kind::Service, "filter=service_id%3Ds2").keeps(&value).unwrap());
        assert!(of(Kind::Route, "name=%5Enil$").keeps(&json!({})).unwrap());
        assert!(!of(Kind::Service, "uri=.*").keeps(&json!({ "name": "x" })).unwrap());
        assert!(Filter::of(Kind::Route, &Args::of(Some("name=["))).is_err());
    }

    #[test]
    fn pages_are_whole_and_cut_where_lua_cuts_them() {
        let page = |query: &str| Page::of(&Args::of(Some(query)));
        for nothing in ["", "page=1", "page_size=10", "page=x&page_size=10", "page=1&page_size=ten"] {
            assert_eq!(page(nothing).unwrap(), None, "{nothing}");
        }
        for refused in ["page=1&page_size=9.9", "page=1&page_size=501", "page=1&page_size=-1"] {
            assert_eq!(page(refused).unwrap_err().status(), 400, "{refused}");
        }
        let items: Vec<usize> = (0..25).collect();
        for (query, wanted) in [
            ("page=1&page_size=10", 0..10),
            ("page=3&page_size=10", 20..25),
            ("page=0&page_size=10", 0..10),
            ("page=-5&page_size=10", 0..10),
            ("page=4&page_size=10", 0..0),
            ("page=1e300&page_size=10", 0..0),
            ("page=1.5&page_size=10.5", 0..10),
            ("page=2.9&page_size=10", 10..20),
            ("page=0.5&page_size=10", 0..10),
        ] {
            let cut = page(query).unwrap().unwrap().cut(items.clone());
            assert_eq!(cut, wanted.collect::<Vec<_>>(), "{query}");
        }
    }
}
