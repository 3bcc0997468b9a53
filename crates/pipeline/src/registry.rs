//! All plugins there are, by name, with their schemas compiled once.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use usher_model::nearest::nearest;
use usher_model::schema::{Checker, Near};
use usher_model::secret::MARK;

use crate::env::Env;
use crate::meta::{self, Meta};
use crate::plugin::BuildError;
use crate::spec::{ParsedCredential, Spec};
use crate::stream::{RunningOnConnections, StreamBuild, StreamPipeline};

/// All plugins of this program. `gateway` makes one from the visible list in `plugins`.
pub struct Registry {
    entries: HashMap<&'static str, Entry>,
    order: Vec<&'static Spec>,
}

struct Entry {
    spec: &'static Spec,
    /// Whether it is on for requests, and for connections of stream routes.
    on: (bool, bool),
    schema: OnceLock<Compiled>,
    credential: OnceLock<Compiled>,
    metadata: OnceLock<Compiled>,
}

struct Compiled {
    schema: Value,
    checker: Result<Checker, String>,
    secrets: Vec<String>,
}

impl Compiled {
    fn of(schema: Value) -> Self {
        let checker = Checker::new(&schema).map_err(|error| error.to_string());
        let mut secrets = Vec::new();
        collect_secrets(&schema, "", &mut secrets);
        Self { schema, checker, secrets }
    }

    fn check(&self, body: &Value) -> Result<(), BuildError> {
        let checker = self.checker.as_ref().map_err(BuildError::new)?;
        checker.check(body).map_err(BuildError::of)
    }
}

impl Registry {
    /// A registry of these plugins, on wherever they take part.
    #[must_use]
    pub fn new(specs: &[&'static Spec]) -> Self {
        Self::of(specs, specs)
    }

    /// A registry of plugins that are on for requests, and of those that are on for connections of stream routes.
    #[must_use]
    pub fn of(requests: &[&'static Spec], connections: &[&'static Spec]) -> Self {
        let mut entries: HashMap<&'static str, Entry> = HashMap::new();
        let sides = requests.iter().map(|spec| (spec, (true, false)));
        for (spec, on) in sides.chain(connections.iter().map(|spec| (spec, (false, true)))) {
            let (schema, credential, metadata) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
            let new = Entry { spec, on: (false, false), schema, credential, metadata };
            let entry = entries.entry(spec.name).or_insert(new);
            entry.on = (entry.on.0 | on.0, entry.on.1 | on.1);
        }
        let mut order: Vec<_> = entries.values().map(|entry| entry.spec).collect();
        order.sort_by_key(|spec| (std::cmp::Reverse(spec.priority), spec.name));
        Self { entries, order }
    }

    /// Every plugin, highest priority first.
    #[must_use]
    pub fn list(&self) -> &[&'static Spec] {
        &self.order
    }

    /// The plugin of this name, where it is on for requests. One that only works on connections says so itself when it is built.
    #[must_use]
    pub fn for_requests(&self, name: &str) -> Option<&'static Spec> {
        self.entries.get(name).filter(|entry| entry.on.0).map(|entry| entry.spec)
    }

    /// The plugin of this name, where it is on for connections of stream routes and can work on them.
    #[must_use]
    pub fn on_connections(&self, name: &str) -> Option<&'static Spec> {
        let on = self.entries.get(name).filter(|entry| entry.on.1);
        on.map(|entry| entry.spec).filter(|spec| spec.is_on_connections())
    }

    /// The plugin of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static Spec> {
        self.entries.get(name).map(|entry| entry.spec)
    }

    /// The plugin name most like this one, for "did you mean".
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<String> {
        nearest(name, self.entries.keys().copied())
    }

    /// The JSON schema of a plugin's body on routes and services.
    #[must_use]
    pub fn schema(&self, name: &str) -> Option<&Value> {
        self.entries.get(name).map(|entry| &entry.schema().schema)
    }

    /// The same with `_meta`, as `GET /plugins/{name}` shows it.
    #[must_use]
    pub fn public_schema(&self, name: &str) -> Option<Value> {
        let mut schema = self.schema(name)?.clone();
        if let Some(members) = schema.as_object_mut() {
            let properties =
                members.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
            if let Some(properties) = properties.as_object_mut() {
                properties.insert(meta::META.to_owned(), meta::schema());
            }
        }
        Some(schema)
    }

    /// The JSON schema of a plugin's credential in consumers; `None` when it has none.
    #[must_use]
    pub fn credential_schema(&self, name: &str) -> Option<&Value> {
        self.entries.get(name)?.credential().map(|compiled| &compiled.schema)
    }

    /// Whether a plugin declares metadata.
    #[must_use]
    pub fn has_metadata(&self, name: &str) -> bool {
        self.find(name).is_some_and(|spec| spec.metadata.is_some())
    }

    /// The plugins by whose metadata this one goes: its own, where it declares one, and those that it reads besides.
    pub fn metadata_read_by(&self, name: &str) -> impl Iterator<Item = &'static str> {
        let spec = self.find(name);
        let own = spec.filter(|spec| spec.metadata.is_some()).map(|spec| spec.name);
        own.into_iter().chain(spec.into_iter().flat_map(|spec| spec.reads_metadata_of.iter().copied()))
    }

    /// The JSON schema of a plugin's metadata.
    #[must_use]
    pub fn metadata_schema(&self, name: &str) -> Option<Value> {
        self.entries.get(name)?.metadata().map(|compiled| compiled.schema.clone())
    }

    /// The dotted paths of the secret members of a plugin's metadata.
    #[must_use]
    pub fn metadata_secrets(&self, name: &str) -> &[String] {
        self.entries.get(name).and_then(Entry::metadata).map_or(&[], |compiled| &compiled.secrets)
    }

    /// Checks a plugin's metadata by its schema; a plugin without one takes any object.
    ///
    /// # Errors
    /// `unknown plugin [x]`, or the sentence of the member that breaks the schema.
    pub fn check_metadata(&self, name: &str, value: &Value) -> Result<(), BuildError> {
        self.entry(name)?.metadata().map_or(Ok(()), |compiled| compiled.check(value))
    }

    /// The dotted paths of the secret members of a plugin's body on routes and services.
    #[must_use]
    pub fn secrets(&self, name: &str) -> &[String] {
        self.entries.get(name).map_or(&[], |entry| &entry.schema().secrets)
    }

    /// The dotted paths of the secret members of a plugin's credential.
    #[must_use]
    pub fn credential_secrets(&self, name: &str) -> &[String] {
        self.entries.get(name).and_then(Entry::credential).map_or(&[], |compiled| &compiled.secrets)
    }

    /// The attribute of a plugin's credential that no two consumers may share.
    #[must_use]
    pub fn unique_attribute(&self, name: &str) -> Option<&'static str> {
        self.find(name)?.credential.map(|credential| credential.unique)
    }

    /// Every header that plugins vouch for, lower case: dropped from clients' requests.
    #[must_use]
    pub fn identity_headers(&self) -> Vec<&'static str> {
        let own = ["x-consumer-username", "x-credential-identifier", "x-consumer-custom-id"];
        let mut all: Vec<&'static str> =
            own.into_iter().chain(self.order.iter().flat_map(|spec| spec.identity.iter().copied())).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Checks a plugin's body as routes, services and the like carry it: schema, `_meta`, and the plugin's own `build`.
    ///
    /// # Errors
    /// The whole sentence of the contract: `unknown plugin [x]` or `failed to check the configuration of plugin x err: ...`.
    pub fn check(&self, name: &str, body: &Value, env: &Env<'_>) -> Result<(), BuildError> {
        let entry = self.entry(name)?;
        if !body.is_object() {
            return Err(BuildError::new(format!("invalid plugin conf {body} for plugin [{name}]")));
        }
        let judged = Meta::of(body).and_then(|meta| {
            // A body that is switched off may be unfinished, as in APISIX.
            if meta.disable { Ok(()) } else { self.build(entry.spec, body, env).map(drop) }
        });
        judged.map_err(|error| in_plugin(name, error))
    }

    /// Checks an auth plugin's body as consumers and credentials carry it.
    ///
    /// # Errors
    /// As for [`Registry::check`].
    pub fn check_credential(&self, name: &str, body: &Value) -> Result<(), BuildError> {
        self.credential(name, body).map(drop)
    }

    /// Parses an auth plugin's body as consumers and credentials carry it.
    ///
    /// # Errors
    /// As for [`Registry::check`].
    pub fn credential(&self, name: &str, body: &Value) -> Result<ParsedCredential, BuildError> {
        let entry = self.entry(name)?;
        if !body.is_object() {
            return Err(BuildError::new(format!("invalid plugin conf {body} for plugin [{name}]")));
        }
        let (Some(spec), Some(compiled)) = (entry.spec.credential, entry.credential()) else {
            return Err(BuildError::new(format!("plugin [{name}] has no credentials")));
        };
        let bare = meta::without(body);
        compiled.check(&bare).and_then(|()| (spec.parse)(bare)).map_err(|error| in_plugin(name, error))
    }

    pub(crate) fn build(
        &self,
        spec: &'static Spec,
        body: &Value,
        env: &Env<'_>,
    ) -> Result<Arc<dyn crate::spec::Running>, BuildError> {
        let bare = meta::without(body);
        self.entry(spec.name)?.schema().check(&bare)?;
        if !spec.is_for_requests() {
            return Err(BuildError::new(
                "it works on connections, and here are requests; put it into a stream route",
            ));
        }
        let env = env.for_body(spec.name, &bare);
        (spec.build)(bare, &env)
    }

    /// Checks a plugin's body as stream routes carry it.
    ///
    /// # Errors
    /// As for [`Registry::check`].
    pub fn check_on_connections(&self, name: &str, body: &Value, env: &Env<'_>) -> Result<(), BuildError> {
        let one = serde_json::Map::from_iter([(name.to_owned(), body.clone())]);
        StreamPipeline::compile(&one, env).map(drop)
    }

    pub(crate) fn build_on_connections(
        &self,
        spec: &'static Spec,
        build: StreamBuild,
        body: &Value,
        env: &Env<'_>,
    ) -> Result<Arc<dyn RunningOnConnections>, BuildError> {
        let bare = meta::without(body);
        self.entry(spec.name)?.schema().check(&bare)?;
        build(bare.clone(), &env.for_body(spec.name, &bare))
    }

    fn entry(&self, name: &str) -> Result<&Entry, BuildError> {
        self.entries.get(name).ok_or_else(|| BuildError::new(format!("unknown plugin [{name}]")))
    }
}

impl Entry {
    fn schema(&self) -> &Compiled {
        self.schema.get_or_init(|| Compiled::of((self.spec.schema)()))
    }

    fn credential(&self) -> Option<&Compiled> {
        let spec = self.spec.credential?;
        Some(self.credential.get_or_init(|| Compiled::of((spec.schema)())))
    }

    fn metadata(&self) -> Option<&Compiled> {
        let schema = self.spec.metadata?;
        Some(self.metadata.get_or_init(|| Compiled::of(schema())))
    }
}

fn in_plugin(name: &str, error: BuildError) -> BuildError {
    let sentence = format!("failed to check the configuration of plugin {name} err: {error}");
    let near = error.near.or_else(|| missing(&error.message));
    BuildError { near, ..BuildError::new(sentence) }
}

/// The member that a plugin itself says is missing, in the words of schemas.
fn missing(sentence: &str) -> Option<Box<Near>> {
    let name = sentence.strip_prefix("property \"")?.strip_suffix("\" is required")?;
    let is_plain = !name.contains(['"', '/', '~']);
    is_plain.then(|| Box::new(Near { pointer: format!("/{name}"), sentence: sentence.to_owned() }))
}

/// The dotted paths of members marked secret; arrays are stepped through without a segment of their own.
pub(crate) fn collect_secrets(schema: &Value, path: &str, found: &mut Vec<String>) {
    if schema.get(MARK) == Some(&Value::Bool(true)) && !found.iter().any(|known| known == path) {
        found.push(path.to_owned());
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, member) in properties {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            collect_secrets(member, &below, found);
        }
    }
    if let Some(items) = schema.get("items") {
        collect_secrets(items, path, found);
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        for branch in schema.get(several).and_then(Value::as_array).into_iter().flatten() {
            collect_secrets(branch, path, found);
        }
    }
}
