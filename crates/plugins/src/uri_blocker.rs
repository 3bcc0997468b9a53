//! `uri-blocker` refuses requests whose path or query looks like an attack.
//!
//! Patterns see the one canonical path, which is the path that is forwarded, and the query; both as they are and decoded, so that no spelling of
//! a blocked word passes.
//!
//! Example: `{"block_rules": ["root\\.exe", "^/admin/"], "rejected_msg": "not here"}`

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::form::decode_bytes;
use crate::pattern::{Pattern, check_count};
use crate::schema::status;

/// `uri-blocker`.
pub(crate) static PLUGIN: Spec = Spec::of::<UriBlocker>();

/// Refuses requests whose path or query matches a pattern.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Patterns of which none may match, each 1 to 4096 characters.
    #[schemars(inner(length(min = 1, max = 4096)), extend("uniqueItems" = true))]
    block_rules: Vec<String>,
    /// The status of a refusal, 200 to 599.
    #[serde(default = "status::<403>")]
    #[schemars(range(min = 200, max = 599))]
    rejected_code: u16,
    /// What a refused client reads, at least 1 character; by default the page of the status.
    #[schemars(length(min = 1))]
    rejected_msg: Option<String>,
    /// Takes capital and small letters for the same.
    #[serde(default)]
    case_insensitive: bool,
}

struct UriBlocker {
    patterns: Vec<Pattern>,
    refusal: FixedReply,
}

impl Plugin for UriBlocker {
    const NAME: &'static str = "uri-blocker";
    const PRIORITY: i32 = 2900;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::block)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        check_count("block_rules", config.block_rules.len())?;
        let options = if config.case_insensitive { "i" } else { "" };
        let compiled = config.block_rules.iter().map(|pattern| {
            Pattern::with_options(pattern, options).map_err(|reason| {
                BuildError::new(format!(
                    "property \"block_rules\" validation failed: {pattern:?} is no pattern: {reason}"
                ))
            })
        });
        let refusal = match &config.rejected_msg {
            Some(message) => Reply::error_msg(config.rejected_code, message),
            None => Reply::new(config.rejected_code),
        };
        Ok(Self { patterns: compiled.collect::<Result<_, _>>()?, refusal: refusal.fixed() })
    }
}

impl UriBlocker {
    fn block(&self, exchange: &mut Exchange) -> Flow {
        let request = &exchange.request;
        let uri: Cow<'_, str> = match request.query() {
            Some(query) => format!("{}?{query}", request.path()).into(),
            None => request.path().into(),
        };
        let is_escaped = uri.contains(['%', '+']);
        if self.blocks(uri.as_bytes()) || (is_escaped && self.blocks(&decode_bytes(&uri))) {
            return self.refusal.reply().into();
        }
        Flow::Continue
    }

    fn blocks(&self, uri: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_match(uri))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    /// CVE-2021-43557: another spelling of a blocked path passed.
    #[test]
    fn no_spelling_of_a_blocked_word_passes() {
        let body = json!({ "block_rules": ["root\\.exe", "^/internal/", "select .* from"] });
        for (target, wanted) in [
            ("/x", 200),
            ("/root.exe", 403),
            ("/?a=root.exe", 403),
            ("/?a=%72oot%2eexe", 403),
            ("/internal/x", 403),
            ("/a/internal/x", 200),
            ("/ROOT.EXE", 200),
            ("/?q=select+a%20from", 403),
            ("/?q=100%", 200),
        ] {
            assert_eq!(harness(&PLUGIN, body.clone()).get(target).status(), wanted, "{target}");
        }
        let body = json!({ "block_rules": ["root\\.exe"], "case_insensitive": true });
        harness(&PLUGIN, body).get("/ROOT.exe").expect_status(403);
    }

    #[test]
    fn the_refused_read_the_message_or_the_page() {
        let body = json!({ "block_rules": ["x"], "rejected_code": 404, "rejected_msg": "gone" });
        let outcome = harness(&PLUGIN, body).get("/x");
        assert_eq!((outcome.status(), outcome.text()), (404, "{\"error_msg\":\"gone\"}\n"));
        let outcome = harness(&PLUGIN, json!({ "block_rules": ["x"] })).get("/x");
        assert_eq!(
            (outcome.status(), outcome.text()),
            (403, ""),
            "the page of the status is the gateway's to make"
        );
    }

    #[test]
    fn bodies_that_can_not_work_are_refused_by_name() {
        for (body, wanted) in [
            (json!({}), "property \"block_rules\" is required"),
            (json!({ "block_rules": [""] }), "property \"block_rules\""),
            (json!({ "block_rules": ["a", "a"] }), "property \"block_rules\""),
            (
                json!({ "block_rules": [".+("] }),
                "property \"block_rules\" validation failed: \".+(\" is no pattern",
            ),
            (json!({ "block_rules": ["a"], "rejected_msg": "" }), "property \"rejected_msg\""),
        ] {
            let error =
                try_harness(&PLUGIN, body.clone()).err().map(|error| error.message).unwrap_or_default();
            assert!(error.contains(wanted), "{body}: {error}");
        }
    }
}
