//! The configuration at one revision.

use std::sync::Arc;

use usher_model::live::Problem;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::consumer::{Consumer, Found};

use super::people::People;
use super::router::{Candidate, Router};
use super::tree::Tree;
use super::{Asked, Route, Upstream};

/// The configuration at one revision: immutable, and cheap to derive from its predecessor.
pub(crate) struct Snapshot {
    pub(super) revision: u64,
    pub(super) router: Router,
    pub(super) upstreams: Tree<Arc<Upstream>>,
    pub(super) people: People,
    pub(super) global_rules: Arc<[Arc<GlobalRule>]>,
    pub(super) problems: Tree<Arc<Problem>>,
}

/// Plugins that run for every request.
pub(crate) struct GlobalRule {
    /// Its plugins.
    pub(crate) pipeline: Pipeline,
}

impl Snapshot {
    /// The store revision it stands for.
    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    /// The route that a request takes. Allocates nothing as long as no more than eight nested path prefixes match.
    pub(crate) fn route(&self, asked: &Asked<'_>) -> Option<&Arc<Route>> {
        self.router.route(asked)
    }

    /// The first path pattern that is admitted, asked in the order in which routes are tried: for explaining.
    pub(crate) fn find_route<'a>(
        &'a self,
        asked: &Asked<'_>,
        admits: impl FnMut(&'a Candidate) -> bool,
    ) -> Option<&'a Candidate> {
        self.router.find(asked, admits)
    }

    /// Calls for every path pattern of every route that is served.
    pub(crate) fn each_route<'a>(&'a self, see: &mut dyn FnMut(&'a Candidate)) {
        self.router.each(see);
    }

    /// The global rules, in the order of their keys.
    pub(crate) fn global_rules(&self) -> &[Arc<GlobalRule>] {
        &self.global_rules
    }

    /// The upstream object of this id.
    pub(crate) fn upstream(&self, id: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.get(id.as_bytes())
    }

    /// The credential of `plugin` whose unique attribute is `unique`.
    pub(crate) fn credential(&self, plugin: &str, unique: &[u8]) -> Option<Found> {
        self.people.find(plugin, unique)
    }

    /// The consumer of this name.
    pub(crate) fn consumer(&self, name: &str) -> Option<Arc<Consumer>> {
        self.people.consumer(name).cloned()
    }

    /// The objects that couldn't be built, in the order of their keys.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.problems.each(&mut |problem| problems.push(Problem::clone(problem)));
        problems.sort_by(|a, b| a.key.cmp(&b.key));
        problems
    }
}
