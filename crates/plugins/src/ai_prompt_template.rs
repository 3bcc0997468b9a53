//! `ai-prompt-template` fills conversations that are written here with what clients send.
//!
//! A client names a template and gives the values for its `{{names}}`; whatever it sends besides goes nowhere.
//!
//! Example: `{"templates": [{"name": "explain", "template": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Explain {{topic}} to {{whom}}."}]}}]}`

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::Spec;
use usher_script::Template;

use crate::ai::message::Prompt;
use crate::ai::{object, put};
use crate::schema::{MAX_BODY_BYTES, number};

/// `ai-prompt-template`.
pub(crate) static PLUGIN: Spec = Spec::of::<AiPromptTemplate>();

/// Fills conversations with what clients send.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The conversations, at least one.
    #[schemars(length(min = 1))]
    templates: Vec<Named>,
    /// The largest body that is read, in bytes, at least 1.
    #[serde(default = "number::<MAX_BODY_BYTES>")]
    #[schemars(range(min = 1))]
    max_req_body_size: u64,
}

/// A conversation with a name.
#[derive(Deserialize, JsonSchema)]
struct Named {
    /// What clients call it by (`template_name`).
    #[schemars(length(min = 1))]
    name: String,
    /// What the model is asked.
    template: Written,
}

/// What the model is asked. Texts may have `{{names}}` in them.
#[derive(Deserialize, JsonSchema)]
struct Written {
    /// The model.
    #[schemars(length(min = 1))]
    model: Option<String>,
    /// The messages, at least one.
    #[schemars(length(min = 1))]
    messages: Option<Vec<Prompt>>,
    /// Further members, such as `temperature`.
    #[serde(flatten)]
    more: Map<String, Value>,
}

struct AiPromptTemplate {
    templates: Vec<(String, Node)>,
    max_body_bytes: u64,
}

/// A piece of a conversation, with the texts in it read.
enum Node {
    Fixed(Value),
    Text(Template),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Plugin for AiPromptTemplate {
    const NAME: &'static str = "ai-prompt-template";
    const PRIORITY: i32 = 1071;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Later(Self::fill)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let read = |named: Named| {
            let Written { model, messages, more } = named.template;
            let mut members = Map::new();
            members.extend(model.map(|model| ("model".to_owned(), model.into())));
            let messages = messages.map(|all| all.iter().map(Prompt::value).collect());
            members.extend(messages.map(|all| ("messages".to_owned(), all)));
            members.extend(more);
            let node = Node::read(&named.name, Value::Object(members))?;
            Ok((named.name, node))
        };
        Ok(Self {
            templates: config.templates.into_iter().map(read).collect::<Result<_, BuildError>>()?,
            max_body_bytes: config.max_req_body_size,
        })
    }
}

impl Node {
    fn read(name: &str, value: Value) -> Result<Self, BuildError> {
        Ok(match value {
            // A text that only gives a value is put in as it is; escaping is for pages.
            Value::String(text) if text.contains('{') => {
                let raw = text.replace("{{", "{*").replace("}}", "*}");
                Self::Text(Template::compile(name, &raw).map_err(|error| {
                    BuildError::new(format!("property \"templates\" validation failed: {error}"))
                })?)
            }
            Value::Array(all) => {
                Self::List(all.into_iter().map(|one| Self::read(name, one)).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let read = |(key, member)| Ok((key, Self::read(name, member)?));
                Self::Object(members.into_iter().map(read).collect::<Result<_, BuildError>>()?)
            }
            fixed => Self::Fixed(fixed),
        })
    }

    fn fill(&self, given: &Value, exchange: &Exchange) -> Result<Value, String> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => {
                let text = template.render(given, None, exchange).map_err(|error| error.to_string())?;
                String::from_utf8_lossy(&text).into_owned().into()
            }
            Self::List(all) => all.iter().map(|one| one.fill(given, exchange)).collect::<Result<_, _>>()?,
            Self::Object(members) => {
                let fill =
                    |(name, member): &(String, Self)| Ok((name.clone(), member.fill(given, exchange)?));
                Value::Object(members.iter().map(fill).collect::<Result<_, String>>()?)
            }
        })
    }
}

impl AiPromptTemplate {
    fn fill<'a>(&'a self, exchange: &'a mut Exchange) -> LocalBoxFuture<'a, Flow> {
        async move {
            let given = match object(exchange, self.max_body_bytes).await {
                Ok(given) => given,
                Err(reply) => return reply.into(),
            };
            let Some(name) = given.get("template_name").and_then(Value::as_str).map(str::to_owned) else {
                return Reply::message(400, "template name is missing in request.").into();
            };
            let Some((_, template)) = self.templates.iter().find(|(known, _)| *known == name) else {
                return Reply::message(400, &format!("template: {name} not configured.")).into();
            };
            match template.fill(&Value::Object(given), exchange) {
                Ok(Value::Object(body)) => put(exchange, body),
                Ok(_) => return Reply::new(500).into(),
                Err(why) => {
                    let sentence = format!("request template rendering: {why}");
                    tracing::warn!(sentence, "a conversation can't be filled");
                    return Reply::message(503, &sentence).into();
                }
            }
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

    fn config(text: &str) -> Value {
        json!({ "templates": [{ "name": "t", "template": {
            "model": "m", "temperature": 0.5, "messages": [{ "role": "system", "content": "fixed" }, { "role": "user", "content": text }],
        } }] })
    }

    #[test]
    fn values_are_put_in_as_they_are_and_nowhere_else() {
        let sent =
            json!({ "template_name": "t", "what": "\"}], \"model\": \"other", "n": 3, "model": "evil" });
        let outcome = harness(&PLUGIN, config("say {{what}} {{n}} times{{missing}}")).send(
            "POST",
            "/",
            &[],
            sent.to_string(),
        );
        let seen: Value = serde_json::from_slice(&outcome.expect_status(200).seen().body).unwrap();
        let wanted = json!({ "model": "m", "messages": [
            { "role": "system", "content": "fixed" },
            { "role": "user", "content": "say \"}], \"model\": \"other 3 times" },
        ], "temperature": 0.5 });
        assert_eq!(seen, wanted);
    }

    #[test]
    fn what_names_no_template_is_refused() {
        for (sent, said) in [
            ("", "could not get body: "),
            ("x", "could not parse JSON request body: "),
            ("{}", "template name is missing in request."),
            (r#"{"template_name": "x"}"#, "template: x not configured."),
        ] {
            let outcome = harness(&PLUGIN, config("x")).send("POST", "/", &[], sent);
            assert!(outcome.expect_status(400).text().contains(said), "{sent}");
        }
        for (body, sentence) in [
            (json!({ "templates": [] }), "expect array to have at least 1 items"),
            (json!({ "templates": [{ "name": "t" }] }), "property \"template\" is required"),
            (config("{{ 1 + }}"), "property \"templates\" validation failed: t:1: "),
        ] {
            let error = try_harness(&PLUGIN, body).err().unwrap();
            assert!(error.message.contains(sentence), "{error}");
        }
    }
}
