//! `ua-restriction` admits or refuses by what a client calls itself in `User-Agent`.
//!
//! Anyone can write anything there: it keeps well-mannered robots out, not attackers.
//!
//! Example: `{"denylist": ["(?i)badbot", "^curl/"]}`

use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::pattern::{Pattern, check_count};
use crate::schema::one_of_required;

/// `ua-restriction`.
pub(crate) static PLUGIN: Spec = Spec::of::<UaRestriction>();

/// Admits or refuses by `User-Agent`; exactly one of the two lists has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_of_required(&[&["allowlist"], &["denylist"]]))]
struct Config {
    /// Lets requests pass that have no `User-Agent`.
    #[serde(default)]
    bypass_missing: bool,
    /// Patterns of which one has to match.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    allowlist: Option<Vec<String>>,
    /// Patterns of which none may match.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    denylist: Option<Vec<String>>,
    /// What a refused client reads, 1 to 1024 characters.
    #[serde(default = "refusal")]
    #[schemars(length(min = 1, max = 1024))]
    message: String,
}

fn refusal() -> String {
    "Not allowed".to_owned()
}

struct UaRestriction {
    patterns: Vec<Pattern>,
    /// Whether those that match are the ones that may come.
    admits_listed: bool,
    bypass_missing: bool,
    refusal: FixedReply,
}

impl Plugin for UaRestriction {
    const NAME: &'static str = "ua-restriction";
    const PRIORITY: i32 = 2999;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::restrict)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let admits_listed = config.allowlist.is_some();
        let member = if admits_listed { "allowlist" } else { "denylist" };
        let list = config.allowlist.or(config.denylist).unwrap_or_default();
        check_count(member, list.len())?;
        let compiled = list.iter().map(|pattern| {
            Pattern::new(pattern).map_err(|reason| {
                BuildError::new(format!(
                    "property \"{member}\" validation failed: {pattern:?} is no pattern: {reason}"
                ))
            })
        });
        Ok(Self {
            patterns: compiled.collect::<Result<_, _>>()?,
            admits_listed,
            bypass_missing: config.bypass_missing,
            refusal: Reply::message(403, &config.message).fixed(),
        })
    }
}

impl UaRestriction {
    fn restrict(&self, exchange: &mut Exchange) -> Flow {
        if self.admits(exchange) { Flow::Continue } else { self.refusal.reply().into() }
    }

    /// A client that gives itself several names has to be admitted by each of them.
    fn admits(&self, exchange: &Exchange) -> bool {
        let head = &exchange.request.head;
        let mut names = head.get_all("user-agent").peekable();
        if names.peek().is_none() {
            return self.bypass_missing;
        }
        let is_listed = |name: &[u8]| self.patterns.iter().any(|pattern| pattern.is_match(name));
        names.all(|name| is_listed(name.trim_ascii()) == self.admits_listed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    #[test]
    fn admits_and_refuses_by_the_names() {
        let list = json!(["my-app/\\d", "(?i)^curl"]);
        for (names, listed) in [
            (vec!["my-app/1.0"], true),
            (vec!["  my-app/1 "], true),
            (vec!["CURL/8"], true),
            (vec!["my-app/x"], false),
            (vec!["Mozilla/5.0"], false),
            (vec![""], false),
        ] {
            let fields: Vec<(&str, &str)> = names.iter().map(|name| ("User-Agent", *name)).collect();
            let status = |member: &str| {
                harness(&PLUGIN, json!({ member: list })).send("GET", "/", &fields, "").status()
            };
            let wanted = if listed { (200, 403) } else { (403, 200) };
            assert_eq!((status("allowlist"), status("denylist")), wanted, "{names:?}");
        }
        let two = [("User-Agent", "curl/8"), ("User-Agent", "other")];
        for member in ["allowlist", "denylist"] {
            harness(&PLUGIN, json!({ member: list })).send("GET", "/", &two, "").expect_status(403);
        }
    }

    #[test]
    fn a_client_without_a_name_passes_only_where_told() {
        let outcome = harness(&PLUGIN, json!({ "denylist": ["x"] })).get("/");
        assert_eq!((outcome.status(), outcome.text()), (403, "{\"message\":\"Not allowed\"}\n"));
        harness(&PLUGIN, json!({ "allowlist": ["x"], "bypass_missing": true })).get("/").expect_status(200);
        let outcome = harness(&PLUGIN, json!({ "denylist": ["x"], "message": "no robots" })).get("/");
        assert_eq!(outcome.text(), "{\"message\":\"no robots\"}\n");
    }

    #[test]
    fn bodies_that_can_not_work_are_refused_by_name() {
        for (body, wanted) in [
            (json!({}), "value should match only one schema"),
            (json!({ "allowlist": ["a"], "denylist": ["b"] }), "value should match only one schema"),
            (json!({ "allowlist": [] }), "property \"allowlist\""),
            (json!({ "denylist": ["("] }), "property \"denylist\" validation failed: \"(\" is no pattern"),
            (json!({ "denylist": ["a"], "message": "" }), "property \"message\""),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().map(|error| error.message).unwrap_or_default();
            assert!(error.contains(wanted), "{body}: {error}");
        }
    }
}
