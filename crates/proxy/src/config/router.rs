//! Which route a request takes (data plane contract, section 3).
//!
//! All routes of one path, or of one path prefix, stand together in the order in which they are tried. In the mode that looks at the host first, each
//! host pattern has an index of paths of its own, and routes without a host another one, which is asked last.

mod condition;
mod parameters;
mod path;
mod rule;

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;
use usher_model::variables::Variables;
use usher_pipeline::exchange::{Exchange, RouteFacts};

use super::route::Route;
use super::tree::{Slot, Tree};
use crate::options::RouterMode;

pub(super) use condition::Conditions;
use condition::HostPattern;
pub(crate) use condition::filter;
use path::{PathPattern, Shape};
use rule::Methods;
pub(super) use rule::{Rule, hosts_of};

/// What a request asks for, as routes look at it.
pub(crate) struct Asked<'a> {
    /// The host: lower case, no port.
    pub(crate) host: &'a str,
    /// The canonical path, without query.
    pub(crate) path: &'a str,
    /// The method.
    pub(crate) method: &'a str,
    /// The client's address.
    pub(crate) client: IpAddr,
    /// For conditions over variables.
    pub(crate) variables: &'a dyn Variables,
    /// What is known of the body.
    pub(crate) body: BodyWord,
    /// Set where the answer hangs on the body, which has to be read first; what was found then is no route.
    pub(crate) wanted: Cell<bool>,
}

impl<'a> Asked<'a> {
    /// What a request asks for, with this path.
    pub(crate) fn of(exchange: &'a Exchange, path: &'a str, body: BodyWord) -> Self {
        Self {
            host: exchange.request.host(),
            path,
            method: exchange.request.method(),
            client: exchange.client.ip(),
            variables: exchange,
            body,
            wanted: Cell::new(false),
        }
    }
}

/// Whether variables of the body can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyWord {
    /// It hasn't been read.
    Unread,
    /// It was read as far as it ever will be.
    Read,
}

/// The index of all routes that are served. Cheap to clone; a change copies only what leads to it.
#[derive(Clone)]
pub(super) struct Router {
    mode: RouterMode,
    /// By host pattern, read backwards so that wildcards are prefixes.
    hosts: Tree<Paths>,
    /// The routes that take any host, and in the modes that look at the path first all routes.
    anywhere: Paths,
}

type Paths = Tree<Candidates>;

/// The routes of one path or prefix, in the order in which they are tried. Changing one copies this list, so that an edit costs as much more as
/// other routes have the very same host and path.
#[derive(Clone, Default)]
struct Candidates(Vec<Candidate>);

/// One path pattern of one route. As large as a cache line, with everything that most routes are judged by.
#[derive(Clone)]
pub(crate) struct Candidate {
    /// The route.
    pub(crate) route: Arc<Route>,
    /// What is said of the route by those who came this way: with this very path pattern, as written, and host.
    pub(crate) facts: Arc<RouteFacts>,
    methods: Methods,
    /// For patterns with a wildcard in the middle: the whole path has to fit it.
    shape: Option<Arc<Shape>>,
    conditions: Option<Arc<Conditions>>,
    priority: i64,
    order: u64,
}

impl Router {
    pub(super) fn new(mode: RouterMode) -> Self {
        Self { mode, hosts: Tree::default(), anywhere: Tree::default() }
    }

    /// The path pattern, and with it the route, that a request takes.
    pub(super) fn take(&self, asked: &Asked<'_>) -> Option<&Candidate> {
        let method = Methods::bit(asked.method);
        self.find(asked, |candidate| candidate.admits(asked, method))
    }

    /// The route that a request takes.
    #[cfg(test)]
    pub(super) fn route(&self, asked: &Asked<'_>) -> Option<&Arc<Route>> {
        self.take(asked).map(|candidate| &candidate.route)
    }

    /// The first candidate that is admitted, asked in the order in which routes are tried.
    pub(super) fn find<'a>(
        &'a self,
        asked: &Asked<'_>,
        mut admits: impl FnMut(&'a Candidate) -> bool,
    ) -> Option<&'a Candidate> {
        let mut within = |paths: &'a Paths| {
            paths.matches(asked.path.as_bytes()).flat_map(|found| &found.0).find(|found| admits(found))
        };
        if !self.hosts.is_empty() {
            let backwards: SmallVec<[u8; 64]> = asked.host.bytes().rev().collect();
            if let Some(found) = self.hosts.matches(&backwards).find_map(&mut within) {
                return Some(found);
            }
        }
        within(&self.anywhere)
    }

    /// Calls for every path pattern of every route.
    pub(super) fn each<'a>(&'a self, see: &mut dyn FnMut(&'a Candidate)) {
        let mut within = |paths: &'a Paths| paths.each(&mut |found| found.0.iter().for_each(&mut *see));
        self.hosts.each(&mut within);
        within(&self.anywhere);
    }

    /// How many nodes its trees have.
    #[cfg(test)]
    pub(super) fn node_count(&self) -> usize {
        let mut nodes = self.hosts.node_count() + self.anywhere.node_count();
        self.hosts.each(&mut |paths| nodes += paths.node_count());
        nodes
    }

    /// Takes up a route. One that was in it before has to be taken out first.
    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        for uri in &route.rule.uris {
            let path = PathPattern::of(uri, self.mode);
            let shape = path.shape.map(Arc::new);
            self.change(&route.rule, path.slot, &path.text, &|found, host| {
                found.get_or_insert_default().insert(Candidate {
                    route: Arc::clone(route),
                    facts: facts_by(&route.facts, uri, host),
                    methods: route.rule.methods,
                    shape: shape.clone(),
                    conditions: route.rule.conditions.clone(),
                    priority: route.rule.priority,
                    order: route.rule.order,
                });
            });
        }
    }

    /// Takes out a route.
    pub(super) fn remove(&mut self, route: &Route) {
        for uri in &route.rule.uris {
            let path = PathPattern::of(uri, self.mode);
            self.change(&route.rule, path.slot, &path.text, &|found, _| {
                let Some(candidates) = found else { return };
                candidates.0.retain(|candidate| candidate.order != route.rule.order);
                if candidates.0.is_empty() {
                    *found = None;
                }
            });
        }
    }

    /// Changes the candidates of one path, for every host that the rule names; for none where hosts are conditions among others.
    fn change(&mut self, rule: &Rule, slot: Slot, path: &str, change: &Change<'_>) {
        if rule.hosts.is_empty() || self.mode != RouterMode::HostUri {
            return self.anywhere.change(slot, path.as_bytes(), |found| change(found, None));
        }
        for name in &rule.hosts {
            let host = HostPattern::of(name);
            let backwards: SmallVec<[u8; 64]> = host.text.bytes().rev().collect();
            self.hosts.change(host.slot, &backwards, |paths| {
                let below = paths.get_or_insert_default();
                below.change(slot, path.as_bytes(), |found| change(found, Some(name)));
                if below.is_empty() {
                    *paths = None;
                }
            });
        }
    }
}

/// A change of the candidates of one path; of the host of this pattern, where there is one.
type Change<'a> = dyn Fn(&mut Option<Candidates>, Option<&Arc<str>>) + 'a;

/// The facts of a route for those who come by this pattern of its path, and of its host where that is told apart. Nearly every route has one of each.
fn facts_by(facts: &Arc<RouteFacts>, uri: &Arc<str>, host: Option<&Arc<str>>) -> Arc<RouteFacts> {
    let host = host.unwrap_or(&facts.host);
    if *uri == facts.uri && *host == facts.host {
        return Arc::clone(facts);
    }
    Arc::new(RouteFacts { uri: Arc::clone(uri), host: Arc::clone(host), ..RouteFacts::clone(facts) })
}

impl Candidates {
    /// Higher priority first, then the longer pattern, then the older route.
    fn insert(&mut self, candidate: Candidate) {
        let rank = |c: &Candidate| (std::cmp::Reverse((c.priority, c.facts.uri.len())), c.order);
        let at = self.0.partition_point(|known| rank(known) <= rank(&candidate));
        if self.0.is_empty() {
            // Most paths have one route; a vector would make room for four.
            self.0.reserve_exact(1);
        }
        self.0.insert(at, candidate);
    }
}

impl Candidate {
    fn admits(&self, asked: &Asked<'_>, method: Methods) -> bool {
        self.methods.admit(method)
            && self.shape.as_ref().is_none_or(|shape| shape.matches(asked.path))
            && self.conditions.as_ref().is_none_or(|conditions| conditions.admit(asked, &self.route.facts.id))
    }

    /// Calls for every part of the path that the pattern names, with the name and the part as it stands in the path.
    pub(crate) fn each_parameter(&self, path: &str, mut see: impl FnMut(&str, &str)) {
        if let Some(shape) = &self.shape {
            shape.each_parameter(path, &mut see);
        }
    }

    /// Why the route isn't taken, in the order in which its conditions are looked at; `None` where it is.
    pub(crate) fn refusal(&self, asked: &Asked<'_>) -> Option<String> {
        if !self.methods.admit(Methods::bit(asked.method)) {
            return Some(format!("method is {}, wanted {}", asked.method, self.methods));
        }
        let refused = self.conditions.as_ref().and_then(|conditions| conditions.refusal(asked));
        refused.or_else(|| self.path_refusal(asked))
    }

    /// Why the path doesn't fit, if it doesn't.
    pub(crate) fn path_refusal(&self, asked: &Asked<'_>) -> Option<String> {
        (!self.pattern().matches(asked.path))
            .then(|| format!("path is {}, wanted {}", asked.path, self.facts.uri))
    }

    /// Why the host doesn't fit, if it doesn't. Looks at the route's own hosts, whatever the mode.
    pub(crate) fn host_refusal(&self, asked: &Asked<'_>) -> Option<String> {
        let hosts = &self.route.rule.hosts;
        condition::host_refusal(hosts.iter().map(|host| &**host), asked)
    }

    /// How many bytes at the beginning of the path the pattern has in common with it.
    pub(crate) fn nearness(&self, path: &str) -> usize {
        self.pattern().text.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count()
    }

    fn pattern(&self) -> PathPattern<'_> {
        // Only a pattern with parameters was read in the mode that knows them; all others are the same in every mode.
        let mode = match self.shape.as_deref() {
            Some(Shape::Parameters(_)) => RouterMode::UriWithParameter,
            _ => RouterMode::Uri,
        };
        PathPattern::of(&self.facts.uri, mode)
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
