//! `key-auth` lets in who carries a consumer's key.
//!
//! The header is asked first and the query only where the header is absent, so that one request never carries two answers to the same question.
//! Whether a key is unknown or was never issued looks and lasts the same.
//!
//! Example: `{"header": "X-API-KEY", "hide_credentials": true}`

use schemars::JsonSchema;
use serde::Deserialize;
use usher_http1::head::Head;
use usher_model::secret::Secret;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::{Credential, Spec};

/// `key-auth`.
pub(crate) static PLUGIN: Spec = Spec::of::<KeyAuth>().auth::<KeyAuthCredential>();

/// Lets in who carries a consumer's key.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The header that carries the key.
    #[serde(default = "apikey")]
    header: String,
    /// The query argument that carries the key where the header is absent.
    #[serde(default = "apikey")]
    query: String,
    /// Takes the key out of the request before the upstream sees it.
    #[serde(default)]
    hide_credentials: bool,
    /// The realm that the answer 401 names.
    #[serde(default = "realm")]
    realm: String,
    /// The consumer as which requests go on that carry no valid key. Without it they are answered 401.
    anonymous_consumer: Option<String>,
}

fn apikey() -> String {
    "apikey".to_owned()
}

fn realm() -> String {
    "key".to_owned()
}

/// A consumer's key.
#[derive(Deserialize, JsonSchema)]
struct KeyAuthCredential {
    /// The key itself. No two consumers may have the same; sealed in the store.
    key: Secret<String>,
}

impl Credential for KeyAuthCredential {
    const UNIQUE: &'static str = "key";

    fn unique(&self) -> &str {
        self.key.expose()
    }
}

struct KeyAuth {
    header: String,
    query: String,
    hide_credentials: bool,
    challenge: String,
    anonymous_consumer: Option<String>,
}

impl Plugin for KeyAuth {
    const NAME: &'static str = "key-auth";
    const PRIORITY: i32 = 2500;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::authenticate)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let realm = config.realm.replace('\\', r"\\").replace('"', "\\\"");
        let challenge = format!("apikey realm=\"{realm}\"");
        let mut probe = Head::empty();
        probe.set("WWW-Authenticate", &challenge).map_err(|_| {
            BuildError::new(
                "property \"realm\" validation failed: control characters can't be sent in a header",
            )
        })?;
        probe.set(&config.header, "").map_err(|_| {
            BuildError::new(format!(
                "property \"header\" validation failed: {:?} is not a header name",
                config.header
            ))
        })?;
        Ok(Self {
            header: config.header,
            query: config.query,
            hide_credentials: config.hide_credentials,
            challenge,
            anonymous_consumer: config.anonymous_consumer,
        })
    }
}

impl KeyAuth {
    fn authenticate(&self, exchange: &mut Exchange) -> Flow {
        let request = &exchange.request;
        let from_header = request.head.get(&self.header);
        let from_query = if from_header.is_none() { request.argument(&self.query) } else { None };
        let key = from_header.or(from_query.as_deref().map(str::as_bytes));
        // An empty key is nobody's, whatever the store says.
        let found =
            key.filter(|key| !key.is_empty()).and_then(|key| exchange.find_credential(Self::NAME, key));
        let problem = if key.is_some() { "Invalid API key in request" } else { "Missing API key in request" };
        match found {
            Some(found) => exchange.attach(&found),
            None => {
                let Some(anonymous) = &self.anonymous_consumer else { return self.refuse(problem) };
                if !exchange.attach_anonymous(anonymous) {
                    tracing::error!(consumer = %anonymous, "the anonymous consumer of key-auth does not exist");
                    return self.refuse("Invalid user authorization");
                }
            }
        }
        if self.hide_credentials {
            exchange.request.head.remove(&self.header);
            exchange.request.remove_argument(&self.query);
        }
        Flow::Continue
    }

    fn refuse(&self, message: &str) -> Flow {
        Reply::message(401, message).with("WWW-Authenticate", &self.challenge).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, harness, try_harness};

    use super::PLUGIN;

    fn with_jack(body: Value) -> Harness {
        let labels: Map<String, Value> = [("custom_id".to_owned(), json!("c-7"))].into_iter().collect();
        harness(&PLUGIN, body).consumer("jack", "key-auth", &json!({ "key": "jacks-key" }), labels).consumer(
            "guest",
            "key-auth",
            &json!({ "key": "guests-key" }),
            Map::new(),
        )
    }

    #[test]
    fn names_the_consumer_to_the_upstream() {
        let outcome = with_jack(json!({})).send("GET", "/", &[("apikey", "jacks-key")], "");
        outcome.expect_status(200);
        assert_eq!(outcome.seen().head.get_str("X-Consumer-Username"), Some("jack"));
        assert_eq!(outcome.seen().head.get_str("X-Consumer-Custom-ID"), Some("c-7"));
        assert_eq!(outcome.seen().head.get_str("apikey"), Some("jacks-key"));
    }

    #[test]
    fn asks_the_query_only_where_the_header_is_absent() {
        let body = json!({ "header": "X-Key", "query": "k" });
        for (fields, target, expected) in [
            (vec![], "/?k=jacks-key", 200),
            (vec![], "/?k=jacks%2Dkey", 200),
            (vec![("x-key", "jacks-key")], "/", 200),
            (vec![("x-key", "wrong")], "/?k=jacks-key", 401),
            (vec![("x-key", "")], "/?k=jacks-key", 401),
            (vec![("apikey", "jacks-key")], "/?apikey=jacks-key", 401),
        ] {
            let status = with_jack(body.clone()).send("GET", target, &fields, "").status();
            assert_eq!(status, expected, "{fields:?} {target}");
        }
    }

    #[test]
    fn says_what_is_missing_and_challenges() {
        for (target, message) in [
            ("/", "Missing API key in request"),
            ("/?apikey=nope", "Invalid API key in request"),
            ("/?apikey=", "Invalid API key in request"),
        ] {
            let outcome = with_jack(json!({})).get(target);
            outcome.expect_status(401);
            assert_eq!(outcome.text(), format!("{{\"message\":\"{message}\"}}\n"));
            assert_eq!(outcome.field("WWW-Authenticate"), Some("apikey realm=\"key\""));
        }
        let outcome = with_jack(json!({ "realm": "my \"api\"" })).get("/");
        assert_eq!(outcome.field("WWW-Authenticate"), Some(r#"apikey realm="my \"api\"""#));
    }

    #[test]
    fn hides_the_key_from_the_upstream() {
        let body = json!({ "hide_credentials": true });
        let outcome =
            with_jack(body.clone()).send("GET", "/x?apikey=other&a=1", &[("apikey", "jacks-key")], "");
        assert!(!outcome.seen().head.contains("apikey"));
        assert_eq!(outcome.seen().target, "/x?a=1");
        let outcome = with_jack(body).get("/x?apikey=jacks-key");
        assert_eq!(outcome.seen().target, "/x");
    }

    #[test]
    fn lets_strangers_in_as_the_anonymous_consumer() {
        let body = json!({ "anonymous_consumer": "guest", "hide_credentials": true });
        let outcome = with_jack(body).send("GET", "/", &[("apikey", "wrong")], "");
        assert_eq!(outcome.seen().head.get_str("X-Consumer-Username"), Some("guest"));
        assert!(!outcome.seen().head.contains("apikey"));
        let outcome = with_jack(json!({ "anonymous_consumer": "nobody" })).get("/");
        outcome.expect_status(401);
        assert_eq!(outcome.text(), "{\"message\":\"Invalid user authorization\"}\n");
    }

    #[test]
    fn refuses_a_header_name_or_realm_that_would_tear_a_line() {
        for body in [json!({ "header": "a b" }), json!({ "header": "" }), json!({ "realm": "a\r\nb" })] {
            assert!(try_harness(&PLUGIN, body.clone()).is_err(), "{body}");
        }
    }
}
