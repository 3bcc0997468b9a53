//! One model at one provider: where it is, how it is authorized, and what is changed in requests to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use usher_http1::head::{BadField, Head};
use usher_model::secret::Secret;
use usher_pipeline::body::Body;
use usher_pipeline::env::{Env, Target};
use usher_pipeline::exchange::{Choice, Exchange};
use usher_pipeline::plugin::BuildError;
use usher_pipeline::reply::Reply;

use super::amazon::Signer;
use super::config::{Asking, Auth, Options, Override, Place};
use super::facts::Models;
use super::google::Account;
use super::protocol::{Protocol, streams};
use super::provider::Provider;
use super::translate::{Translation, embeddings, question};
use super::{amazon, asked, put};
use crate::addresses::authority;
use crate::callee::check_confidential;
use crate::form;

/// What a client sends that is for the gateway alone, or that the gateway knows of it: none of a provider's business.
const KEPT_HERE: [&str; 16] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "apikey",
    "api-key",
    "x-api-key",
    // A signature of the client's own, which is over.
    "x-amz-date",
    "x-amz-security-token",
    "x-consumer-username",
    "x-consumer-custom-id",
    "x-credential-identifier",
    "x-forwarded-for",
    "x-real-ip",
    "forwarded",
    // The answer is read for what it cost.
    "accept-encoding",
    "expect",
];

/// One model at one provider.
pub(crate) struct Instance {
    pub(crate) name: Arc<str>,
    pub(super) models: Arc<Models>,
    provider: Provider,
    place: Place,
    target: Arc<dyn Target>,
    /// The path where it is asked, where that isn't the provider's usual one.
    path: Option<String>,
    /// The arguments of the endpoint.
    query: String,
    header: Secret<Head>,
    arguments: Secret<BTreeMap<String, String>>,
    credential: Credential,
    model: Option<String>,
    options: Map<String, Value>,
    max_tokens: Option<u64>,
    members: BTreeMap<String, Map<String, Value>>,
    forces: bool,
}

/// What proves who asks, besides fields and arguments that never change.
enum Credential {
    /// Nothing more.
    None,
    /// The token of an account of Google's; `None` for one that isn't known.
    Google(Option<Account>),
    /// A signature by a key of Amazon's.
    Amazon(Signer),
}

/// What a user wrote of an instance.
pub(crate) struct Described<'a> {
    pub(crate) name: &'a str,
    /// Where it stands in its resource, such as `plugins['ai-proxy-multi'].instances[0]`: checks of health are listed under it, as in APISIX.
    pub(crate) at: &'a str,
    pub(crate) provider: Provider,
    pub(crate) place: &'a Place,
    pub(crate) auth: &'a Auth,
    pub(crate) options: &'a Options,
    pub(crate) over: &'a Override,
    /// How it is probed.
    pub(crate) probes: Option<&'a Map<String, Value>>,
}

impl Instance {
    /// # Errors
    /// What of it can't be used.
    pub(crate) fn build(
        described: Described<'_>,
        asking: &Asking,
        env: &Env<'_>,
    ) -> Result<Self, BuildError> {
        let Described { name, at, provider, place, auth, options, over, probes } = described;
        let endpoint = match &over.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => provider.home(place)?.into_owned(),
        };
        check_confidential("override.endpoint", &endpoint, false, env).map_err(|error| {
            // The way out that the shared sentence names isn't there.
            BuildError::new(error.message.replace(", or set \"allow_plain_http\" to true", ""))
        })?;
        let (host, port) = authority(&endpoint).map_err(BuildError::new)?;
        let is_https = endpoint.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let rest = endpoint.split_once("://").map_or("", |(_, rest)| rest);
        let target = rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        provider.check(place, !matches!(path, "" | "/"))?;
        let credential = credential(&described, &host, port, is_https, query, env)?;
        let mut header = Head::empty();
        for (field, value) in auth.header.expose() {
            header.set(field, value).map_err(|_| {
                BuildError::new(format!(
                    "property \"auth\" validation failed: the field {field:?} can't be sent"
                ))
            })?;
        }
        for name in over.request_body.keys() {
            if !Protocol::ALL.iter().any(|known| known.name() == name) {
                return Err(BuildError::new(format!(
                    "property \"override\" validation failed: request_body.{name} is no protocol; allowed are openai-chat, openai-responses, openai-embeddings, anthropic-messages and bedrock-converse"
                )));
            }
        }
        let mut upstream = upstream(&host, port, is_https, asking);
        if let (Some(probes), Some(upstream)) = (probes, upstream.as_object_mut()) {
            let active = authorized(probes, auth, is_https);
            upstream.insert("checks".to_owned(), json!({ "active": active }));
        }
        let models = Models::of(env.process());
        if let Some(model) = &options.model {
            models.know(model);
        }
        Ok(Self {
            name: name.into(),
            models,
            provider,
            place: place.clone(),
            target: env.target(&format!("{}#{at}", env.resource()), &upstream)?,
            path: (!matches!(path, "" | "/")).then(|| path.to_owned()),
            query: query.to_owned(),
            header: Secret::new(header),
            arguments: auth.query.clone(),
            credential,
            model: options.model.clone(),
            options: options.more.clone(),
            max_tokens: over.llm_options.max_tokens,
            members: over.request_body.clone(),
            forces: over.request_body_force_override,
        })
    }

    /// Makes of a client's request one to this model.
    ///
    /// # Errors
    /// The answer to what can't be asked so, or by whom nobody is let in.
    pub(crate) async fn ask(
        &self,
        exchange: &mut Exchange,
        mut body: Map<String, Value>,
        protocol: Protocol,
    ) -> Result<(), Box<Reply>> {
        let bad = |sentence: String| Box::new(Reply::message(400, &sentence));
        let (protocol, translation) = self.provider.spoken(protocol).map_err(bad)?;
        if translation == Translation::Messages {
            body = question::question(&body, self.provider.has_newer_bound()).map_err(bad)?;
        }
        let asked_for = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.change(&mut body, protocol);
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_stream = streams(&body);
        let mut path = match &self.path {
            Some(path) => path.clone(),
            None => self.provider.path(protocol, &self.place, &model).map_err(bad)?.into_owned(),
        };
        if protocol == Protocol::Converse {
            // It streams at another path, and not by what the body says.
            body.remove("stream");
            if is_stream && path.ends_with("/converse") {
                path.push_str("-stream");
            }
        }
        if translation == Translation::Embeddings {
            body = embeddings::question(&body).map_err(bad)?;
        }
        if self.provider.has_model_in_path() {
            body.remove("model");
        }
        let request_type = if is_stream { "ai_stream" } else { "ai_chat" };
        let known = asked(exchange);
        known.request_type = request_type;
        known.request_model = asked_for.as_str().into();
        known.model = model.as_str().into();
        known.translation = translation;
        exchange.set_variable("request_type", request_type);
        exchange.set_variable("llm_stream", if is_stream { "true" } else { "false" });
        exchange.set_variable("request_llm_model", asked_for);
        exchange.set_variable("llm_model", model);
        put(exchange, body);
        self.address(exchange, &path).map_err(|error| bad(error.to_string()))?;
        self.authorize(exchange).await.map_err(|reason| {
            tracing::error!(instance = &*self.name, reason, "an instance can't be asked");
            Box::new(Reply::message(500, "the gateway could not authorize itself at the provider"))
        })?;
        exchange.choice = Some(Choice::Target(Arc::clone(&self.target)));
        Ok(())
    }

    /// Whether it can be asked by this protocol.
    pub(crate) fn speaks(&self, protocol: Protocol) -> bool {
        self.provider.spoken(protocol).is_ok()
    }

    /// # Errors
    /// Why it can't, without anything secret.
    async fn authorize(&self, exchange: &mut Exchange) -> Result<(), String> {
        match &self.credential {
            Credential::None => Ok(()),
            Credential::Google(None) => Err("auth.gcp names an account that isn't known".to_owned()),
            Credential::Google(Some(account)) => {
                let token = account.token(exchange).await?;
                let value = format!("Bearer {}", token.expose());
                exchange.request.head.set("Authorization", &value).map_err(|error| error.to_string())
            }
            Credential::Amazon(signer) => {
                let now = exchange.worker().unix_ms();
                let path = exchange.request.path().to_owned();
                let Body::Full(body) = &exchange.request.body else {
                    return Err("the request has no body that could be signed".to_owned());
                };
                let body = body.clone();
                let signed = signer.sign(&mut exchange.request.head, &path, &body, now);
                signed.map_err(|error| error.to_string())
            }
        }
    }

    /// Whether probes find it well.
    pub(crate) fn is_well(&self) -> bool {
        self.target.is_well()
    }

    /// Takes out of a request what authorized it here: it goes to somebody else.
    pub(crate) fn withdraw(&self, exchange: &mut Exchange) {
        for (name, _) in self.header.expose().iter() {
            exchange.request.head.remove(name);
        }
        for name in amazon::FIELDS {
            exchange.request.head.remove(name);
        }
    }

    fn address(&self, exchange: &mut Exchange, path: &str) -> Result<(), BadField> {
        let request = &mut exchange.request;
        request.set_path(path);
        let own = self.arguments.expose().iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query = [self.query.clone(), form::encode(own)];
        let query: Vec<&str> = query.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        request.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
        let head = &mut request.head;
        head.set_method("POST")?;
        for gone in KEPT_HERE {
            head.remove(gone);
        }
        head.set("Content-Type", "application/json")?;
        for (name, value) in self.header.expose().iter() {
            head.set(name, value)?;
        }
        Ok(())
    }

    /// What is set in every request to this model.
    fn change(&self, body: &mut Map<String, Value>, protocol: Protocol) {
        if let Some(model) = &self.model {
            body.insert("model".to_owned(), model.as_str().into());
        }
        for (name, value) in &self.options {
            body.insert(name.clone(), value.clone());
        }
        let bound = protocol.bound(self.provider.has_newer_bound());
        if let (Some(most), Some((name, others))) = (self.max_tokens, bound)
            && (self.forces || !others.iter().any(|other| body.contains_key(*other)))
        {
            others.iter().for_each(|other| drop(body.remove(*other)));
            body.insert(name.to_owned(), most.into());
        }
        if let (Protocol::Converse, Some(most)) = (protocol, self.max_tokens) {
            let bound = Map::from_iter([("maxTokens".to_owned(), most.into())]);
            merge(body, &Map::from_iter([("inferenceConfig".to_owned(), bound.into())]), self.forces);
        }
        if let Some(members) = self.members.get(protocol.name()) {
            merge(body, members, self.forces);
        }
        // Without it, a stream ends without a word of what it cost.
        if protocol == Protocol::Chat && streams(body) {
            let options = body.entry("stream_options".to_owned()).or_insert_with(|| json!({}));
            if let Some(options) = options.as_object_mut() {
                options.insert("include_usage".to_owned(), true.into());
            }
        }
    }
}

/// What proves who asks.
///
/// # Errors
/// What of it can't be used.
fn credential(
    described: &Described<'_>,
    host: &str,
    port: u16,
    is_https: bool,
    query: &str,
    env: &Env<'_>,
) -> Result<Credential, BuildError> {
    let Described { provider, place, auth, .. } = described;
    let only = |member: &str, of: Provider| {
        Err(BuildError::new(format!(
            "property \"auth\" validation failed: {member} is for the provider {}, and this one is {}; write a key into auth.header",
            of.name(),
            provider.name()
        )))
    };
    match (&auth.gcp, &auth.aws) {
        (Some(_), _) if *provider != Provider::VertexAi => only("gcp", Provider::VertexAi),
        (_, Some(_)) if *provider != Provider::Bedrock => only("aws", Provider::Bedrock),
        (_, Some(keys)) => {
            if !query.is_empty() || !auth.query.expose().is_empty() {
                return Err(BuildError::new(
                    "property \"auth\" validation failed: requests with arguments can't be signed; leave auth.query and the arguments of override.endpoint out",
                ));
            }
            let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            let usual = if is_https { 443 } else { 80 };
            let host = if port == usual { bracketed } else { format!("{bracketed}:{port}") };
            Ok(Credential::Amazon(Signer::new(keys, place.region.as_deref().unwrap_or_default(), host)))
        }
        (Some(written), None) => Ok(Credential::Google(Account::build(written, env)?)),
        (None, None) => Ok(Credential::None),
    }
}

/// Puts members into an object, and into the objects in it.
fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>, forces: bool) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from, forces),
            (Some(old), new) if forces => *old = new.clone(),
            (Some(_), _) => {}
            (None, new) => drop(into.insert(name.clone(), new.clone())),
        }
    }
}

/// Probes that show what requests show. A plain probe of an endpoint of https shows nothing: whoever is on the way would see it.
fn authorized(probes: &Map<String, Value>, auth: &Auth, is_https: bool) -> Map<String, Value> {
    let mut probes = probes.clone();
    if is_https && probes.get("type").and_then(Value::as_str) != Some("https") {
        return probes;
    }
    let lines = auth.header.expose().iter().map(|(name, value)| Value::from(format!("{name}: {value}")));
    let lines: Vec<Value> = lines.collect();
    if let Some(written) = probes.entry("req_headers").or_insert_with(|| json!([])).as_array_mut() {
        written.extend(lines);
        if written.is_empty() {
            probes.remove("req_headers");
        }
    }
    let query = form::encode(auth.query.expose().iter().map(|(name, value)| (name.as_str(), value.as_str())));
    if !query.is_empty() {
        let path = probes.get("http_path").and_then(Value::as_str).unwrap_or("/");
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}{query}");
        probes.insert("http_path".to_owned(), path.into());
    }
    probes
}

/// The upstream that a provider is.
fn upstream(host: &str, port: u16, is_https: bool, asking: &Asking) -> Value {
    let secs = |ms: u64| ms as f64 / 1000.0;
    let timeout = secs(asking.timeout);
    let requests = if asking.keepalive { 1000 } else { 1 };
    // A node of IPv6 is written in brackets.
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    json!({
        "type": "roundrobin",
        "scheme": if is_https { "https" } else { "http" },
        "nodes": [{ "host": host, "port": port, "weight": 1 }],
        "pass_host": "node",
        // What was sent may have cost something already.
        "retries": 0,
        "timeout": { "connect": timeout, "send": timeout, "read": timeout },
        "keepalive_pool": {
            "size": asking.keepalive_pool,
            "idle_timeout": secs(asking.keepalive_timeout),
            "requests": requests,
        },
        "tls": { "verify": asking.ssl_verify },
    })
}
