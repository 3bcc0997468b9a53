//! `redirect` answers with another address instead of forwarding.
//!
//! The port for https is the gateway's own unless `plugin_attr.redirect.https_port` says otherwise, for example where a balancer in front listens
//! on 443.
//!
//! Example: `{"uri": "/new/home", "ret_code": 301}`

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use usher_pipeline::env::{Env, Process};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::pattern::{Pattern, Replacement};
use crate::schema::{number, one_of_required};
use crate::text::Text;

/// `redirect`.
pub(crate) static PLUGIN: Spec = Spec::of::<Redirect>();

/// Answers with another address; exactly one of `uri`, `regex_uri` and `http_to_https` has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["uri"], &["regex_uri"], &["http_to_https"]]))]
struct Config {
    /// The address to go to, with variables; at least 2 characters.
    #[schemars(length(min = 2))]
    uri: Option<String>,
    /// A pattern, and what its match in the path is replaced by (`$1` is the first group). A path that doesn't match is forwarded.
    regex_uri: Option<[String; 2]>,
    /// Sends clients that came over plain HTTP to the same address over https: 301 for GET and HEAD, otherwise 308.
    http_to_https: Option<bool>,
    /// The status of the answer, 200 to 599.
    #[serde(default = "number::<302>")]
    #[schemars(range(min = 200))]
    ret_code: u64,
    /// Percent-encodes the path of the address.
    #[serde(default)]
    encode_uri: bool,
    /// Puts the client's query behind the address; not together with `http_to_https`.
    #[serde(default)]
    append_query_string: bool,
}

/// Where the gateway listens for TLS unless settings say otherwise.
const DEFAULT_TLS_PORT: u16 = 9443;

struct Redirect {
    rule: Rule,
    /// Whether the address was written with `//` in front, and so names another site on purpose.
    names_a_site: bool,
    ret_code: u16,
    encode_uri: bool,
    append_query_string: bool,
}

enum Rule {
    Written(Text),
    Matched(Pattern, Replacement),
    /// To https, on this port where it isn't 443.
    Secure(Option<u16>),
    /// `"http_to_https": false`.
    Nothing,
}

impl Plugin for Redirect {
    const NAME: &'static str = "redirect";
    const PRIORITY: i32 = 900;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::redirect)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let ret_code = u16::try_from(config.ret_code).ok().filter(|code| *code <= 599).ok_or_else(|| {
            BuildError::new(format!(
                "property \"ret_code\" validation failed: expected {} to be at most 599",
                config.ret_code
            ))
        })?;
        if config.http_to_https == Some(true) && config.append_query_string {
            return Err(BuildError::new(
                "only one of `http_to_https` and `append_query_string` can be configured.",
            ));
        }
        let written = config.uri.as_ref().or(config.regex_uri.as_ref().map(|[_, replacement]| replacement));
        let names_a_site = written.is_some_and(|text| text.starts_with("//"));
        let rule = match (config.uri, config.regex_uri) {
            (Some(uri), _) => Rule::Written(Text::parse(&uri)),
            (None, Some([pattern, replacement])) => {
                let compiled = Pattern::new(&pattern).map_err(|error| {
                    BuildError::new(format!("invalid regex_uri ({pattern}, {replacement}), err:{error}"))
                })?;
                Rule::Matched(compiled, Replacement::parse(&replacement))
            }
            (None, None) if config.http_to_https == Some(true) => Rule::Secure(https_port(env.process())),
            (None, None) => Rule::Nothing,
        };
        Ok(Self {
            rule,
            names_a_site,
            ret_code,
            encode_uri: config.encode_uri,
            append_query_string: config.append_query_string,
        })
    }
}

/// The port that https clients come to; `None` for 443 or where the setting is no port.
fn https_port(process: &Process) -> Option<u16> {
    let number = |plugin: &str, member: &str| process.attribute(plugin)?.get(member).and_then(Value::as_u64);
    let port = number("redirect", "https_port").or_else(|| number("ssl", "port"));
    let port = port.map_or(Some(DEFAULT_TLS_PORT), |port| u16::try_from(port).ok());
    port.filter(|port| !matches!(port, 0 | 443))
}

impl Redirect {
    fn redirect(&self, exchange: &mut Exchange) -> Flow {
        let (address, status) = match &self.rule {
            Rule::Nothing => return Flow::Continue,
            Rule::Secure(port) => {
                let request = &exchange.request;
                let scheme = request.head.get("x-forwarded-proto").unwrap_or(request.scheme().as_bytes());
                if scheme != b"http" {
                    return Flow::Continue;
                }
                let status = if matches!(request.method(), "GET" | "HEAD") { 301 } else { 308 };
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                let query = request.original_query().map(|query| format!("?{query}")).unwrap_or_default();
                let host = request.host();
                (format!("https://{host}{port}{}{query}", request.asked_path()).into_bytes(), status)
            }
            Rule::Written(text) => (text.render(exchange).into_owned(), self.ret_code),
            Rule::Matched(pattern, replacement) => {
                let path = exchange.request.path().as_bytes();
                match pattern.groups(path) {
                    Ok(Some(groups)) => (replacement.apply(path, &groups), self.ret_code),
                    Ok(None) => return Flow::Continue,
                    Err(error) => {
                        tracing::error!(%error, "a pattern of redirect gave up");
                        return Reply::new(500).into();
                    }
                }
            }
        };
        let address = self.finish(address, exchange);
        let mut reply = Reply::new(status);
        // Browsers leave tabs out of an address, so that one could hide what is behind it.
        if address.contains(&b'\t') || reply.head.set("Location", &address).is_err() {
            return Reply::error_msg(400, "the request makes an address that can't be sent").into();
        }
        reply.into()
    }

    fn finish(&self, mut address: Vec<u8>, exchange: &Exchange) -> Vec<u8> {
        if !self.names_a_site {
            stay_on_site(&mut address);
        }
        let split = address.iter().position(|byte| *byte == b'?');
        if self.encode_uri {
            let (path, query) = address.split_at(split.unwrap_or(address.len()));
            address = [encode(path).as_bytes(), query].concat();
        }
        if self.append_query_string
            && let Some(query) = exchange.request.query()
        {
            address.push(if split.is_some() { b'&' } else { b'?' });
            address.extend_from_slice(query.as_bytes());
        }
        address
    }
}

/// Keeps an address that begins like a path a path: `//name` and `/\name` are other sites to a browser, and a client's own words may have
/// made them.
fn stay_on_site(address: &mut Vec<u8>) {
    if address.first() != Some(&b'/') {
        return;
    }
    let slashes = address.iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    address.drain(1..slashes);
}

/// Percent-encodes what may not stand in an address; what is already encoded stays as it is.
fn encode(text: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_graphic()
            && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        {
            out.push(char::from(*byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, harness, try_harness, try_harness_with};

    use super::PLUGIN;

    fn with_attributes(attributes: Value) -> Harness {
        let attributes: Map<String, Value> = attributes.as_object().unwrap().clone();
        let bodies = [("redirect".to_owned(), json!({ "http_to_https": true }))].into_iter().collect();
        try_harness_with(&[&PLUGIN], bodies, attributes).unwrap()
    }

    #[test]
    fn answers_with_the_address() {
        for (body, target, status, location) in [
            (json!({ "uri": "/new" }), "/old?a=1", 302, Some("/new")),
            (
                json!({ "uri": "https://$host/x$uri", "ret_code": 308 }),
                "/old",
                308,
                Some("https://a.test/x/old"),
            ),
            (json!({ "uri": "/new", "append_query_string": true }), "/old?a=1", 302, Some("/new?a=1")),
            (json!({ "uri": "/new?b", "append_query_string": true }), "/old?a=1", 302, Some("/new?b&a=1")),
            (json!({ "uri": "/new", "append_query_string": true }), "/old", 302, Some("/new")),
            (json!({ "uri": "/a b?c d", "encode_uri": true }), "/", 302, Some("/a%20b?c d")),
            (
                json!({ "regex_uri": ["^/test/(.*)/(.*)", "http://b.test/$2/$1"] }),
                "/test/a/b?q",
                302,
                Some("http://b.test/b/a"),
            ),
            (json!({ "regex_uri": ["^/test/(.*)", "/$1"] }), "/other", 200, None),
            (json!({ "http_to_https": false }), "/", 200, None),
        ] {
            let outcome = harness(&PLUGIN, body.clone()).get(target);
            assert_eq!((outcome.status(), outcome.field("Location")), (status, location), "{body}");
        }
    }

    #[test]
    fn sends_plain_clients_to_https() {
        let mut bench = harness(&PLUGIN, json!({ "http_to_https": true }));
        let outcome = bench.send("GET", "/x?y=1", &[("Host", "A.test:9080")], "");
        assert_eq!((outcome.status(), outcome.field("Location")), (301, Some("https://a.test:9443/x?y=1")));
        bench.send("POST", "/x", &[], "").expect_status(308);
        bench.send("GET", "/x", &[("X-Forwarded-Proto", "https")], "").expect_status(200);
        let mut over_tls = harness(&PLUGIN, json!({ "http_to_https": true })).over_tls();
        over_tls.get("/x").expect_status(200);
        over_tls.send("HEAD", "/x", &[("X-Forwarded-Proto", "http")], "").expect_status(301);
    }

    #[test]
    fn takes_the_port_from_the_settings() {
        for (attributes, location) in [
            (json!({ "redirect": { "https_port": 8443 }, "ssl": { "port": 1 } }), "https://a.test:8443/"),
            (json!({ "redirect": { "https_port": 443 } }), "https://a.test/"),
            (json!({ "ssl": { "port": 7443 } }), "https://a.test:7443/"),
            (json!({ "redirect": { "https_port": 70000 } }), "https://a.test/"),
            (json!({}), "https://a.test:9443/"),
        ] {
            assert_eq!(with_attributes(attributes).get("/").field("Location"), Some(location));
        }
    }

    #[test]
    fn an_address_that_would_tear_a_line_is_answered_400() {
        let outcome = harness(&PLUGIN, json!({ "uri": "/$arg_to" })).get("/?to=a%0d%0aSet-Cookie:%20x");
        outcome.expect_status(400);
        assert_eq!(outcome.field("Location"), None);
    }

    #[test]
    fn a_client_can_not_name_another_site() {
        for (body, target, location) in [
            (json!({ "uri": "/$arg_to" }), "/?to=/evil.test", "/evil.test"),
            (json!({ "uri": "/$arg_to" }), "/?to=%5cevil.test", "/evil.test"),
            (json!({ "uri": "/$arg_to" }), "/?to=%5c/%5cevil.test", "/evil.test"),
            (json!({ "uri": "$arg_to" }), "/?to=//evil.test", "/evil.test"),
            (json!({ "regex_uri": ["^/go/(.*)", "/$1"] }), "/go//evil.test", "/evil.test"),
            (json!({ "regex_uri": ["/old$", "/new"] }), "//evil.test/old", "/evil.test/new"),
            (json!({ "uri": "//b.test/$arg_to" }), "/?to=x", "//b.test/x"),
            (json!({ "uri": "/a//b" }), "/", "/a//b"),
        ] {
            let outcome = harness(&PLUGIN, body.clone()).get(target);
            assert_eq!(outcome.field("Location"), Some(location), "{body} {target}");
        }
        harness(&PLUGIN, json!({ "uri": "/$arg_to" })).get("/?to=%09/evil.test").expect_status(400);
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({}), ""),
            (json!({ "uri": "/" }), ""),
            (json!({ "uri": "/a", "regex_uri": ["a", "b"] }), ""),
            (json!({ "uri": "/a", "ret_code": 199 }), ""),
            (json!({ "uri": "/a", "ret_code": 600 }), "to be at most 599"),
            (json!({ "uri": "/a", "ret_code": 70000 }), "to be at most 599"),
            (json!({ "regex_uri": ["a"] }), ""),
            (json!({ "regex_uri": ["(", "b"] }), "invalid regex_uri ((, b), err:"),
            (
                json!({ "http_to_https": true, "append_query_string": true }),
                "only one of `http_to_https` and `append_query_string`",
            ),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
