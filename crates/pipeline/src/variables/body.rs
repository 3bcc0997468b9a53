//! Variables of a request's body: `post_arg_x`, `post_arg.x.y` and `graphql_*` (data plane contract, section 10).
//!
//! They are there once the body was read as a whole, which happens only where something asks for them, and is bounded. What can't be read is
//! absent: it decides nothing and refuses nobody.

use std::borrow::Cow;

use serde_json::Value;
use usher_model::json_path::JsonPath;

use super::graphql::Operation;
use crate::body::Body;
use crate::request::{Request, decode_form};

/// The largest body that is read for its variables, in bytes.
pub(crate) const MOST_BYTES: u64 = 1 << 20;

/// Fields of a form that are looked at.
const MOST_FIELDS: usize = 256;

/// What of a body can be asked for.
#[derive(Debug, Default)]
pub(crate) struct BodyVariables {
    content: Content,
    operation: Option<Operation>,
}

#[derive(Debug, Default)]
enum Content {
    #[default]
    Nothing,
    /// A form; whether it is one of several parts.
    Form {
        fields: Vec<(String, String)>,
        parts: bool,
    },
    Json(Value),
}

impl BodyVariables {
    /// What the body says, as far as it is there as a whole.
    pub(crate) fn of(request: &Request) -> Self {
        let kind = request.head.get_str("content-type").unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let body = match &request.body {
            Body::Full(bytes) if bytes.len() as u64 <= MOST_BYTES => Some(&**bytes),
            _ => None,
        };
        let content = match (body, media.as_str()) {
            (Some(body), "application/x-www-form-urlencoded") => {
                Content::Form { fields: form(body), parts: false }
            }
            (Some(body), "multipart/form-data") => Content::Form {
                fields: boundary(kind).map(|mark| multipart(body, &mark)).unwrap_or_default(),
                parts: true,
            },
            (Some(body), "application/json") => {
                serde_json::from_slice(body).map_or(Content::Nothing, Content::Json)
            }
            _ => Content::Nothing,
        };
        let operation = match request.method() {
            "GET" => request.argument("query").and_then(|query| Operation::of(&query)),
            "POST" if kind == "application/json" => match &content {
                Content::Json(value) => value.get("query").and_then(Value::as_str).and_then(Operation::of),
                _ => None,
            },
            "POST" => body.and_then(|body| std::str::from_utf8(body).ok()).and_then(Operation::of),
            _ => None,
        };
        Self { content, operation }
    }

    /// The variable of this name, which `usher_model::variables::is_of_body` says is one.
    pub(crate) fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        if let Some(path) = name.strip_prefix("post_arg.") {
            return match &self.content {
                Content::Json(value) => {
                    JsonPath::parse(path)?.of(value).first().and_then(|found| text(found))
                }
                Content::Form { fields, .. } => field(fields, path),
                Content::Nothing => None,
            };
        }
        if let Some(name) = name.strip_prefix("post_arg_") {
            return match &self.content {
                Content::Form { fields, parts: false } => field(fields, name),
                _ => None,
            };
        }
        let operation = self.operation.as_ref()?;
        Some(match name {
            "graphql_operation" => operation.kind.as_bytes().into(),
            "graphql_name" => operation.name.as_bytes().into(),
            "graphql_root_fields" => operation.root_fields.first()?.as_bytes().into(),
            _ => return None,
        })
    }

    /// The values of a variable that is a list.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<Cow<'_, [u8]>>> {
        if name == "graphql_root_fields" {
            let fields = &self.operation.as_ref()?.root_fields;
            return Some(fields.iter().map(|field| field.as_bytes().into()).collect());
        }
        let (Content::Json(value), Some(path)) = (&self.content, name.strip_prefix("post_arg.")) else {
            return None;
        };
        let path = JsonPath::parse(path)?;
        let found = path.of(value);
        match found.as_slice() {
            [Value::Array(items)] => Some(items.iter().filter_map(text).collect()),
            several if path.is_list() => Some(several.iter().filter_map(|value| text(value)).collect()),
            _ => None,
        }
    }
}

/// A value as a text; what is no single value has its JSON.
fn text(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.as_bytes().into()),
        other => Some(other.to_string().into_bytes().into()),
    }
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<Cow<'a, [u8]>> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_bytes().into())
}

fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(MOST_FIELDS);
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_form(name).into_owned(), decode_form(value).into_owned())
        })
        .collect()
}

/// The mark between the parts, from a `Content-Type`.
fn boundary(kind: &str) -> Option<String> {
    let mark = kind.split(';').skip(1).find_map(|member| {
        let (name, value) = member.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    })?;
    (!mark.is_empty() && mark.len() <= 70).then_some(mark)
}

/// The parts that have a name; files are left out.
fn multipart(body: &[u8], mark: &str) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let delimiter = format!("--{mark}");
    let mut fields = Vec::new();
    // In front of the first mark is nothing that means anything.
    for part in text.split(delimiter.as_str()).skip(1).take(MOST_FIELDS) {
        let Some(part) = part.strip_prefix("\r\n") else { continue };
        let Some((head, value)) = part.split_once("\r\n\r\n") else { continue };
        let disposition = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
        });
        let Some(disposition) = disposition else { continue };
        let member = |wanted: &str| {
            disposition.split(';').skip(1).find_map(|member| {
                let (name, value) = member.trim().split_once('=')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim_matches('"').to_owned())
            })
        };
        if let (Some(name), None) = (member("name"), member("filename")) {
            fields.push((name, value.strip_suffix("\r\n").unwrap_or(value).to_owned()));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use usher_http1::head::Head;

    use super::{BodyVariables, MOST_BYTES};
    use crate::body::Body;
    use crate::request::Request;

    fn request(method: &str, query: Option<&str>, kind: &str, body: &str) -> Request {
        let mut request = Request::default();
        request.head = Head::request(method, "/");
        request.head.set("Content-Type", kind).unwrap();
        request.refill("/", query, false, "a.test", None);
        request.body = if body.is_empty() { Body::Empty } else { Body::Full(body.to_owned().into()) };
        request
    }

    #[test]
    fn every_kind_of_body_is_read_by_its_type() {
        let json = r#"{"a":{"b":"x","n":7,"t":true,"z":null},"m":[{"role":"u"},{"role":"s"}],"odd key":1}"#;
        let parts = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\ntwo\r\n--B\r\n\
             Content-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nbytes\r\n--B--\r\n";
        for (kind, body, name, wanted) in [
            ("application/x-www-form-urlencoded", "a=1&b=x+y%21&a=2", "post_arg_a", Some("1")),
            ("application/x-www-form-urlencoded; charset=utf-8", "a=1&b=x+y%21", "post_arg_b", Some("x y!")),
            ("application/x-www-form-urlencoded", "a=1", "post_arg.a", Some("1")),
            ("application/x-www-form-urlencoded", "a=1", "post_arg_c", None),
            ("application/json", json, "post_arg.a.b", Some("x")),
            ("application/json", json, "post_arg.a.n", Some("7")),
            ("application/json", json, "post_arg.a.t", Some("true")),
            ("application/json", json, "post_arg.a.z", None),
            ("application/json", json, "post_arg.m[1].role", Some("s")),
            ("application/json", json, "post_arg.m[-1].role", Some("s")),
            ("application/json", json, "post_arg.m[*].role", Some("u")),
            ("application/json", json, "post_arg..role", Some("u")),
            ("application/json", json, "post_arg.['odd key']", Some("1")),
            ("application/json", json, "post_arg.a[b]", Some("x")),
            ("application/x-www-form-urlencoded", "a[b]=1", "post_arg.a[b]", Some("1")),
            ("application/json", json, "post_arg.m[", None),
            ("application/json", "{", "post_arg.a", None),
            ("application/json", json, "post_arg_a", None),
            ("multipart/form-data; boundary=B", parts, "post_arg.a", Some("one\r\ntwo")),
            ("multipart/form-data; boundary=B", parts, "post_arg.f", None),
            ("multipart/form-data; boundary=B", parts, "post_arg_a", None),
            ("multipart/form-data", parts, "post_arg.a", None),
            ("text/plain", "a=1", "post_arg_a", None),
        ] {
            let found = BodyVariables::of(&request("POST", None, kind, body));
            let found = found.variable(name).map(|value| String::from_utf8(value.into_owned()).unwrap());
            assert_eq!(found.as_deref(), wanted, "{kind} {name}");
        }
        let all = BodyVariables::of(&request("POST", None, "application/json", json));
        let roles = all.list("post_arg.m[*].role").unwrap();
        assert_eq!(roles.iter().map(|role| String::from_utf8_lossy(role)).collect::<Vec<_>>(), ["u", "s"]);
        assert_eq!(all.list("post_arg.a.b"), None);
    }

    #[test]
    fn graphql_is_found_in_query_and_body() {
        let query = "mutation Buy { order(id: 1) { id } stock }";
        let as_json = serde_json::json!({ "query": query }).to_string();
        for (method, argument, kind, body, wanted) in [
            ("GET", Some("query=%7Bowner%7D"), "", "", Some(("query", "", "owner"))),
            ("POST", None, "application/graphql", query, Some(("mutation", "Buy", "order stock"))),
            ("POST", None, "application/json", &as_json, Some(("mutation", "Buy", "order stock"))),
            ("POST", None, "application/json; charset=utf-8", &as_json, None),
            ("POST", None, "application/json", "{}", None),
            ("PUT", None, "application/graphql", query, None),
        ] {
            let found = BodyVariables::of(&request(method, argument, kind, body));
            let text =
                |name: &str| found.variable(name).map(|value| String::from_utf8(value.into_owned()).unwrap());
            let fields = found.list("graphql_root_fields").map(|all| {
                all.iter().map(|one| String::from_utf8_lossy(one).into_owned()).collect::<Vec<_>>().join(" ")
            });
            let said = text("graphql_operation").zip(text("graphql_name")).zip(fields);
            let wanted = wanted.map(|(a, b, c)| ((a.to_owned(), b.to_owned()), c.to_owned()));
            assert_eq!(said, wanted, "{method} {kind}");
        }
    }

    #[test]
    fn what_is_too_large_says_nothing() {
        let body = format!("a=1&b={}", "x".repeat(usize::try_from(MOST_BYTES).unwrap()));
        let found = BodyVariables::of(&request("POST", None, "application/x-www-form-urlencoded", &body));
        assert_eq!(found.variable("post_arg_a"), None);
    }
}
