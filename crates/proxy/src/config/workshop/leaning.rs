//! Which objects lean on what, from the side of what is leant on: other objects, and secrets that are kept elsewhere.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;
use usher_model::kind::{Key, Kind};
use usher_model::reference::Reference;
use usher_pipeline::registry::Registry;

use super::Moved;
use crate::config::secrets;

/// Something that is leant on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Base {
    /// An object, whether it exists or not. Upstreams aren't among them: requests look those up by themselves.
    Object(Key),
    /// A secret.
    Secret(Reference),
}

/// All that leans, and all that is leant on.
#[derive(Default)]
pub(super) struct Leaning {
    on: HashMap<Base, BTreeSet<Arc<str>>>,
    leaners: HashMap<Arc<str>, Leaner>,
}

/// An object that leans on something. What was written is kept: it may be built again.
struct Leaner {
    bases: Box<[Base]>,
    source: Moved,
}

/// What nothing leant on before, and what nothing leans on any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) first: Vec<Base>,
    pub(super) last: Vec<Base>,
}

impl Leaning {
    /// An object leans on these from now on, and on nothing else.
    pub(super) fn settle(&mut self, moved: &Moved, bases: Vec<Base>) -> Shift {
        let mut shift = Shift::default();
        let before = self.leaners.remove(&moved.path).map(|leaner| leaner.bases).unwrap_or_default();
        for base in before.iter().filter(|base| !bases.contains(base)) {
            if let Some(all) = self.on.get_mut(base) {
                all.remove(&moved.path);
                if all.is_empty() {
                    self.on.remove(base);
                    shift.last.push(base.clone());
                }
            }
        }
        for base in &bases {
            let all = self.on.entry(base.clone()).or_default();
            if all.is_empty() {
                shift.first.push(base.clone());
            }
            all.insert(Arc::clone(&moved.path));
        }
        if !bases.is_empty() {
            let leaner = Leaner { bases: bases.into(), source: moved.clone() };
            self.leaners.insert(Arc::clone(&moved.path), leaner);
        }
        shift
    }

    /// The objects that lean on something, as they were written.
    pub(super) fn on(&self, base: &Base) -> impl Iterator<Item = &Moved> {
        let all = self.on.get(base).into_iter().flatten();
        all.filter_map(|path| Some(&self.leaners.get(path)?.source))
    }

    /// The secrets that an object leans on.
    pub(super) fn secrets_of(&self, path: &str) -> impl Iterator<Item = &Reference> {
        let bases = self.leaners.get(path).map_or(&[][..], |leaner| &leaner.bases);
        bases.iter().filter_map(|base| match base {
            Base::Secret(reference) => Some(reference),
            Base::Object(_) => None,
        })
    }

    /// Lets go of room that much fewer objects don't need.
    pub(super) fn shrink(&mut self) {
        super::shrink(&mut self.on);
        super::shrink(&mut self.leaners);
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.on.capacity() + self.leaners.capacity()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.on.len() + self.leaners.len()
    }
}

/// What an object leans on, by what is written in it.
pub(super) fn bases_of(kind: Kind, value: &Value, registry: &Registry) -> Vec<Base> {
    let mut bases = Vec::new();
    let mut refer = |member: &str, kind: Kind| {
        if let Some(id) = value.pointer(member).and_then(id) {
            bases.push(Base::Object(Key::new(kind, id)));
        }
    };
    match kind {
        Kind::Route => {
            refer("/service_id", Kind::Service);
            refer("/plugin_config_id", Kind::PluginConfig);
            refer("/upstream/tls/client_cert_id", Kind::Ssl);
        }
        Kind::StreamRoute => {
            refer("/service_id", Kind::Service);
            refer("/upstream/tls/client_cert_id", Kind::Ssl);
        }
        Kind::Service => refer("/upstream/tls/client_cert_id", Kind::Ssl),
        Kind::Upstream => refer("/tls/client_cert_id", Kind::Ssl),
        Kind::Consumer => refer("/group_id", Kind::ConsumerGroup),
        _ => {}
    }
    let plugins = || value.get("plugins").and_then(Value::as_object).into_iter().flatten();
    let protos = plugins().filter_map(|(_, body)| body.get("proto_id").and_then(id));
    bases.extend(protos.map(|id| Base::Object(Key::new(Kind::Proto, id))));
    let metadata = plugins().flat_map(|(name, _)| registry.metadata_read_by(name));
    bases.extend(metadata.map(|name| Base::Object(Key::new(Kind::PluginMetadata, name))));
    // A manager may stand in the environment, which is looked into when it is built.
    if kind != Kind::Secret {
        bases.extend(secrets::references(kind, value).into_iter().map(Base::Secret));
    }
    bases
}

/// An id, which may be written as a number.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) => usher_model::kind::id_text(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use usher_model::kind::{Key, Kind};

    use super::{Base, Leaning, Moved};

    fn route(id: &str) -> Moved {
        let key = Key::new(Kind::Route, id);
        Moved { path: Arc::from(key.path()), key, now: Some((Bytes::new(), 1)), created: 1 }
    }

    #[test]
    fn references_follow_the_objects() {
        let mut leaning = Leaning::default();
        let (service, plugins) = (Key::new(Kind::Service, "s"), Key::new(Kind::PluginConfig, "s"));
        let (service, plugins) = (Base::Object(service), Base::Object(plugins));
        let on = |leaning: &Leaning, base: &Base| {
            leaning.on(base).map(|moved| moved.key.id.clone()).collect::<Vec<_>>().join(" ")
        };
        let both = vec![service.clone(), plugins.clone()];
        assert_eq!(leaning.settle(&route("1"), both.clone()).first, both);
        assert_eq!(leaning.settle(&route("2"), vec![service.clone()]).first, []);
        assert_eq!(on(&leaning, &service), "1 2");
        assert_eq!(leaning.settle(&route("1"), vec![plugins.clone()]).last, []);
        assert_eq!((on(&leaning, &service), on(&leaning, &plugins)), ("2".to_owned(), "1".to_owned()));
        assert_eq!(leaning.settle(&route("1"), Vec::new()).last, [plugins]);
        assert_eq!(leaning.settle(&route("2"), Vec::new()).last, [service]);
        assert_eq!(leaning.len(), 0);
    }
}
