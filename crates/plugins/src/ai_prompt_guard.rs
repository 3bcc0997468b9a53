//! `ai-prompt-guard` lets only conversations pass to a model whose words are allowed.
//!
//! Patterns run in linear time. What can't be looked at, such as a pattern that gives up, is refused.
//!
//! Example: `{"deny_patterns": ["(?i)ignore all (previous|prior) instructions"]}`

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::ai::message::{is_users, text};
use crate::ai::object;
use crate::pattern::{Pattern, check_count};
use crate::schema::MAX_BODY_BYTES;

/// `ai-prompt-guard`.
pub(crate) static PLUGIN: Spec = Spec::of::<AiPromptGuard>();

/// Lets only conversations pass whose words are allowed.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Looks at messages of every role, and not at the user's alone.
    #[serde(default)]
    match_all_roles: bool,
    /// Looks at all messages, and not at the last one alone.
    #[serde(default)]
    match_all_conversation_history: bool,
    /// Patterns (PCRE) of which one has to match.
    #[serde(default)]
    allow_patterns: Vec<String>,
    /// Patterns (PCRE) of which none may match.
    #[serde(default)]
    deny_patterns: Vec<String>,
    /// What becomes of requests without messages, which can't be looked at: `skip` lets them pass, `warn` lets them pass and tells the log, `error`
    /// refuses them.
    #[serde(default)]
    fail_mode: FailMode,
}

/// What becomes of requests that can't be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FailMode {
    /// They pass.
    #[default]
    Skip,
    /// They pass, and the log tells of it.
    Warn,
    /// They are refused.
    Error,
}

struct AiPromptGuard {
    all_roles: bool,
    all_messages: bool,
    allowed: Vec<Pattern>,
    denied: Vec<Pattern>,
    fail_mode: FailMode,
}

impl Plugin for AiPromptGuard {
    const NAME: &'static str = "ai-prompt-guard";
    const PRIORITY: i32 = 1072;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Later(Self::guard)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let compiled = |name: &str, patterns: &[String]| {
            let one = |pattern: &String| {
                Pattern::new(pattern).map_err(|error| {
                    BuildError::new(format!("property \"{name}\" validation failed: {pattern:?}: {error}"))
                })
            };
            check_count(name, patterns.len())?;
            patterns.iter().map(one).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            all_roles: config.match_all_roles,
            all_messages: config.match_all_conversation_history,
            allowed: compiled("allow_patterns", &config.allow_patterns)?,
            denied: compiled("deny_patterns", &config.deny_patterns)?,
            fail_mode: config.fail_mode,
        })
    }
}

impl AiPromptGuard {
    fn guard<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let body = match object(exchange, MAX_BODY_BYTES).await {
                Ok(body) => body,
                Err(reply) => return reply.into(),
            };
            let one;
            let all = match body.get("messages").or_else(|| body.get("input")) {
                Some(Value::Array(all)) => all.as_slice(),
                // The protocol of responses takes a bare text for a message of the user's.
                Some(Value::String(text)) => {
                    one = [serde_json::json!({ "role": "user", "content": text })];
                    &one
                }
                _ => return self.unseen(),
            };
            if all.is_empty() {
                return self.unseen();
            }
            // Where nothing of it is the user's, there is nothing to judge.
            match self.words(all).map_or(Ok(()), |words| self.judge(&words)) {
                Ok(()) => Flow::Continue,
                Err(sentence) => Reply::message(400, sentence).into(),
            }
        }
        .boxed_local()
    }

    fn unseen(&self) -> Flow {
        match self.fail_mode {
            FailMode::Skip => Flow::Continue,
            FailMode::Warn => {
                tracing::warn!("a request without messages was not looked at by ai-prompt-guard");
                Flow::Continue
            }
            FailMode::Error => Reply::message(400, "no messages found in the request").into(),
        }
    }

    /// What is looked at; `None` where there is no such message.
    fn words(&self, all: &[Value]) -> Option<Vec<u8>> {
        let last = all.len().saturating_sub(1);
        let looked_at = all.iter().enumerate().filter(|(at, message)| {
            (self.all_messages || *at == last) && (self.all_roles || is_users(message))
        });
        let texts: Vec<String> = looked_at.map(|(_, message)| text(message)).collect();
        (!texts.is_empty()).then(|| texts.join(" ").into_bytes())
    }

    fn judge(&self, words: &[u8]) -> Result<(), &'static str> {
        const PROHIBITED: &str = "Request contains prohibited content";
        const UNMATCHED: &str = "Request doesn't match allow patterns";
        let matches = |pattern: &Pattern| pattern.groups(words).map(|found| found.is_some());
        if !self.allowed.is_empty() && !self.allowed.iter().any(|pattern| matches(pattern).unwrap_or(false)) {
            return Err(UNMATCHED);
        }
        // A pattern that gives up might have matched.
        if self.denied.iter().any(|pattern| matches(pattern).unwrap_or(true)) {
            return Err(PROHIBITED);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    fn status(config: &Value, body: &Value) -> u16 {
        harness(&PLUGIN, config.clone()).send("POST", "/", &[], body.to_string()).status()
    }

    #[test]
    fn words_are_allowed_or_denied() {
        let say = |role: &str, text: &str| json!({ "role": role, "content": text });
        let deny = json!({ "deny_patterns": ["(?i)secret", "\\d{4}"] });
        let allow = json!({ "allow_patterns": ["^weather"], "deny_patterns": ["bomb"] });
        let with = |base: &Value, more: Value| {
            let mut base = base.clone();
            base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            base
        };
        let all = with(&deny, json!({ "match_all_conversation_history": true }));
        let roles = with(&all, json!({ "match_all_roles": true }));
        for (config, messages, wanted) in [
            (&deny, json!([say("user", "hello")]), 200),
            (&deny, json!([say("user", "the SECRET")]), 400),
            (&deny, json!([{ "role": "user", "content": [{ "type": "text", "text": "my 1234" }] }]), 400),
            (&deny, json!([say("user", "secret"), say("user", "hello")]), 200),
            (&deny, json!([say("system", "secret")]), 200),
            (&all, json!([say("user", "secret"), say("user", "hello")]), 400),
            (&all, json!([say("system", "secret"), say("user", "hello")]), 200),
            (&roles, json!([say("system", "secret"), say("user", "hello")]), 400),
            (&allow, json!([say("user", "weather in Bonn")]), 200),
            (&allow, json!([say("user", "the weather")]), 400),
            (&allow, json!([say("user", "weather bomb")]), 400),
        ] {
            assert_eq!(
                status(config, &json!({ "messages": messages.clone() })),
                wanted,
                "{config} {messages}"
            );
        }
        assert_eq!(status(&deny, &json!({ "input": "a secret" })), 400);
        for (mode, wanted) in [("skip", 200), ("warn", 200), ("error", 400)] {
            assert_eq!(
                status(&json!({ "fail_mode": mode, "deny_patterns": ["x"] }), &json!({ "messages": [] })),
                wanted
            );
        }
    }

    #[test]
    fn refusals_say_why_and_bad_patterns_are_refused() {
        let mut bench = harness(&PLUGIN, json!({ "deny_patterns": ["x"] }));
        let outcome = bench.send("POST", "/", &[], r#"{"messages":[{"role":"user","content":"x"}]}"#);
        assert_eq!(outcome.text(), "{\"message\":\"Request contains prohibited content\"}\n");
        bench.send("POST", "/", &[], "no json").expect_status(400);
        let error = try_harness(&PLUGIN, json!({ "allow_patterns": ["("] })).err().unwrap();
        assert!(error.message.contains("property \"allow_patterns\" validation failed"), "{error}");
    }
}
