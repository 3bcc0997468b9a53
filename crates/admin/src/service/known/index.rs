//! A multimap from what resources are found by to the resources, small enough for hundreds of thousands of them.
//!
//! Marks are kept as 64-bit keyed hashes and resources as numbers, so a look-up may in theory name a resource that doesn't carry the mark; it
//! never misses one. Whoever has to be sure reads the resource. No parsed value and no secret is kept.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use serde_json::Value;
use usher_model::kind::{Key, Kind};
use usher_pipeline::registry::Registry;

use super::mark::{Mark, each_mark};

/// The index.
#[derive(Default)]
pub(in crate::service) struct Index {
    hasher: RandomState,
    numbers: HashMap<Arc<str>, u32>,
    paths: Vec<Option<Arc<str>>>,
    free: Vec<u32>,
    holders: HashMap<u64, Holders>,
    /// How many live below others, by the key of what they live below.
    below: HashMap<String, u32>,
    routes: usize,
}

/// Most marks have one holder, which takes no room of its own.
#[expect(
    clippy::box_collection,
    reason = "an entry without the box is twice as large, and there are hundreds of thousands"
)]
enum Holders {
    One(u32),
    Many(Box<BTreeSet<u32>>),
}

/// The routes that a change reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::service) struct Reached {
    /// Every route there is.
    pub(in crate::service) all: bool,
    numbers: BTreeSet<u32>,
}

impl Index {
    /// Takes up what a resource is found by.
    pub(super) fn add(&mut self, registry: &Registry, key: &Key, value: &Value) {
        let number = self.number(key);
        let Self { hasher, holders, .. } = self;
        each_mark(registry, key, value, &mut |mark| match holders.entry(hasher.hash_one(mark)) {
            Slot::Vacant(slot) => {
                slot.insert(Holders::One(number));
            }
            Slot::Occupied(mut slot) => slot.get_mut().add(number),
        });
    }

    /// Forgets what a resource was found by.
    pub(super) fn forget(&mut self, registry: &Registry, key: &Key, value: &Value) {
        let Some(&number) = self.numbers.get(key.path().as_str()) else { return };
        let Self { hasher, holders, .. } = self;
        each_mark(registry, key, value, &mut |mark| {
            if let Slot::Occupied(mut slot) = holders.entry(hasher.hash_one(mark))
                && slot.get_mut().forget(number)
            {
                slot.remove();
            }
        });
    }

    /// Forgets a resource that has no marks left.
    pub(super) fn remove(&mut self, path: &str) {
        if let Some(number) = self.numbers.remove(path) {
            if let Some(place) = self.paths.get_mut(number as usize) {
                *place = None;
            }
            self.free.push(number);
            self.routes -= usize::from(is_route(path));
            if let Some(above) = Key::parse(path).and_then(|key| key.parent()).map(|above| above.path())
                && let Some(count) = self.below.get_mut(&above)
            {
                *count -= 1;
                if *count == 0 {
                    self.below.remove(&above);
                }
            }
        }
    }

    /// Whether anything lives below a resource, which need not be there itself.
    pub(in crate::service) fn has_below(&self, above: &Key) -> bool {
        above.below().is_some() && self.below.contains_key(&above.path())
    }

    fn number(&mut self, key: &Key) -> u32 {
        let path = key.path();
        if let Some(&number) = self.numbers.get(path.as_str()) {
            return number;
        }
        if let Some(above) = key.parent() {
            *self.below.entry(above.path()).or_default() += 1;
        }
        let path: Arc<str> = path.into();
        self.routes += usize::from(is_route(&path));
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.paths.push(None);
                // More than four thousand million resources fit into no store.
                u32::try_from(self.paths.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.paths.get_mut(number as usize) {
            *place = Some(Arc::clone(&path));
        }
        self.numbers.insert(path, number);
        number
    }

    fn key(&self, number: u32) -> Option<Key> {
        self.paths.get(number as usize)?.as_deref().and_then(Key::parse)
    }

    fn numbers_of(&self, mark: Mark<'_>) -> impl Iterator<Item = u32> {
        let holders = self.holders.get(&self.hasher.hash_one(mark));
        let (one, many) = match holders {
            Some(Holders::One(number)) => (Some(*number), None),
            Some(Holders::Many(numbers)) => (None, Some(numbers.iter().copied())),
            None => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// At most `limit` resources that carry a mark and fit, in no telling order.
    pub(in crate::service) fn holders(
        &self,
        mark: Mark<'_>,
        limit: usize,
        mut fits: impl FnMut(&Key) -> bool,
    ) -> Vec<Key> {
        self.numbers_of(mark)
            .filter_map(|number| self.key(number))
            .filter(|key| fits(key))
            .take(limit)
            .collect()
    }

    /// Adds the routes that meet a change of this resource.
    pub(in crate::service) fn reach(&self, key: &Key, reached: &mut Reached) {
        match key.kind {
            Kind::Route => reached.numbers.extend(self.numbers.get(key.path().as_str())),
            Kind::GlobalRule => reached.all = true,
            Kind::PluginMetadata => self.reach_users(Mark::Plugin(&key.id), reached),
            Kind::CostDecoration => {
                if let Some(service) = key.parent() {
                    self.reach(&service, reached);
                }
            }
            Kind::Service | Kind::Upstream | Kind::PluginConfig | Kind::Proto | Kind::Ssl | Kind::Secret => {
                self.reach_users(Mark::Uses(key.kind, &key.id), reached);
            }
            // These reach connections or consumers, which no path tells apart.
            Kind::Consumer | Kind::Credential | Kind::ConsumerGroup | Kind::StreamRoute => {}
        }
    }

    fn reach_users(&self, mark: Mark<'_>, reached: &mut Reached) {
        for number in self.numbers_of(mark) {
            match self.key(number) {
                Some(user) if user.kind == Kind::Route => {
                    reached.numbers.insert(number);
                }
                // Nothing refers to what refers to it in turn, so this ends.
                Some(user) => self.reach(&user, reached),
                None => {}
            }
        }
    }

    /// How many routes were reached.
    pub(in crate::service) fn count(&self, reached: &Reached) -> usize {
        if reached.all { self.routes } else { reached.numbers.len() }
    }

    /// At most `limit` of the routes that were reached.
    pub(in crate::service) fn some(&self, reached: &Reached, limit: usize) -> Vec<Key> {
        if reached.all {
            let routes = self.paths.iter().flatten().filter(|path| is_route(path));
            return routes.take(limit).filter_map(|path| Key::parse(path)).collect();
        }
        reached.numbers.iter().take(limit).filter_map(|number| self.key(*number)).collect()
    }
}

impl Holders {
    fn add(&mut self, number: u32) {
        match self {
            Self::One(known) if *known == number => {}
            Self::One(known) => *self = Self::Many(Box::new(BTreeSet::from([*known, number]))),
            Self::Many(numbers) => {
                numbers.insert(number);
            }
        }
    }

    /// Whether nobody is left.
    fn forget(&mut self, number: u32) -> bool {
        match self {
            Self::One(known) => *known == number,
            Self::Many(numbers) => {
                numbers.remove(&number);
                numbers.is_empty()
            }
        }
    }
}

fn is_route(path: &str) -> bool {
    path.starts_with("/apisix/routes/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use usher_model::kind::{Key, Kind};
    use usher_pipeline::registry::Registry;

    use super::{Index, Mark, Reached};

    #[test]
    fn an_edit_is_found_by_what_it_is_now_and_no_more_by_what_it_was() {
        let registry = Registry::new(&[]);
        let mut index = Index::default();
        let (one, two) = (Key::new(Kind::Route, "1"), Key::new(Kind::Route, "2"));
        let old = json!({ "name": "a", "uri": "/x", "upstream_id": "u" });
        let new = json!({ "name": "b", "uri": "/x", "hosts": ["A.example"], "service_id": 7 });
        index.add(&registry, &one, &old);
        index.add(&registry, &two, &old);
        index.forget(&registry, &one, &old);
        index.add(&registry, &one, &new);
        let found = |index: &Index, mark| -> Vec<String> {
            index.holders(mark, 9, |_| true).into_iter().map(|key| key.id).collect()
        };
        assert_eq!(found(&index, Mark::Named(Kind::Route, "a")), ["2"]);
        assert_eq!(found(&index, Mark::Uses(Kind::Upstream, "u")), ["2"]);
        assert_eq!(found(&index, Mark::Place("a.example", "/x")), ["1"]);
        assert_eq!(found(&index, Mark::Uses(Kind::Service, "7")), ["1"]);
        index.forget(&registry, &two, &old);
        index.remove(&two.path());
        assert!(found(&index, Mark::Named(Kind::Route, "a")).is_empty());
        assert_eq!(index.holders.len(), 3);
    }

    #[test]
    fn a_change_reaches_routes_through_services_and_plugin_configs() {
        let registry = Registry::new(&[]);
        let mut index = Index::default();
        let split =
            json!({ "traffic-split": { "rules": [{ "weighted_upstreams": [{ "upstream_id": "u" }] }] } });
        for (kind, id, value) in [
            (Kind::Service, "s", json!({ "upstream_id": "u" })),
            (Kind::PluginConfig, "p", json!({ "plugins": split })),
            (Kind::Route, "1", json!({ "uri": "/1", "service_id": "s" })),
            (Kind::Route, "2", json!({ "uri": "/2", "plugin_config_id": "p" })),
            (Kind::Route, "3", json!({ "uri": "/3", "upstream_id": "u", "service_id": "s" })),
            (Kind::Route, "4", json!({ "uri": "/4", "upstream_id": "v" })),
        ] {
            index.add(&registry, &Key::new(kind, id), &value);
        }
        let reach = |index: &Index, kind, id| {
            let mut reached = Reached::default();
            index.reach(&Key::new(kind, id), &mut reached);
            (index.count(&reached), index.some(&reached, 2).len())
        };
        assert_eq!(reach(&index, Kind::Upstream, "u"), (3, 2));
        assert_eq!(reach(&index, Kind::Service, "s"), (2, 2));
        assert_eq!(reach(&index, Kind::GlobalRule, "g"), (4, 2));
        let rule = Key::new(Kind::GlobalRule, "g");
        index.add(&registry, &rule, &json!({ "plugins": split }));
        assert_eq!(reach(&index, Kind::Upstream, "u"), (4, 2));
    }
}
