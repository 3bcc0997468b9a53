//! `ai-prompt-decorator` puts messages in front of and behind those that clients send to a model.
//!
//! Example: `{"prepend": [{"role": "system", "content": "Answer in one sentence."}]}`

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;

use crate::ai::message::{Prompt, messages};
use crate::ai::{object, put};
use crate::schema::{MAX_BODY_BYTES, any_of_required};

/// `ai-prompt-decorator`.
pub(crate) static PLUGIN: Spec = Spec::of::<AiPromptDecorator>();

/// Puts messages around those that clients send; at least one of the two has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = any_of_required(&[&["prepend"], &["append"], &["append", "prepend"]]))]
struct Config {
    /// Messages in front.
    prepend: Option<Vec<Prompt>>,
    /// Messages behind.
    append: Option<Vec<Prompt>>,
}

struct AiPromptDecorator {
    before: Vec<Value>,
    behind: Vec<Value>,
}

impl Plugin for AiPromptDecorator {
    const NAME: &'static str = "ai-prompt-decorator";
    const PRIORITY: i32 = 1070;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Later(Self::decorate)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let values = |prompts: Option<Vec<Prompt>>| prompts.iter().flatten().map(Prompt::value).collect();
        Ok(Self { before: values(config.prepend), behind: values(config.append) })
    }
}

impl AiPromptDecorator {
    fn decorate<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let mut body = match object(exchange, MAX_BODY_BYTES).await {
                Ok(body) => body,
                Err(reply) => return reply.into(),
            };
            let Some(all) = messages(&mut body) else {
                return Reply::message(400, "could not parse JSON request body: messages is no list").into();
            };
            all.splice(0..0, self.before.iter().cloned());
            all.extend(self.behind.iter().cloned());
            put(exchange, body);
            Flow::Continue
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_pipeline::harness::{harness, try_harness};

    use super::PLUGIN;

    #[test]
    fn messages_stand_around_the_clients() {
        let body = json!({
            "prepend": [{ "role": "system", "content": "a" }, { "role": "user", "content": "b" }],
            "append": [{ "role": "assistant", "content": "c" }],
        });
        let own = json!({ "role": "user", "content": "own" });
        for (sent, member) in [
            (json!({ "messages": [own.clone()], "model": "m" }), "messages"),
            (json!({ "input": "own", "model": "m" }), "input"),
        ] {
            let outcome = harness(&PLUGIN, body.clone()).send("POST", "/", &[], sent.to_string());
            let seen: Value = serde_json::from_slice(&outcome.expect_status(200).seen().body).unwrap();
            let wanted = json!([
                { "role": "system", "content": "a" }, { "role": "user", "content": "b" }, own,
                { "role": "assistant", "content": "c" },
            ]);
            assert_eq!((&seen[member], &seen["model"]), (&wanted, &json!("m")));
        }
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        let body = json!({ "append": [{ "role": "user", "content": "x" }] });
        for sent in ["", "x", "[]", "{\"messages\": 1}"] {
            let outcome = harness(&PLUGIN, body.clone()).send("POST", "/", &[], sent);
            assert!(outcome.expect_status(400).upstream.is_none(), "{sent}");
        }
        for (body, sentence) in [
            (json!({}), "object matches none of the required"),
            (json!({ "append": [{ "role": "robot", "content": "x" }] }), "matches none of the enum values"),
            (json!({ "append": [{ "role": "user", "content": "" }] }), "string too short"),
        ] {
            let error = try_harness(&PLUGIN, body).err().unwrap();
            assert!(error.message.contains(sentence), "{error}");
        }
    }
}
