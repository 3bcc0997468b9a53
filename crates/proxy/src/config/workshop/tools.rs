//! What every object is built with.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::{Map, Value};
use usher_model::schema::unsupported;
use usher_model::seal::Keyring;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::env::{Env, Process};
use usher_pipeline::registry::Registry;

use super::Moved;
use crate::config::upstream::{Place, Upstream};
use crate::options::RouterMode;

/// What objects are built with.
pub(in crate::config) struct Tools {
    pub(in crate::config) registry: Arc<Registry>,
    pub(in crate::config) process: Arc<Process>,
    pub(in crate::config) keyring: Arc<Keyring>,
    pub(in crate::config) own: Arc<[SocketAddr]>,
    pub(in crate::config) router: RouterMode,
}

impl Tools {
    /// Runs a build. A plugin that panics takes down its object, not the follower.
    pub(super) fn guard<T>(&self, build: impl FnOnce(&Self) -> Result<T, String>) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(|| build(self))).unwrap_or_else(|_| {
            Err("building it failed inside Usher, which is a bug; see the log, and please report it"
                .to_owned())
        })
    }

    /// An object's value: read, looked through for what this version can't do, its secrets open.
    pub(super) fn read(&self, moved: &Moved, bytes: &[u8]) -> Result<Value, String> {
        let mut value: Value =
            serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON: {error}"))?;
        if let Some(sentence) = unsupported(moved.key.kind, &value) {
            return Err(sentence);
        }
        self.keyring.open_all(&moved.path, &mut value).map_err(|error| error.to_string())?;
        Ok(value)
    }

    /// The plugins of an object.
    pub(super) fn compile(&self, moved: &Moved, plugins: &Map<String, Value>) -> Result<Pipeline, String> {
        let env = Env::new(&self.process, &self.registry, &moved.path).created(moved.created);
        Pipeline::compile(plugins, &env).map_err(|error| error.to_string())
    }

    /// An upstream, named by its id or by the object that it is written in.
    pub(super) fn upstream(&self, name: &str, value: &Value) -> Result<Upstream, String> {
        let place = Place { compat: self.process.compat(), own: &self.own };
        Upstream::build(name.into(), value, place)
    }
}
