//! What a plugin may use while it is built, and what the process keeps for plugins.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use usher_model::compat::Compat;
use usher_model::live::UpstreamHealth;
use usher_model::protobuf::Definition;

use crate::compile::Pipeline;
use crate::plugin::BuildError;
use crate::read::read;
use crate::registry::Registry;

/// An upstream that a plugin's own configuration describes; only the proxy knows what is inside.
pub trait Target: Any + Send + Sync {
    /// For the proxy, to get its own type back.
    fn as_any(&self) -> &dyn Any;

    /// Whether health checks find any of its nodes well, which are probed from the first question on. Always where it has no checks.
    fn is_well(&self) -> bool {
        true
    }
}

/// Makes upstreams of their JSON; the proxy's part of building a plugin.
pub trait Targets: Any + Send + Sync {
    /// An upstream written inside a plugin. `name` tells it apart in metrics and logs; `compat` decides what it doesn't say itself.
    ///
    /// # Errors
    /// The sentence of what is wrong with it.
    fn target(&self, name: &str, upstream: &Value, compat: Compat) -> Result<Arc<dyn Target>, String>;

    /// What health checks know of upstreams' nodes, for metrics.
    fn health(&self) -> Vec<UpstreamHealth> {
        Vec::new()
    }

    /// Whether a script can decide about a route (`filter_func`). Whoever runs no scripts takes every one.
    ///
    /// # Errors
    /// The sentence of what is wrong with it.
    fn condition(&self, _source: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Takes every upstream for one and sends nothing anywhere: for whoever checks configuration without a proxy.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyTarget;

impl Target for AnyTarget {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Targets for AnyTarget {
    fn target(&self, _: &str, _: &Value, _: Compat) -> Result<Arc<dyn Target>, String> {
        Ok(Arc::new(Self))
    }
}

/// What outlives every single configuration: kept state, process-level settings. A clone is the same process.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    attributes: Map<String, Value>,
    compat: Compat,
    targets: Box<dyn Targets>,
    kept: Mutex<HashMap<String, Weak<dyn Any + Send + Sync>>>,
    permanent: Mutex<HashMap<&'static str, Arc<dyn Any + Send + Sync>>>,
}

impl Process {
    /// `attributes` are the process-level settings by plugin, from `plugin_attr` in `config.yaml`.
    #[must_use]
    pub fn new(attributes: Map<String, Value>, compat: Compat, targets: Box<dyn Targets>) -> Self {
        Self(Arc::new(Inner {
            attributes,
            compat,
            targets,
            kept: Mutex::default(),
            permanent: Mutex::default(),
        }))
    }

    /// Who makes the upstreams that are written inside plugins.
    #[must_use]
    pub fn targets(&self) -> &dyn Targets {
        &*self.0.targets
    }

    /// A plugin's process-level settings.
    #[must_use]
    pub fn attribute(&self, plugin: &str) -> Option<&Value> {
        self.0.attributes.get(plugin)
    }

    /// Whether a script can decide about a route (`filter_func`).
    ///
    /// # Errors
    /// The sentence of what is wrong with it.
    pub fn condition(&self, source: &str) -> Result<(), String> {
        self.0.targets.condition(source)
    }

    /// Which of APISIX's behaviours are on.
    #[must_use]
    pub fn compat(&self) -> Compat {
        self.0.compat
    }

    /// State that stays as long as the process: metrics, cache zones. The first caller makes it.
    pub fn permanent<T: Any + Send + Sync>(&self, key: &'static str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut permanent = self.0.permanent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = permanent.get(key).and_then(|found| Arc::clone(found).downcast().ok()) {
            return found;
        }
        let made = Arc::new(make());
        permanent.insert(key, Arc::<T>::clone(&made));
        made
    }

    fn keep<T: Any + Send + Sync>(&self, key: String, make: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(&key).and_then(Weak::upgrade).and_then(|found| found.downcast().ok()) {
            return found;
        }
        let made = Arc::new(make());
        if kept.len() == kept.capacity() {
            kept.retain(|_, state| state.strong_count() > 0);
        }
        let weak: Weak<T> = Arc::downgrade(&made);
        kept.insert(key, weak);
        made
    }
}

/// What plugins know wherever they run: the `plugin_metadata` objects, by the plugins' names, and the definitions of `protos`, by their ids.
#[derive(Default)]
pub struct Metadata {
    plugins: HashMap<String, Value>,
    protos: HashMap<String, Definition>,
}

impl Metadata {
    /// A plugin's metadata was written, or is gone.
    pub fn set(&mut self, plugin: &str, value: Option<Value>) {
        match value {
            Some(value) => drop(self.plugins.insert(plugin.to_owned(), value)),
            None => drop(self.plugins.remove(plugin)),
        }
    }

    /// A protobuf definition was written, or is gone.
    pub fn set_proto(&mut self, id: &str, definition: Option<Definition>) {
        match definition {
            Some(definition) => drop(self.protos.insert(id.to_owned(), definition)),
            None => drop(self.protos.remove(id)),
        }
    }
}

/// What one plugin may use while it is built.
pub struct Env<'a> {
    process: &'a Process,
    registry: &'a Registry,
    resource: &'a str,
    created: u64,
    part: Option<usize>,
    checksum: String,
    plugin: &'static str,
    metadata: Option<&'a Metadata>,
}

impl<'a> Env<'a> {
    /// For a resource's key, such as `/apisix/routes/1`.
    #[must_use]
    pub const fn new(process: &'a Process, registry: &'a Registry, resource: &'a str) -> Self {
        Self {
            process,
            registry,
            resource,
            created: 0,
            part: None,
            checksum: String::new(),
            plugin: "",
            metadata: None,
        }
    }

    /// The same with what plugins know wherever they run. A check of an object goes without.
    #[must_use]
    pub const fn with_metadata(mut self, metadata: &'a Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// This plugin's metadata; `None` where nobody wrote any. The plugin has to declare it by [`crate::spec::Spec::metadata`]: whatever uses it is
    /// built anew when it is edited.
    ///
    /// # Errors
    /// It has another shape than `M`.
    pub fn metadata<M: DeserializeOwned>(&self) -> Result<Option<M>, BuildError> {
        let found = self.metadata.and_then(|all| all.plugins.get(self.plugin));
        found.map(|value| read(value.clone())).transpose().map_err(|error| {
            BuildError::new(format!("its metadata (plugin_metadata/{}) can't be used: {error}", self.plugin))
        })
    }

    /// The definition of a `protos` object, which the plugin's body has to name in a member `proto_id`: it is built anew when that object moves.
    /// `None` where there is none, and where an object is only checked.
    #[must_use]
    pub fn proto(&self, id: &str) -> Option<Definition> {
        self.metadata.and_then(|all| all.protos.get(id)).cloned()
    }

    /// The same with the revision that created the resource: one that is deleted and created anew begins with fresh state.
    #[must_use]
    pub const fn created(mut self, revision: u64) -> Self {
        self.created = revision;
        self
    }

    /// The same for one plugin's body.
    pub(crate) fn for_body(&self, name: &'static str, body: &Value) -> Self {
        use std::hash::{DefaultHasher, Hash, Hasher};
        // Fixed keys: the checksum has to be the same in every worker and after each edit of a neighbour.
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        body.to_string().hash(&mut hasher);
        // Only where there is one: counters in Redis keep their names over an upgrade.
        if let Some(part) = self.part {
            part.hash(&mut hasher);
        }
        Self { checksum: format!("{:016x}", hasher.finish()), plugin: name, ..*self }
    }

    /// The same as another plugin's part of this one sees it: with that one's metadata.
    #[must_use]
    pub fn on_behalf_of(&self, plugin: &'static str) -> Self {
        Self { checksum: self.checksum.clone(), plugin, ..*self }
    }

    /// The same for one part of this plugin's body, such as a rule: plugins that it holds keep state of their own, also where another part holds
    /// the same body.
    #[must_use]
    pub fn part(&self, number: usize) -> Self {
        Self { part: Some(number), checksum: self.checksum.clone(), ..*self }
    }

    /// The key of the resource that carries the plugin.
    #[must_use]
    pub const fn resource(&self) -> &str {
        self.resource
    }

    /// What the process keeps, and process-level settings.
    #[must_use]
    pub const fn process(&self) -> &Process {
        self.process
    }

    /// All plugins there are.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        self.registry
    }

    /// What state that belongs to this very body on this very resource is kept by: the same after an edit elsewhere, another after an edit of
    /// the body, and after the resource was deleted and created anew.
    #[must_use]
    pub fn own_key(&self) -> String {
        format!("{}\n{}\n{}", self.resource, self.created, self.checksum)
    }

    /// What state outside of this process is kept by, so that other gateways with the same resource and body share it.
    #[must_use]
    pub fn shared_key(&self) -> String {
        format!("{}#{}", self.resource, self.checksum)
    }

    /// State that survives an edit elsewhere, such as a limit's windows: the same for the same key as long as anything uses it.
    pub fn keep<T: Any + Send + Sync>(&self, key: &str, make: impl FnOnce() -> T) -> Arc<T> {
        self.process.keep(format!("{}\n{key}", std::any::type_name::<T>()), make)
    }

    /// An upstream written inside this plugin's body.
    ///
    /// # Errors
    /// The sentence of what is wrong with it.
    pub fn target(&self, name: &str, upstream: &Value) -> Result<Arc<dyn Target>, BuildError> {
        self.process.0.targets.target(name, upstream, self.process.0.compat).map_err(BuildError::new)
    }

    /// Plugins that a plugin holds, as `multi-auth` and `workflow` do.
    ///
    /// # Errors
    /// The first that can't be built.
    pub fn build_plugins(&self, bodies: &Map<String, Value>) -> Result<Pipeline, BuildError> {
        Pipeline::compile(bodies, self)
    }
}
