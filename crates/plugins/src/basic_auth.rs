//! `basic-auth` lets in who names a consumer's user and password in `Authorization: Basic`.
//!
//! An unknown user and a wrong password get the same answer after the same work. The password is everything behind the first colon, as RFC 7617
//! says: none that begins like the right one is taken for it.
//!
//! Example: `{"hide_credentials": true, "realm": "shop"}`

use schemars::JsonSchema;
use serde::Deserialize;
use usher_model::secret::Secret;
use usher_pipeline::consumer::Found;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::spec::{Credential, Spec};

use crate::alike::alike;
use crate::basic_credentials::{Login, login, without_space};
use crate::stranger::Stranger;

/// `basic-auth`.
pub(crate) static PLUGIN: Spec = Spec::of::<BasicAuth>().auth::<BasicAuthCredential>();

/// Lets in who names a consumer's user and password.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Takes `Authorization` out of the request before the upstream sees it.
    #[serde(default)]
    hide_credentials: bool,
    /// The realm that the answer 401 names.
    #[serde(default = "realm")]
    realm: String,
    /// The consumer as which requests go on that carry no valid login. Without it they are answered 401.
    anonymous_consumer: Option<String>,
}

fn realm() -> String {
    "basic".to_owned()
}

/// A consumer's user and password.
#[derive(Deserialize, JsonSchema)]
struct BasicAuthCredential {
    /// The user. No two consumers may have the same.
    username: String,
    /// The password; sealed in the store. An empty one lets nobody in.
    password: Secret<String>,
}

impl Credential for BasicAuthCredential {
    const UNIQUE: &'static str = "username";

    fn unique(&self) -> &str {
        &self.username
    }
}

struct BasicAuth {
    hide_credentials: bool,
    stranger: Stranger,
}

impl Plugin for BasicAuth {
    const NAME: &'static str = "basic-auth";
    const PRIORITY: i32 = 2520;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::authenticate)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            hide_credentials: config.hide_credentials,
            stranger: Stranger::new(Self::NAME, "Basic", &config.realm, config.anonymous_consumer)?,
        })
    }
}

impl BasicAuth {
    fn authenticate(&self, exchange: &mut Exchange) -> Flow {
        let outcome = login(&exchange.request.head)
            .map_err(crate::basic_credentials::NoLogin::message)
            .and_then(|login| found(exchange, &login).ok_or("Invalid user authorization"));
        let problem = match outcome {
            Ok(found) => {
                exchange.attach(&found);
                None
            }
            Err(problem) => Some(problem),
        };
        if let Some(problem) = problem
            && let Err(refusal) = self.stranger.meet(exchange, problem)
        {
            return refusal;
        }
        if self.hide_credentials {
            exchange.request.head.remove("Authorization");
        }
        Flow::Continue
    }
}

/// The consumer whose user and password these are. Both are taken as they are or, as APISIX does it, without white space.
fn found(exchange: &Exchange, login: &Login) -> Option<Found> {
    let credential = |user: &[u8]| exchange.find_credential(BasicAuth::NAME, user);
    // Both are always looked for, the very name last: what is found says nothing by the time it takes.
    let near = credential(&without_space(&login.user));
    let found = credential(&login.user).or(near);
    let held = found.as_ref().and_then(|found| found.config.downcast_ref::<BasicAuthCredential>());
    // An unknown user costs the same comparisons.
    let wanted = held.map_or("\0", |held| held.password.expose()).as_bytes();
    let fits = alike(&login.password, wanted) | alike(&without_space(&login.password), wanted);
    let is_in = held.is_some() && fits && !wanted.is_empty();
    found.filter(|_| is_in)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, Outcome, harness, try_harness};

    use super::PLUGIN;

    fn bench(body: Value) -> Harness {
        [("jack", "jack-user", "pass:word"), ("guest", "guest", "g"), ("empty", "nopass", "")]
            .into_iter()
            .fold(harness(&PLUGIN, body), |bench, (name, user, password)| {
                let credential = json!({ "username": user, "password": password });
                bench.consumer(name, "basic-auth", &credential, Map::new())
            })
    }

    fn ask(bench: &mut Harness, login: &str) -> Outcome {
        let field = format!("Basic {}", STANDARD.encode(login));
        bench.send("GET", "/", &[("Authorization", &field)], "")
    }

    #[test]
    fn lets_in_who_knows_user_and_password() {
        let mut bench = bench(json!({}));
        for (login, status) in [
            ("jack-user:pass:word", 200),
            ("jack-user:pass:word\n", 200),
            ("jack-user :pass:word", 200),
            ("jack-user:pass", 401),
            ("jack-user:pass:word2", 401),
            ("jack-user:", 401),
            ("nopass:", 401),
            ("nopass: ", 401),
            (":", 401),
            ("nobody:pass:word", 401),
            ("jack-user", 401),
        ] {
            let outcome = ask(&mut bench, login);
            assert_eq!(outcome.status(), status, "{login:?}");
            if status == 200 {
                assert_eq!(outcome.seen().head.get_str("X-Consumer-Username"), Some("jack"));
                assert!(outcome.seen().head.contains("authorization"));
            }
        }
    }

    #[test]
    fn an_unknown_user_reads_what_a_wrong_password_reads() {
        let mut bench = bench(json!({ "realm": "a \"shop\"" }));
        for login in ["nobody:x", "jack-user:x", "nopass:"] {
            let outcome = ask(&mut bench, login);
            assert_eq!(outcome.text(), "{\"message\":\"Invalid user authorization\"}\n");
            assert_eq!(outcome.field("WWW-Authenticate"), Some(r#"Basic realm="a \"shop\"""#));
        }
        assert_eq!(bench.get("/").text(), "{\"message\":\"Missing authorization in request\"}\n");
        let outcome = bench.send("GET", "/", &[("Authorization", "Basic %")], "");
        assert_eq!(outcome.text(), "{\"message\":\"Invalid authorization in request\"}\n");
    }

    #[test]
    fn hides_the_login_and_knows_the_anonymous_consumer() {
        let mut bench = bench(json!({ "hide_credentials": true, "anonymous_consumer": "guest" }));
        let outcome = ask(&mut bench, "jack-user:pass:word");
        assert!(!outcome.seen().head.contains("authorization"));
        let outcome = ask(&mut bench, "jack-user:wrong");
        assert_eq!(outcome.seen().head.get_str("X-Consumer-Username"), Some("guest"));
        assert!(!outcome.seen().head.contains("authorization"));
        assert!(try_harness(&PLUGIN, json!({ "realm": "a\nb" })).is_err());
    }
}
