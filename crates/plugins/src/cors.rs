//! `cors` tells browsers which other sites may call the route.
//!
//! Every OPTIONS request is answered here, before any plugin that authenticates: browsers send preflights without credentials.
//!
//! Example: `{"allow_origins": "https://app.example.com", "allow_methods": "GET,POST", "allow_headers": "Authorization", "allow_credential": true}`

use schemars::JsonSchema;
use serde::Deserialize;
use usher_http1::head::Head;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::origins::{Origins, PATTERN};
use crate::pattern::check_count;

/// `cors`.
pub(crate) static PLUGIN: Spec = Spec::of::<Cors>().metadata::<Metadata>();

/// Tells browsers which other sites may call the route.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Who may call: `*` for everybody, `**` for everybody by name (also with credentials, which is risky), `null`, or origins
    /// `scheme://host[:port]` joined by commas.
    #[serde(default = "star")]
    #[schemars(regex(pattern = PATTERN))]
    allow_origins: String,
    /// Methods that may be used, joined by commas; `*` for all, `**` for all also with credentials.
    #[serde(default = "star")]
    allow_methods: String,
    /// Header fields that may be sent, joined by commas; `*` for all, `**` for those that a preflight asks for.
    #[serde(default = "star")]
    allow_headers: String,
    /// Header fields of the answer that scripts may read, joined by commas; `*` for all.
    expose_headers: Option<String>,
    /// How long a browser may remember the answer to a preflight, in seconds; -1 for not at all.
    #[serde(default = "five")]
    max_age: i64,
    /// Whether scripts may send cookies and the like. No other member may be `*` then.
    #[serde(default)]
    allow_credential: bool,
    /// Patterns of origins that may call; `allow_origins` is not looked at then.
    #[schemars(length(min = 1), extend("uniqueItems" = true), inner(length(min = 1, max = 4096)))]
    allow_origins_by_regex: Option<Vec<String>>,
    /// Names of origins in the plugin's metadata, which may call too; an `allow_origins` of `*` is not looked at then. A name that isn't there admits nobody.
    #[schemars(length(min = 1), extend("uniqueItems" = true), inner(length(min = 1, max = 4096)))]
    allow_origins_by_metadata: Option<Vec<String>>,
    /// Who may see how long things took (`Timing-Allow-Origin`), written as `allow_origins`.
    #[schemars(regex(pattern = PATTERN))]
    timing_allow_origins: Option<String>,
    /// Patterns of origins that may see how long things took.
    #[schemars(length(min = 1), extend("uniqueItems" = true), inner(length(min = 1, max = 4096)))]
    timing_allow_origins_by_regex: Option<Vec<String>>,
}

/// What all uses of the plugin share.
#[derive(Default, Deserialize, JsonSchema)]
struct Metadata {
    /// Origins by a name, each written as `allow_origins`. Whom `*` admits is answered by his own name, unless `allow_credential` is set.
    #[serde(default)]
    #[schemars(extend("additionalProperties" = { "type": "string", "pattern": PATTERN }))]
    allow_origins: std::collections::BTreeMap<String, String>,
}

fn star() -> String {
    "*".to_owned()
}

const fn five() -> i64 {
    5
}

/// What `**` stands for among methods.
const ALL_METHODS: &str = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE";

struct Cors {
    /// Who may call: whoever one of them admits.
    origins: Vec<Origins>,
    timing: Option<Origins>,
    methods: String,
    headers: Headers,
    expose_headers: Option<String>,
    max_age: String,
    allow_credential: bool,
    /// Whether the answer depends on who asks.
    varies: bool,
}

enum Headers {
    These(String),
    AskedFor,
}

/// The `Origin` as it came; other plugins may change the request.
#[derive(Default)]
struct Asked(Vec<u8>);

impl Plugin for Cors {
    const NAME: &'static str = "cors";
    const PRIORITY: i32 = 4000;
    const PHASES: Phases<Self> = Phases {
        rewrite: Some(Hook::Now(Self::preflight)),
        header_filter: Some(Self::allow),
        ..Phases::NONE
    };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let exposed = config.expose_headers.as_deref();
        let timed = config.timing_allow_origins.as_deref();
        let fixed = [&*config.allow_origins, &*config.allow_methods, &*config.allow_headers];
        if config.allow_credential && fixed.into_iter().chain(exposed).chain(timed).any(|text| text == "*") {
            return Err(BuildError::new(
                "you can not set '*' for other option when 'allow_credential' is true",
            ));
        }
        for (member, text) in [
            ("allow_methods", Some(&*config.allow_methods)),
            ("allow_headers", Some(&*config.allow_headers)),
            ("expose_headers", exposed),
        ] {
            if text.is_some_and(|text| Head::empty().set("X", text).is_err()) {
                return Err(BuildError::new(format!(
                    "property \"{member}\" validation failed: control characters can't be sent in a header"
                )));
            }
        }
        let timed_by_regex = config.timing_allow_origins_by_regex.as_deref();
        check_count("timing_allow_origins_by_regex", timed_by_regex.map_or(0, <[_]>::len))?;
        check_count("allow_origins_by_regex", config.allow_origins_by_regex.as_ref().map_or(0, Vec::len))?;
        let timing = (timed.is_some() || timed_by_regex.is_some())
            .then(|| Origins::of(timed.unwrap_or_default(), timed_by_regex))
            .transpose()?;
        let patterns = config.allow_origins_by_regex.as_deref();
        let mut origins = Vec::new();
        if patterns.is_some() || config.allow_origins_by_metadata.is_none() || config.allow_origins != "*" {
            origins.push(Origins::of(&config.allow_origins, patterns)?);
        }
        if let Some(names) = &config.allow_origins_by_metadata {
            let metadata: Metadata = env.metadata()?.unwrap_or_default();
            for listed in names.iter().filter_map(|name| metadata.allow_origins.get(name)) {
                // As in APISIX; with credentials a browser takes `*` for nobody, which is the safer answer.
                let by_name = listed == "*" && !config.allow_credential;
                origins.push(Origins::of(if by_name { "**" } else { listed }, None)?);
            }
        }
        Ok(Self {
            varies: !matches!(origins.as_slice(), [Origins::All]),
            origins,
            timing,
            methods: if config.allow_methods == "**" { ALL_METHODS.to_owned() } else { config.allow_methods },
            headers: match &*config.allow_headers {
                "**" => Headers::AskedFor,
                _ => Headers::These(config.allow_headers),
            },
            expose_headers: config.expose_headers.filter(|exposed| !exposed.is_empty()),
            max_age: config.max_age.to_string(),
            allow_credential: config.allow_credential,
        })
    }
}

impl Cors {
    fn preflight(&self, exchange: &mut Exchange) -> Flow {
        if let Some(origin) = exchange.request.head.get("origin") {
            let origin = origin.to_vec();
            exchange.slot::<_, Asked>(self).0 = origin;
        }
        if exchange.request.method() == "OPTIONS" { Reply::new(200).into() } else { Flow::Continue }
    }

    fn allow(&self, exchange: &mut Exchange) -> Flow {
        let kept = exchange.existing_slot::<_, Asked>(self).map(|asked| std::mem::take(&mut asked.0));
        let asked = kept.as_deref().or_else(|| exchange.request.head.get("origin"));
        let answer = &mut exchange.answer;
        let mut put = |name: &str, value: &[u8]| {
            // The client's own bytes are the only ones that could be refused; then it goes without that field.
            if let Err(error) = answer.set(name, value) {
                tracing::debug!(%error, "left out a field of cors");
            }
        };
        if let Some(origin) = self.origins.iter().find_map(|origins| origins.admits(asked)) {
            put("Access-Control-Allow-Origin", origin);
            put("Access-Control-Allow-Methods", self.methods.as_bytes());
            put("Access-Control-Max-Age", self.max_age.as_bytes());
            match &self.headers {
                Headers::These(headers) => put("Access-Control-Allow-Headers", headers.as_bytes()),
                Headers::AskedFor => {
                    if let Some(headers) = exchange.request.head.get("access-control-request-headers") {
                        put("Access-Control-Allow-Headers", headers);
                    }
                }
            }
            if let Some(exposed) = &self.expose_headers {
                put("Access-Control-Expose-Headers", exposed.as_bytes());
            }
            if self.allow_credential {
                put("Access-Control-Allow-Credentials", b"true");
            }
        }
        if let Some(origin) = self.timing.as_ref().and_then(|timing| timing.admits(asked)) {
            put("Timing-Allow-Origin", origin);
        }
        if self.varies
            && let Err(error) = exchange.answer.append("Vary", "Origin")
        {
            tracing::error!(%error, "Vary can't be sent");
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::env::Metadata;
    use usher_pipeline::harness::{Outcome, harness, try_harness, try_harness_knowing};
    use usher_pipeline::registry::Registry;

    use super::PLUGIN;

    fn asked(body: &Value, method: &str, origin: Option<&str>) -> Outcome {
        let fields: Vec<_> = origin.map(|origin| ("Origin", origin)).into_iter().collect();
        harness(&PLUGIN, body.clone()).send(method, "/", &fields, "")
    }

    #[test]
    fn admits_origins_by_name() {
        let list = json!({ "allow_origins": "https://a.test,http://b.test:81" });
        let regex = json!({ "allow_origins_by_regex": ["^https://.*\\.c\\.test$", "d"] });
        for (body, origin, admitted) in [
            (json!({}), None, Some("*")),
            (json!({}), Some("https://x.test"), Some("*")),
            (json!({ "allow_origins": "**" }), None, Some("*")),
            (json!({ "allow_origins": "**" }), Some("https://x.test"), Some("https://x.test")),
            (json!({ "allow_origins": "https://a.test" }), Some("https://a.test"), Some("https://a.test")),
            (json!({ "allow_origins": "https://a.test" }), Some("https://a.test.evil"), None),
            (json!({ "allow_origins": "https://a.test" }), None, None),
            (json!({ "allow_origins": "null" }), Some("null"), Some("null")),
            (list.clone(), Some("http://b.test:81"), Some("http://b.test:81")),
            (list.clone(), Some("http://b.test"), None),
            (list, Some("https://a.test,http://b.test:81"), None),
            (regex.clone(), Some("https://x.c.test"), Some("https://x.c.test")),
            (regex.clone(), Some("https://c.test"), None),
            (regex.clone(), Some("https://d.test"), Some("https://d.test")),
            (regex, None, None),
        ] {
            let outcome = asked(&body, "GET", origin);
            assert_eq!(outcome.field("Access-Control-Allow-Origin"), admitted, "{body} {origin:?}");
            assert_eq!(
                outcome.field("Access-Control-Max-Age").is_some(),
                admitted.is_some(),
                "{body} {origin:?}"
            );
            let varies = body.as_object().is_some_and(|members| !members.is_empty());
            assert_eq!(outcome.field("Vary"), varies.then_some("Origin"), "{body}");
        }
    }

    #[test]
    fn admits_origins_by_names_in_the_metadata() {
        let origins = json!({
            "allow_origins": { "partners": "https://p.test,https://q.test", "all": "**", "star": "*" }
        });
        for (body, origin, admitted) in [
            (json!({ "allow_origins_by_metadata": ["partners"] }), "https://q.test", Some("https://q.test")),
            (json!({ "allow_origins_by_metadata": ["partners"] }), "https://x.test", None),
            (
                json!({ "allow_origins_by_metadata": ["nobody", "all"] }),
                "https://x.test",
                Some("https://x.test"),
            ),
            (json!({ "allow_origins_by_metadata": ["nobody"] }), "https://p.test", None),
            (json!({ "allow_origins_by_metadata": ["star"] }), "https://x.test", Some("https://x.test")),
            (
                json!({
                    "allow_origins_by_metadata": ["star"], "allow_credential": true,
                    "allow_methods": "GET", "allow_headers": "X-A", "allow_origins": "https://a.test"
                }),
                "https://x.test",
                Some("*"),
            ),
            (
                json!({ "allow_origins_by_metadata": ["partners"], "allow_origins": "https://a.test" }),
                "https://a.test",
                Some("https://a.test"),
            ),
            (
                json!({ "allow_origins_by_metadata": ["partners"], "allow_origins_by_regex": ["^https://b"] }),
                "https://b.test",
                Some("https://b.test"),
            ),
        ] {
            let mut known = Metadata::default();
            known.set("cors", Some(origins.clone()));
            let bodies = Map::from_iter([("cors".to_owned(), body.clone())]);
            let mut bench = try_harness_knowing(&[&PLUGIN], &bodies, known).unwrap();
            let outcome = bench.send("GET", "/", &[("Origin", origin)], "");
            assert_eq!(outcome.field("Access-Control-Allow-Origin"), admitted, "{body} {origin}");
            assert_eq!(outcome.field("Vary"), Some("Origin"));
        }
    }

    #[test]
    fn refuses_origins_in_the_metadata_that_are_none() {
        let registry = Registry::new(&[&PLUGIN]);
        let check = |origins: &str| {
            registry.check_metadata("cors", &json!({ "allow_origins": { "partners": origins } }))
        };
        for good in ["*", "**", "null", "http://a.test", "https://a.test,http://b.test:12000,http://c.test"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "*a", "*,http://a.test", "nulll", "http//a.test", "a.test", "https://a.test,b.test"] {
            let error = check(bad).err().unwrap_or_else(|| panic!("{bad:?} was taken"));
            assert!(error.message.contains("partners"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn answers_every_options_request_itself() {
        let outcome = asked(&json!({ "allow_headers": "**" }), "OPTIONS", Some("https://a.test"));
        outcome.expect_status(200);
        assert!(outcome.upstream.is_none() && outcome.body.is_empty());
        for (name, value) in [
            ("Access-Control-Allow-Origin", Some("*")),
            ("Access-Control-Allow-Methods", Some("*")),
            ("Access-Control-Max-Age", Some("5")),
            ("Access-Control-Allow-Headers", None),
            ("Access-Control-Expose-Headers", None),
            ("Access-Control-Allow-Credentials", None),
        ] {
            assert_eq!(outcome.field(name), value, "{name}");
        }
    }

    #[test]
    fn says_all_that_was_configured() {
        let body = json!({
            "allow_origins": "**", "allow_methods": "**", "allow_headers": "**", "expose_headers": "X-A,X-B",
            "max_age": -1, "allow_credential": true, "timing_allow_origins": "https://t.test"
        });
        let fields = [("Origin", "https://t.test"), ("Access-Control-Request-Headers", "X-One, X-Two")];
        let outcome = harness(&PLUGIN, body.clone()).send("GET", "/", &fields, "");
        for (name, value) in [
            ("Access-Control-Allow-Methods", "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE"),
            ("Access-Control-Allow-Headers", "X-One, X-Two"),
            ("Access-Control-Expose-Headers", "X-A,X-B"),
            ("Access-Control-Max-Age", "-1"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Timing-Allow-Origin", "https://t.test"),
        ] {
            assert_eq!(outcome.field(name), Some(value), "{name}");
        }
        assert_eq!(asked(&body, "GET", Some("https://u.test")).field("Timing-Allow-Origin"), None);
        let by_regex = json!({ "timing_allow_origins_by_regex": ["t\\.test$"] });
        assert_eq!(
            asked(&by_regex, "GET", Some("https://t.test")).field("Timing-Allow-Origin"),
            Some("https://t.test")
        );
        assert_eq!(asked(&by_regex, "GET", Some("https://t.testing")).field("Timing-Allow-Origin"), None);
    }

    #[test]
    fn a_star_does_not_go_with_credentials() {
        let good = json!({ "allow_origins": "https://a.test", "allow_methods": "GET", "allow_headers": "X-A", "allow_credential": true });
        assert!(try_harness(&PLUGIN, good.clone()).is_ok());
        for member in
            ["allow_origins", "allow_methods", "allow_headers", "expose_headers", "timing_allow_origins"]
        {
            let mut body = good.clone();
            body[member] = json!("*");
            let error = try_harness(&PLUGIN, body).err().unwrap();
            let sentence = "you can not set '*' for other option when 'allow_credential' is true";
            assert!(error.message.ends_with(sentence), "{member}: {error}");
        }
    }

    #[test]
    fn refuses_bodies_that_can_not_work() {
        for (body, sentence) in [
            (json!({ "allow_origins": "a.test" }), ""),
            (json!({ "allow_origins": "" }), ""),
            (json!({ "allow_origins_by_regex": [] }), ""),
            (json!({ "allow_origins_by_regex": ["("] }), "invalid regex \"(\""),
            (json!({ "timing_allow_origins": "a" }), ""),
            (json!({ "max_age": "5" }), ""),
            (json!({ "allow_methods": "GET\r\nX: y" }), "control characters"),
            (json!({ "allow_origins_by_metadata": [] }), ""),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.message.contains(sentence), "{body}: {error}");
        }
    }
}
