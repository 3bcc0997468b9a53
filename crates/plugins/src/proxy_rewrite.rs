//! `proxy-rewrite` changes the request on its way to the upstream: path, host, method, header fields.
//!
//! What it makes of a path is checked like a client's: a value that climbs out of the path that was written is refused, so that the path that
//! rules have judged stays the path that is forwarded.
//!
//! Example: `{"regex_uri": ["^/v1/(.*)", "/$1"], "headers": {"set": {"X-Client": "$remote_addr"}}}`

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::field_edits::{FieldEdits, request_schema};
use crate::pattern::{Groups, Pattern, Replacement, check_count};
use crate::text::{Captured, InPath, Text};

/// `proxy-rewrite`.
pub(crate) static PLUGIN: Spec = Spec::of::<ProxyRewrite>();

/// Changes the request on its way to the upstream; at least one member has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
struct Config {
    /// The new path, with variables; 1 to 4096 characters, beginning with `/`. The client's query is kept, behind one that is written here.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^\/.*"))]
    uri: Option<String>,
    /// Pairs of a pattern and what a match of it is replaced by (`$1` is the first group); the first pattern that matches wins. `uri` comes
    /// before it.
    #[schemars(length(min = 2))]
    regex_uri: Option<Vec<String>>,
    /// The `Host` that is sent, where the upstream's `pass_host` is `pass`.
    #[schemars(regex(pattern = r"^[0-9a-zA-Z.-]+(:\d{1,5})?$"))]
    host: Option<String>,
    /// The new method.
    method: Option<Method>,
    /// Header fields to `add`, `set` and `remove`, in this order; or a plain object of fields to set. Values may hold variables, and `$1` and
    /// so on of `regex_uri`.
    #[serde(default)]
    #[schemars(schema_with = "request_schema")]
    headers: Option<Map<String, Value>>,
    /// Forwards the request's target as it came, around every check of it. Not supported: `true` is refused.
    #[serde(default)]
    use_real_request_uri_unsafe: bool,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Post,
    Put,
    Head,
    Delete,
    Options,
    Mkcol,
    Copy,
    Move,
    Propfind,
    Lock,
    Unlock,
    Patch,
    Trace,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Head => "HEAD",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Mkcol => "MKCOL",
            Self::Copy => "COPY",
            Self::Move => "MOVE",
            Self::Propfind => "PROPFIND",
            Self::Lock => "LOCK",
            Self::Unlock => "UNLOCK",
            Self::Patch => "PATCH",
            Self::Trace => "TRACE",
        }
    }
}

struct ProxyRewrite {
    target: Target,
    host: Option<String>,
    method: Option<Method>,
    edits: FieldEdits,
}

enum Target {
    Kept,
    Written(Text),
    Matched(Vec<(Pattern, Replacement)>),
}

impl Plugin for ProxyRewrite {
    const NAME: &'static str = "proxy-rewrite";
    const PRIORITY: i32 = 1008;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::rewrite)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        if config.use_real_request_uri_unsafe {
            return Err(BuildError::new(
                "use_real_request_uri_unsafe is not supported: Usher forwards the one path that it has judged; remove it, or rewrite by uri or regex_uri",
            ));
        }
        let target = match (config.uri, config.regex_uri) {
            (Some(uri), _) => Target::Written(Text::parse(&uri)),
            (None, Some(pairs)) => Target::Matched(pairs_of(&pairs)?),
            (None, None) => Target::Kept,
        };
        let edits = config.headers.as_ref().map(FieldEdits::parse).transpose()?.unwrap_or_default();
        Ok(Self { target, host: config.host, method: config.method, edits })
    }
}

fn pairs_of(texts: &[String]) -> Result<Vec<(Pattern, Replacement)>, BuildError> {
    let (pairs, []) = texts.as_chunks::<2>() else {
        return Err(BuildError::new("The length of regex_uri should be an even number"));
    };
    check_count("regex_uri", pairs.len())?;
    let compile = |[pattern, replacement]: &[String; 2]| {
        let compiled = Pattern::new(pattern).map_err(|error| {
            BuildError::new(format!("invalid regex_uri({pattern}, {replacement}): {error}"))
        })?;
        Ok((compiled, Replacement::parse(replacement)))
    };
    pairs.iter().map(compile).collect()
}

impl ProxyRewrite {
    fn rewrite(&self, exchange: &mut Exchange) -> Flow {
        let mut captured: Option<(Vec<u8>, Groups)> = None;
        let written = match &self.target {
            Target::Kept => None,
            Target::Written(uri) => Some(uri.render(&InPath(exchange)).into_owned()),
            Target::Matched(pairs) => match first_match(pairs, exchange.request.path().as_bytes()) {
                Ok(Some((path, groups))) => {
                    captured = Some((exchange.request.path().as_bytes().to_vec(), groups));
                    Some(path)
                }
                Ok(None) => None,
                Err(error) => {
                    let message = format!("failed to match the uri {}: {error}", exchange.request.path());
                    tracing::error!(%error, "a pattern of proxy-rewrite gave up");
                    return Reply::error_msg(500, &message).into();
                }
            },
        };
        if let Some(written) = written
            && let Some(refused) = redirect_to(exchange, &written)
        {
            return refused.into();
        }
        if let Some(host) = &self.host
            && let Err(error) = exchange.request.head.set("Host", host)
        {
            tracing::error!(%error, "a host of proxy-rewrite can't be sent");
        }
        let groups = captured.as_ref().map(|(path, groups)| (path.as_slice(), groups));
        let edited = self.edits.apply(
            exchange,
            |exchange| &mut exchange.request.head,
            |exchange, text| render(exchange, text, groups),
        );
        if let Err(error) = edited {
            return Reply::error_msg(400, &format!("the request makes a header that can't be sent: {error}"))
                .into();
        }
        if let Some(method) = self.method
            && let Err(error) = exchange.request.head.set_method(method.as_str())
        {
            tracing::error!(%error, "a method of proxy-rewrite can't be sent");
        }
        Flow::Continue
    }
}

fn render<'t>(exchange: &Exchange, text: &'t Text, groups: Option<(&[u8], &Groups)>) -> Cow<'t, [u8]> {
    text.render(&Captured { inner: exchange, groups })
}

fn first_match(pairs: &[(Pattern, Replacement)], path: &[u8]) -> Result<Option<(Vec<u8>, Groups)>, String> {
    for (pattern, replacement) in pairs {
        if let Some(groups) = pattern.groups(path)? {
            return Ok(Some((replacement.apply(path, &groups), groups)));
        }
    }
    Ok(None)
}

/// Sends the request on to this path and query; the client's own query comes last. The refusal of a path that is not allowed, if it is one.
fn redirect_to(exchange: &mut Exchange, written: &[u8]) -> Option<Reply> {
    let written = ascii(written);
    let (path, query) =
        written.split_once('?').map_or((&*written, None), |(path, query)| (path, Some(query)));
    if !path.starts_with('/') || climbs(path) {
        return Some(Reply::error_msg(400, "the request makes a path that is not allowed"));
    }
    let request = &mut exchange.request;
    if let Some(query) = query {
        let joined = request.query().map(|own| format!("{query}&{own}"));
        request.set_query(Some(joined.as_deref().unwrap_or(query)));
    }
    request.set_path(path);
    None
}

/// Bytes beyond ASCII percent-encoded, so that the rest is text.
fn ascii(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii() {
            out.push(char::from(*byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Whether a path has a segment that a server may take for "here" or "up", however it is written, or a NUL.
fn climbs(path: &str) -> bool {
    if !path.contains(['.', '%', '\0']) {
        return false;
    }
    let plain = path
        .to_ascii_lowercase()
        .replace("%2f", "/")
        .replace("%5c", "/")
        .replace('\\', "/")
        .replace("%2e", ".");
    let hidden = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    plain.contains(['\0']) || plain.contains("%00") || plain.split('/').any(hidden)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    #[test]
    fn writes_the_path_anew_and_keeps_the_query() {
        for (body, target, expected) in [
            (json!({ "uri": "/new" }), "/old?a=1", "/new?a=1"),
            (json!({ "uri": "/new?b=2" }), "/old?a=1", "/new?b=2&a=1"),
            (json!({ "uri": "/new?b=2" }), "/old", "/new?b=2"),
            (json!({ "uri": "/$arg_a/x" }), "/old?a=1", "/1/x?a=1"),
            (json!({ "uri": "/u/$arg_a" }), "/old?a=q%3Fadmin%3D1", "/u/q%3Fadmin=1?a=q%3Fadmin%3D1"),
            (json!({ "uri": "/a b/é" }), "/", "/a%20b/%C3%A9"),
            (json!({ "uri": "/x", "regex_uri": ["^/(.*)", "/y"] }), "/old", "/x"),
            (json!({ "regex_uri": ["^/test/(.*)/(.*)", "/$2/$1"] }), "/test/a/b?q", "/b/a?q"),
            (json!({ "regex_uri": ["^/no", "/1", "^/(o)", "/2$1", "^/old", "/3"] }), "/old", "/2old"),
            (json!({ "regex_uri": ["^/no", "/1"] }), "/old?a", "/old?a"),
            (json!({ "host": "b.test" }), "/old", "/old"),
        ] {
            assert_eq!(harness(&PLUGIN, body.clone()).get(target).seen().target, expected, "{body}");
        }
    }

    #[test]
    fn refuses_values_that_climb_out_of_the_path() {
        let mut bench = harness(&PLUGIN, json!({ "uri": "/files/$arg_name" }));
        for name in ["../x", "..", "a/../../x", "%252e%252e/x", "..%5Cx", "..;a/x", "..%252Fx", "a%00b", "."]
        {
            let outcome = bench.get(&format!("/?name={name}"));
            assert!(outcome.upstream.is_none(), "{name}");
            outcome.expect_status(400);
        }
        for name in ["a.b", "...", "a..b", "..a", "a;.."] {
            bench.get(&format!("/?name={name}")).expect_status(200);
        }
    }

    #[test]
    fn edits_fields_in_the_order_add_set_remove() {
        let body = json!({
            "regex_uri": ["^/(.*)/(.*)", "/$2"],
            "headers": {
                "add": { "X-Many": ["a", 2], "X-Gone": "x" },
                "set": { "X-Host": "$host-$1", "X-Two": ["1", "2"], "X-Braced": "${2}${arg_none ?? none}" },
                "remove": ["X-Gone", "Cookie"]
            }
        });
        let outcome = harness(&PLUGIN, body).send(
            "GET",
            "/u/v",
            &[("X-Many", "0"), ("cookie", "c"), ("x-host", "old")],
            "",
        );
        let head = &outcome.seen().head;
        let all = |name: &str| {
            head.get_all(name).map(|v| String::from_utf8_lossy(v).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(all("x-many"), ["0", "a", "2"]);
        assert_eq!(all("x-host"), ["a.test-u"]);
        assert_eq!(all("x-two"), ["1", "2"]);
        assert_eq!(all("x-braced"), ["vnone"]);
        assert!(!head.contains("x-gone") && !head.contains("cookie"));
    }

    #[test]
    fn plain_headers_are_set() {
        let body = json!({ "headers": { "X-A": "$request_method", "X-B": 5 }, "host": "b.test:81", "method": "POST" });
        let outcome = harness(&PLUGIN, body).send("GET", "/", &[("X-A", "1"), ("X-A", "2")], "");
        let head = &outcome.seen().head;
        assert_eq!(head.get_all("x-a").count(), 1);
        assert_eq!((head.get_str("x-a"), head.get_str("x-b")), (Some("GET"), Some("5")));
        assert_eq!((head.get_str("host"), head.method()), (Some("b.test:81"), "POST"));
    }

    #[test]
    fn a_field_that_is_set_to_nothing_is_taken_away() {
        let headers =
            json!({ "set": { "X-Fixed": "", "X-Varying": "$arg_none", "X-Many": ["$arg_none", "2", ""] } });
        let sent = [("X-Fixed", "1"), ("X-Varying", "1"), ("X-Many", "1")];
        let outcome = harness(&PLUGIN, json!({ "headers": headers })).send("GET", "/", &sent, "");
        let head = &outcome.seen().head;
        assert!(!head.contains("x-fixed") && !head.contains("x-varying"));
        assert_eq!(head.get_all("x-many").collect::<Vec<_>>(), [b"2"]);
    }

    #[test]
    fn a_value_that_would_tear_a_line_is_answered_400() {
        let mut bench = harness(&PLUGIN, json!({ "headers": { "set": { "X-Name": "$arg_name" } } }));
        bench.get("/?name=ok").expect_status(200);
        let outcome = bench.get("/?name=a%0d%0aX-Admin:%20yes");
        outcome.expect_status(400);
        assert!(outcome.upstream.is_none() && outcome.text().starts_with("{\"error_msg\":"));
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), ""),
            (json!({ "uri": "no-slash" }), ""),
            (json!({ "method": "CONNECT" }), ""),
            (json!({ "host": "a b" }), ""),
            (json!({ "headers": {} }), ""),
            (json!({ "headers": { "set": { "X": true } } }), ""),
            (json!({ "regex_uri": ["^/a"] }), ""),
            (
                json!({ "regex_uri": ["^/a", "/b", "^/c"] }),
                "The length of regex_uri should be an even number",
            ),
            (json!({ "regex_uri": ["^/(a", "/b"] }), "invalid regex_uri(^/(a, /b): "),
            (json!({ "headers": { "a b": "x" } }), "invalid field character in header"),
            (json!({ "headers": { "X": "a\r\nb" } }), "invalid value character in header"),
            (json!({ "use_real_request_uri_unsafe": true }), "use_real_request_uri_unsafe is not supported"),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
