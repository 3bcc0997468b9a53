//! Where the next snapshot is made: everything that is known of the store's objects, and which of them lean on which.
//!
//! Owned by the follower alone, so nothing here is locked. What a change touches is built anew; an object that can't be built stays as it was,
//! and is listed as a problem until a good version or its deletion comes. A route that never could be built, or whose service or plugin config is
//! gone, keeps its place and refuses its requests.

mod certificates;
mod crowd;
mod given;
mod groups;
mod leaning;
mod refusal;
mod routes;
mod services;
mod ssls;
mod streams;
mod tools;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use usher_model::kind::{Key, Kind};
use usher_model::live::Problem;
use usher_model::resource;
use usher_store::{Batch, Entry, Listing, Revision};

use super::people::People;
use super::router::Router;
use super::snapshot::{GlobalRule, Snapshot};
use super::traffic::AllTraffic;
use super::tree::{Slot, Tree};
use super::upstream::Upstream;
pub(super) use certificates::Certificates;
use crowd::Crowd;
use groups::Groups;
use leaning::{Base, Leaning};
use routes::Routes;
use services::Bases;
use ssls::Ssls;
use streams::Streams;
pub(super) use tools::Tools;
use work::Work;

/// The workshop.
pub(super) struct Workshop {
    tools: Tools,
    traffic: Arc<AllTraffic>,
    /// Every object of the store that is known here, good or not, by its key.
    known: HashMap<Arc<str>, Version>,
    keyed: RandomState,
    leaning: Leaning,
    router: Router,
    upstreams: Tree<Arc<Upstream>>,
    ssls: Ssls,
    streams: Streams,
    people: People,
    crowd: Crowd,
    bases: Bases,
    groups: Groups,
    routes: Routes,
    global_rules: BTreeMap<Arc<str>, Arc<GlobalRule>>,
    global_rules_in_order: Arc<[Arc<GlobalRule>]>,
    problems: Tree<Arc<Problem>>,
    /// Objects built or tried to since the start.
    built: u64,
}

/// One version of an object: its revision, and a hash of what was written. Revisions alone would not do: a cluster that was wiped counts anew.
type Version = (Revision, u64);

/// What happened to one object.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    /// Its key as the store spells it.
    path: Arc<str>,
    /// The same, read.
    key: Key,
    /// What is there now, and the revision that brought it or moved what it leans on; `None` where it was deleted.
    now: Option<(Bytes, Revision)>,
    /// The revision that created it; 0 where it was deleted.
    created: Revision,
}

impl Moved {
    fn new(path: &Arc<str>, now: Option<&Entry>) -> Option<Self> {
        let key = Key::parse(path)?;
        let created = now.map_or(0, |entry| entry.created);
        let now = now.map(|entry| (entry.value.clone(), entry.modified));
        Some(Self { path: Arc::clone(path), key, now, created })
    }
}

impl Workshop {
    pub(super) fn new(tools: Tools, traffic: Arc<AllTraffic>) -> Self {
        Self {
            router: Router::new(tools.router),
            tools,
            traffic,
            known: HashMap::new(),
            keyed: RandomState::new(),
            leaning: Leaning::default(),
            upstreams: Tree::default(),
            ssls: Ssls::default(),
            streams: Streams::default(),
            people: People::default(),
            crowd: Crowd::default(),
            bases: Bases::default(),
            groups: Groups::default(),
            routes: Routes::default(),
            global_rules: BTreeMap::new(),
            global_rules_in_order: Arc::from([]),
            problems: Tree::default(),
            built: 0,
        }
    }

    /// Takes up one transaction.
    pub(super) fn apply(&mut self, batch: &Batch) -> Snapshot {
        let moved = batch.events.iter().filter_map(|event| Moved::new(&event.key, event.after.as_ref()));
        // By key, so that of two writes to one key only the later one counts.
        let moved: BTreeMap<_, _> = moved.map(|moved| (Arc::clone(&moved.path), moved)).collect();
        self.take_up(moved.into_values().collect(), batch.revision)
    }

    /// Takes up everything that is in the store: what is as it was stays untouched, what is gone goes.
    pub(super) fn replace(&mut self, listing: &Listing) -> Snapshot {
        let mut gone = std::mem::take(&mut self.known);
        let mut moved = Vec::new();
        for entry in &listing.entries {
            let before = gone.remove(&entry.key);
            let version = self.version(entry.modified, &entry.value);
            self.known.insert(Arc::clone(&entry.key), version);
            if before != Some(version) {
                moved.extend(Moved::new(&entry.key, Some(entry)));
            }
        }
        moved.extend(gone.keys().filter_map(|path| Moved::new(path, None)));
        self.take_up(moved, listing.revision)
    }

    fn version(&self, revision: Revision, bytes: &Bytes) -> Version {
        (revision, self.keyed.hash_one(bytes))
    }

    /// Builds what moved, first what others lean on, then what leans on it, each once.
    fn take_up(&mut self, moved: Vec<Moved>, revision: Revision) -> Snapshot {
        let mut work = Work::default();
        for moved in moved {
            match &moved.now {
                Some((bytes, modified)) => {
                    let version = self.version(*modified, bytes);
                    self.known.insert(Arc::clone(&moved.path), version);
                }
                None => drop(self.known.remove(&moved.path)),
            }
            work.add(moved);
        }
        self.work_off(work, revision);
        self.snapshot(revision)
    }

    fn work_off(&mut self, mut work: Work, revision: Revision) {
        while let Some(moved) = work.next() {
            match moved.key.kind {
                Kind::Consumer | Kind::Credential => {
                    let others = std::iter::from_fn(|| work.next_person());
                    let people = std::iter::once(moved).chain(others).collect();
                    self.move_people(people);
                }
                Kind::Route => self.move_route(&moved),
                Kind::StreamRoute => self.move_stream_route(&moved),
                _ => {
                    self.move_first(&moved, revision);
                    self.rebuild(&Base::Object(moved.key), revision, &mut work);
                }
            }
        }
        self.shrink();
    }

    /// How many entries its tables have room for, and how many nodes its trees have.
    #[cfg(test)]
    fn room(&self) -> usize {
        self.known.capacity()
            + self.leaning.room()
            + self.crowd.room()
            + self.routes.room()
            + self.traffic.room()
            + self.router.node_count()
            + self.upstreams.node_count()
            + self.people.node_count()
    }

    fn move_first(&mut self, moved: &Moved, revision: Revision) {
        let value = self.read(moved);
        match moved.key.kind {
            Kind::Ssl => self.move_ssl(moved, value),
            Kind::Secret => self.move_manager(moved, value, revision),
            Kind::PluginMetadata => self.move_metadata(moved, value),
            Kind::Proto => self.move_proto(moved, value),
            Kind::Upstream => self.move_upstream(moved, value),
            Kind::GlobalRule => self.move_global_rule(moved, value),
            Kind::ConsumerGroup => self.move_group(moved, value),
            _ => self.move_base(moved, value),
        }
    }

    /// What leans on this is built again, at this revision.
    fn rebuild(&self, base: &Base, revision: Revision, work: &mut Work) {
        for source in self.leaning.on(base) {
            let mut again = source.clone();
            if let Some((_, at)) = &mut again.now {
                *at = revision;
            }
            work.again(again);
        }
    }

    /// Lets go of room that much fewer objects don't need.
    fn shrink(&mut self) {
        shrink(&mut self.known);
        self.leaning.shrink();
        self.crowd.shrink();
        self.ssls.shrink();
        self.streams.shrink();
        self.routes.shrink();
        self.traffic.shrink();
    }

    fn snapshot(&self, revision: Revision) -> Snapshot {
        Snapshot {
            revision,
            router: self.router.clone(),
            upstreams: self.upstreams.clone(),
            ssls: self.ssls.served(),
            mutual: self.ssls.is_any_mutual(),
            streams: self.streams.served(),
            people: self.people.clone(),
            global_rules: Arc::clone(&self.global_rules_in_order),
            problems: self.problems.clone(),
        }
    }

    fn move_upstream(&mut self, moved: &Moved, value: Result<Option<Value>, String>) {
        let id = moved.key.id.as_bytes();
        let built = self
            .tools
            .guard(|tools| value?.map(|value| tools.upstream(moved.key.id.as_str(), &value)).transpose());
        let verdict = built.map(|upstream| match upstream {
            Some(upstream) => self.upstreams.set(Slot::Exact, id, Arc::new(upstream)),
            None => self.upstreams.clear(Slot::Exact, id),
        });
        self.settle(moved, verdict);
    }

    fn move_global_rule(&mut self, moved: &Moved, value: Result<Option<Value>, String>) {
        let id: Arc<str> = moved.key.id.as_str().into();
        let built = self.tools.guard(|tools| {
            let Some(value) = value? else { return Ok(None) };
            let plugins = resource::Plugins::from_value(&value).map_err(|error| error.to_string())?.plugins;
            Ok(Some(GlobalRule { pipeline: tools.compile(moved, &plugins)? }))
        });
        let verdict = built.map(|rule| match rule {
            Some(rule) => drop(self.global_rules.insert(id, Arc::new(rule))),
            None => drop(self.global_rules.remove(&id)),
        });
        self.global_rules_in_order = self.global_rules.values().cloned().collect();
        self.settle(moved, verdict);
    }

    /// Notes how taking up an object went: its problem is listed, or gone.
    fn settle(&mut self, moved: &Moved, verdict: Result<(), String>) {
        if moved.now.is_some() {
            self.built += 1;
        }
        let revision = moved.now.as_ref().map_or(0, |(_, revision)| *revision);
        let verdict = verdict.map_err(|reason| {
            let reason = self.without_secrets(moved, reason);
            Problem { key: moved.path.to_string(), revision, reason }
        });
        self.note(&moved.path, verdict);
    }

    /// A sentence about an object without the secrets that are put into it.
    fn without_secrets(&self, moved: &Moved, sentence: String) -> String {
        self.tools.secrets.hide(self.leaning.secrets_of(&moved.path), sentence)
    }

    /// Lists a problem at a place of its own, or takes the one away that was there.
    fn note(&mut self, place: &str, verdict: Result<(), Problem>) {
        let known = self.problems.get(place.as_bytes());
        match verdict {
            Err(problem) if known.is_some_and(|known| **known == problem) => {}
            Err(problem) => {
                let Problem { key, revision, reason } = &problem;
                tracing::warn!(key, revision, reason, "an object can't be used as it is written");
                self.problems.set(Slot::Exact, place.as_bytes(), Arc::new(problem));
            }
            Ok(()) if known.is_some() => self.problems.clear(Slot::Exact, place.as_bytes()),
            Ok(()) => {}
        }
    }
}

/// Lets a map go that has become much too large for what is in it.
fn shrink<K: Hash + Eq, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 1024 && map.len() < map.capacity() / 8 {
        map.shrink_to(2 * map.len());
    }
}

#[cfg(test)]
mod tests;
