//! `authz-casbin` lets a Casbin policy decide who may do what on which path.
//!
//! The policy is compiled once, its patterns and roles too. Who calls stands in a header: one that the gateway sets, such as `X-Consumer-Username`,
//! is nobody's to forge; any other says what the client wants it to say.
//!
//! Example: `{"username": "X-Consumer-Username", "model": "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act", "policy": "p, jack, /orders/*, GET"}`

mod enforcer;
mod matcher;
mod model;
mod parse;
mod roles;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::json;
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::stranger::header_name;
use enforcer::Enforcer;

/// `authz-casbin`.
pub(crate) static PLUGIN: Spec = Spec::of::<AuthzCasbin>().metadata::<Metadata>();

/// Lets a Casbin policy decide. Model and policy stand here, or in the plugin's metadata for all its uses.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = rules)]
struct Config {
    /// Not supported: files of the gateway's machine are not read. Give `model` instead.
    model_path: Option<String>,
    /// Not supported: files of the gateway's machine are not read. Give `policy` instead.
    policy_path: Option<String>,
    /// The model, in Casbin's form: request, policy, roles, effect and matcher.
    model: Option<String>,
    /// The policy, a line each: `p, jack, /orders/*, GET` and `g, jack, admin`.
    policy: Option<String>,
    /// The header that says who calls; `anonymous` where it is absent.
    username: String,
}

fn rules(schema: &mut Schema) {
    schema.insert("dependencies".to_owned(), json!({ "model": ["policy"], "policy": ["model"] }));
}

/// The model and the policy of all uses that have none of their own.
#[derive(Deserialize, JsonSchema)]
struct Metadata {
    /// The model, in Casbin's form.
    model: String,
    /// The policy, a line each.
    policy: String,
}

struct AuthzCasbin {
    /// `None` while there is no policy: nobody may do anything.
    enforcer: Option<Enforcer>,
    username: String,
    refusal: FixedReply,
}

impl Plugin for AuthzCasbin {
    const NAME: &'static str = "authz-casbin";
    const PRIORITY: i32 = 2560;
    const PHASES: Phases<Self> = Phases { rewrite: Some(Hook::Now(Self::enforce)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        header_name("username", &config.username)?;
        for (member, given, instead) in
            [("model_path", &config.model_path, "model"), ("policy_path", &config.policy_path, "policy")]
        {
            if given.is_some() {
                return Err(BuildError::new(format!(
                    "property \"{member}\" validation failed: files of the gateway's machine are not read; write the text itself into \"{instead}\""
                )));
            }
        }
        let texts = match config.model.zip(config.policy) {
            Some(texts) => Some(texts),
            None => env.metadata::<Metadata>()?.map(|metadata| (metadata.model, metadata.policy)),
        };
        let enforcer = texts.map(|(model, policy)| Enforcer::new(&model, &policy)).transpose();
        Ok(Self {
            enforcer: enforcer.map_err(BuildError::new)?,
            username: config.username,
            refusal: Reply::message(403, "Access Denied").fixed(),
        })
    }
}

impl AuthzCasbin {
    fn enforce(&self, exchange: &mut Exchange) -> Flow {
        let request = &exchange.request;
        let mut named = request.head.get_all(&self.username);
        let who = match (named.next(), named.next()) {
            (None, _) => Some("anonymous"),
            (Some(name), None) => std::str::from_utf8(name).ok(),
            // Of two nobody knows which one is meant.
            _ => None,
        };
        let admits = |enforcer: &Enforcer| {
            who.is_some_and(|who| enforcer.admits(&[who, request.path(), request.method()]))
        };
        if self.enforcer.as_ref().is_some_and(admits) { Flow::Continue } else { self.refusal.reply().into() }
    }
}

#[cfg(test)]
mod tests;
