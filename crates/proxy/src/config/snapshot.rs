//! The configuration at one revision.

use std::sync::Arc;

use usher_model::live::Problem;
use usher_pipeline::compile::Pipeline;
use usher_pipeline::consumer::{Consumer, Found};

use super::people::People;
use super::router::{Candidate, Router};
use super::ssl::{self, Ssl};
use super::stream::{AskedStream, StreamRoute, StreamRoutes};
use super::tree::Tree;
use super::{Asked, Upstream};

/// The configuration at one revision: immutable, and cheap to derive from its predecessor.
pub(crate) struct Snapshot {
    pub(super) revision: u64,
    pub(super) router: Router,
    pub(super) upstreams: Tree<Arc<Upstream>>,
    /// By name; a name with a wildcard stands there as it is written.
    pub(super) ssls: Tree<Arc<Ssl>>,
    /// Whether any of them asks for client certificates.
    pub(super) mutual: bool,
    pub(super) streams: StreamRoutes,
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

    /// The path pattern, and with it the route, that a request takes. Allocates nothing as long as no more than eight nested path prefixes match.
    pub(crate) fn take(&self, asked: &Asked<'_>) -> Option<&Candidate> {
        self.router.take(asked)
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

    /// The stream route that a connection takes.
    pub(crate) fn stream_route(&self, asked: &AskedStream<'_>) -> Option<&Arc<StreamRoute>> {
        self.streams.find(asked)
    }

    /// The `ssl` object for a name: its own, then the one for all names of one label more, then the one for every name.
    pub(crate) fn ssl(&self, name: &str) -> Option<&Arc<Ssl>> {
        if self.ssls.is_empty() {
            return None;
        }
        let name = ssl::canonical(name);
        self.ssls
            .get(name.as_bytes())
            // A client can't ask for a name with a star, so that nothing but a wildcard is found here.
            .or_else(|| self.ssls.get(format!("*.{}", name.split_once('.')?.1).as_bytes()))
            .or_else(|| self.ssls.get(b"*"))
    }

    /// Whether any `ssl` object asks for client certificates.
    pub(crate) const fn is_any_mutual(&self) -> bool {
        self.mutual
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
