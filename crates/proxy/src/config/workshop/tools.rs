//! What every object is built with.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::{Map, Value};
use usher_model::schema::unsupported;
use usher_model::seal::Keyring;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::env::{Env, Metadata, Process};
use usher_pipeline::registry::Registry;
use usher_pipeline::secrets;

use super::{Certificates, Moved};
use crate::config::secrets::Secrets;
use crate::config::ssl::Common;
use crate::config::upstream::{Keeper, Place, Upstream};
use crate::options::RouterMode;

/// What objects are built with.
pub(in crate::config) struct Tools {
    pub(in crate::config) registry: Arc<Registry>,
    pub(in crate::config) process: Arc<Process>,
    pub(in crate::config) keyring: Arc<Keyring>,
    pub(in crate::config) own: Arc<[SocketAddr]>,
    pub(in crate::config) router: RouterMode,
    /// What is put into objects when they are built.
    pub(in crate::config) secrets: Secrets,
    pub(in crate::config) metadata: Metadata,
    pub(in crate::config) certificates: Certificates,
    /// What is remembered of upstreams.
    pub(in crate::config) keeper: Arc<Keeper>,
    /// What all `ssl` objects share.
    pub(in crate::config) tls: Common,
}

impl Tools {
    /// Runs a build. A plugin that panics takes down its object, not the follower.
    pub(super) fn guard<T>(&self, build: impl FnOnce(&Self) -> Result<T, String>) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(|| build(self))).unwrap_or_else(|_| {
            Err("building it failed inside Usher, which is a bug; see the log, and please report it"
                .to_owned())
        })
    }

    /// Opens an object's sealed secrets, and looks through it for what this version can't do.
    pub(super) fn open(&self, moved: &Moved, value: &mut Value) -> Result<(), String> {
        if let Some(sentence) = unsupported(moved.key.kind, value) {
            return Err(sentence);
        }
        // What only looks as if an APISIX had encrypted it may well be a text that was meant so.
        let opened = secrets::open(&self.keyring, &self.registry, &moved.key, value);
        opened.map(drop).map_err(|error| error.to_string())
    }

    /// The plugins of an object.
    pub(super) fn compile(&self, moved: &Moved, plugins: &Map<String, Value>) -> Result<Pipeline, String> {
        let env = Env::new(&self.process, &self.registry, &moved.path);
        let env = env.created(moved.created).with_metadata(&self.metadata);
        Pipeline::compile(plugins, &env).map_err(|error| error.to_string())
    }

    /// An upstream, named by its id or by the object that it is written in.
    pub(super) fn upstream(&self, name: &str, value: &Value) -> Result<Upstream, String> {
        let place = Place {
            compat: self.process.compat(),
            own: &self.own,
            certificates: Some(&self.certificates),
            keeper: &self.keeper,
        };
        Upstream::build(name.into(), value, place)
    }
}
