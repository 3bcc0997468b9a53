//! Where the next snapshot is made: everything that is known of the store's objects, and which of them lean on which.
//!
//! Owned by the follower alone, so nothing here is locked. What a change touches is built anew; an object that can't be built stays as it was,
//! and is listed as a problem until a good version or its deletion comes. A route that never could be built, or whose service or plugin config is
//! gone, keeps its place and refuses its requests.

mod crowd;
mod leaning;
mod refusal;
mod routes;
mod services;
mod tools;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
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
use crowd::Crowd;
use routes::Routes;
use services::Bases;
pub(super) use tools::Tools;

/// The workshop.
pub(super) struct Workshop {
    tools: Tools,
    traffic: Arc<AllTraffic>,
    /// The revision of every object of the store that is known here, good or not.
    known: HashMap<Arc<str>, Revision>,
    router: Router,
    upstreams: Tree<Arc<Upstream>>,
    people: People,
    crowd: Crowd,
    bases: Bases,
    routes: Routes,
    global_rules: BTreeMap<Arc<str>, Arc<GlobalRule>>,
    global_rules_in_order: Arc<[Arc<GlobalRule>]>,
    problems: Tree<Arc<Problem>>,
    /// Objects built or tried to since the start.
    built: u64,
}

/// What happened to one object.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    /// Its key as the store spells it.
    path: Arc<str>,
    /// The same, read.
    key: Key,
    /// What is there now, and the revision that brought it; `None` where it was deleted.
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
            upstreams: Tree::default(),
            people: People::default(),
            crowd: Crowd::default(),
            bases: Bases::default(),
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
            self.known.insert(Arc::clone(&entry.key), entry.modified);
            if before != Some(entry.modified) {
                moved.extend(Moved::new(&entry.key, Some(entry)));
            }
        }
        moved.extend(gone.keys().filter_map(|path| Moved::new(path, None)));
        self.take_up(moved, listing.revision)
    }

    /// Builds what moved, first what others lean on, then what leans on it, each once.
    fn take_up(&mut self, moved: Vec<Moved>, revision: Revision) -> Snapshot {
        let mut people = Vec::new();
        let mut routes = Vec::new();
        let mut leaning = BTreeSet::new();
        for moved in moved {
            match &moved.now {
                Some((_, modified)) => self.known.insert(Arc::clone(&moved.path), *modified),
                None => self.known.remove(&moved.path),
            };
            match moved.key.kind {
                Kind::Upstream => self.move_upstream(&moved),
                Kind::GlobalRule => self.move_global_rule(&moved),
                Kind::Service | Kind::PluginConfig => {
                    leaning.extend(self.routes.leaning_on(&moved.key));
                    self.move_base(&moved);
                }
                Kind::Consumer | Kind::Credential => people.push(moved),
                Kind::Route => routes.push(moved),
            }
        }
        self.move_people(people);
        for moved in routes {
            leaning.remove(moved.key.id.as_str());
            self.move_route(&moved);
        }
        for id in leaning {
            self.rebuild_route(&id, revision);
        }
        self.snapshot(revision)
    }

    fn snapshot(&self, revision: Revision) -> Snapshot {
        Snapshot {
            revision,
            router: self.router.clone(),
            upstreams: self.upstreams.clone(),
            people: self.people.clone(),
            global_rules: Arc::clone(&self.global_rules_in_order),
            problems: self.problems.clone(),
        }
    }

    fn move_upstream(&mut self, moved: &Moved) {
        let id = moved.key.id.as_bytes();
        let Some((bytes, _)) = &moved.now else {
            self.upstreams.clear(Slot::Exact, id);
            return self.settle(moved, Ok(()));
        };
        let built = self.tools.guard(|tools| {
            let value = tools.read(moved, bytes)?;
            tools.upstream(moved.key.id.as_str(), &value)
        });
        let verdict = built.map(|upstream| self.upstreams.set(Slot::Exact, id, Arc::new(upstream)));
        self.settle(moved, verdict);
    }

    fn move_global_rule(&mut self, moved: &Moved) {
        let id: Arc<str> = moved.key.id.as_str().into();
        let verdict = match &moved.now {
            None => {
                self.global_rules.remove(&id);
                Ok(())
            }
            Some((bytes, _)) => {
                let built = self.tools.guard(|tools| {
                    let plugins = resource::Plugins::from_value(&tools.read(moved, bytes)?);
                    let plugins = plugins.map_err(|error| error.to_string())?.plugins;
                    Ok(GlobalRule { pipeline: tools.compile(moved, &plugins)? })
                });
                built.map(|rule| drop(self.global_rules.insert(id, Arc::new(rule))))
            }
        };
        self.global_rules_in_order = self.global_rules.values().cloned().collect();
        self.settle(moved, verdict);
    }

    /// Notes how taking up an object went: its problem is listed, or gone.
    fn settle(&mut self, moved: &Moved, verdict: Result<(), String>) {
        if moved.now.is_some() {
            self.built += 1;
        }
        let revision = moved.now.as_ref().map_or(0, |(_, revision)| *revision);
        self.note(&moved.path, revision, verdict);
    }

    fn note(&mut self, path: &str, revision: Revision, verdict: Result<(), String>) {
        match verdict {
            Err(reason) => {
                let problem = Problem { key: path.to_owned(), revision, reason };
                if self.problems.get(path.as_bytes()).is_some_and(|known| **known == problem) {
                    return;
                }
                tracing::warn!(key = path, revision, reason = problem.reason, "an object can't be used");
                self.problems.set(Slot::Exact, path.as_bytes(), Arc::new(problem));
            }
            Ok(()) if self.problems.get(path.as_bytes()).is_some() => {
                self.problems.clear(Slot::Exact, path.as_bytes());
            }
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests;
