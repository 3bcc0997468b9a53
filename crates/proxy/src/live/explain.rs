//! Why a request takes the route it takes: asked of the very index that serves requests.

use std::cmp::Reverse;
use std::time::Instant;

use usher_model::live::{Explanation, PassedOver, RouteName, Sketch, UpstreamName};
use usher_pipeline::compile::Pipeline;
use usher_pipeline::exchange::Exchange;

use super::sketch;
use crate::config::{Asked, Candidate, Fleet, Origin, Pick, Refused, Snapshot};
use crate::options::PathRules;

/// Routes passed over that are told of at most.
const MOST_PASSED_OVER: usize = 10;

/// What would become of this request.
pub(super) fn explain(snapshot: &Snapshot, request: &Sketch, paths: PathRules) -> Explanation {
    let exchange = match sketch::exchange(request, paths) {
        Ok(exchange) => exchange,
        Err(reason) => {
            let answer = Some(format!("400 Bad Request: {reason}"));
            return Explanation { answer, ..Explanation::default() };
        }
    };
    let asked = sketch::asked(&exchange);
    let mut passed = Passed::default();
    let found = snapshot.find_route(&asked, |candidate| match candidate.refusal(&asked) {
        Some(reason) => {
            passed.note(candidate, reason);
            false
        }
        None => true,
    });
    let rules = snapshot.global_rules().iter().flat_map(|rule| plugins(&rule.pipeline));
    let mut explanation = Explanation { plugins: rules.collect(), ..Explanation::default() };
    match found {
        Some(candidate) => {
            explanation.route = Some(name(candidate));
            match &candidate.route.refused {
                Some(refused) => explanation.answer = Some(refusal(refused)),
                None => {
                    explanation.plugins.extend(plugins(&candidate.route.pipeline));
                    let (upstream, answer) = destination(snapshot, &candidate.route.upstream, &exchange);
                    (explanation.upstream, explanation.answer) = (upstream, answer);
                }
            }
        }
        None => {
            explanation.answer = Some("404 Route Not Found".to_owned());
            near_misses(snapshot, &asked, &mut passed);
        }
    }
    explanation.passed_over = passed.rows;
    explanation
}

/// Routes that were passed over, each once, nearest first.
#[derive(Default)]
struct Passed {
    rows: Vec<PassedOver>,
}

impl Passed {
    fn note(&mut self, candidate: &Candidate, because: String) {
        if !self.is_full() && !self.knows(candidate) {
            self.rows.push(PassedOver { route: name(candidate), because });
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= MOST_PASSED_OVER
    }

    fn knows(&self, candidate: &Candidate) -> bool {
        self.rows.iter().any(|row| row.route.id == *candidate.route.facts.id)
    }
}

/// Adds the routes that the index had no reason to look at: those of another host, then those whose path begins like the request's.
fn near_misses(snapshot: &Snapshot, asked: &Asked<'_>, passed: &mut Passed) {
    let mut near = Vec::new();
    snapshot.each_route(&mut |candidate| {
        let fits = candidate.path_refusal(asked).is_none();
        let common = candidate.nearness(asked.path);
        // All paths have the first slash in common.
        if fits || common > 1 {
            near.push((Reverse((fits, common)), &candidate.route.facts.id, candidate));
        }
    });
    near.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    for (_, _, candidate) in near {
        if passed.is_full() {
            return;
        }
        let reason = candidate.path_refusal(asked).or_else(|| candidate.host_refusal(asked));
        if let Some(reason) = reason {
            passed.note(candidate, reason);
        }
    }
}

fn name(candidate: &Candidate) -> RouteName {
    let facts = &candidate.facts;
    RouteName {
        id: facts.id.to_string(),
        name: (!facts.name.is_empty()).then(|| facts.name.to_string()),
        uri: facts.uri.to_string(),
    }
}

/// Each `name (phases)`.
fn plugins(pipeline: &Pipeline) -> impl Iterator<Item = String> {
    pipeline.specs().map(|spec| format!("{} ({})", spec.name, spec.phases.names().join(", ")))
}

/// What a route answers that can't be served.
fn refusal(refused: &Refused) -> String {
    let Refused { status, reason } = refused;
    let phrase = if *status == 404 { "Not Found" } else { "Service Temporarily Unavailable" };
    format!("{status} {phrase}: the route can't be served: {reason}")
}

/// Where a request goes, or what the gateway answers by itself.
fn destination(
    snapshot: &Snapshot,
    origin: &Origin,
    exchange: &Exchange,
) -> (Option<UpstreamName>, Option<String>) {
    let (id, upstream) = match origin {
        Origin::None => {
            let answer =
                "503 Service Temporarily Unavailable: the route has no upstream, so only a plugin can answer";
            return (None, Some(answer.to_owned()));
        }
        Origin::Own(upstream) => (None, upstream),
        Origin::Id(id) => match snapshot.upstream(id) {
            Some(upstream) => (Some(id.to_string()), upstream),
            None => return (None, Some(format!("502 Bad Gateway: the upstream {id} does not exist"))),
        },
    };
    let fleet = upstream.fleet();
    let answer = (fleet.tries(None) == 0).then(|| {
        let what = if upstream.spec.discovery_type.is_some() {
            "no node of the upstream was discovered"
        } else {
            "no node of the upstream has a weight above 0"
        };
        format!("503 Service Temporarily Unavailable: {what}")
    });
    let nodes = nodes(&fleet);
    let pick = Pick { place: upstream.place(exchange), tried: &[], now: Instant::now() };
    let next = fleet.next(&pick).and_then(|index| nodes.get(index)).map(|(address, _)| address.clone());
    (Some(UpstreamName { id, nodes, next }), answer)
}

fn nodes(fleet: &Fleet) -> Vec<(String, u32)> {
    let node = |node: &usher_model::resource::Node| {
        let port = fleet.port(node);
        let address = if node.host.contains(':') {
            format!("[{}]:{port}", node.host)
        } else {
            format!("{}:{port}", node.host)
        };
        (address, node.weight)
    };
    fleet.nodes().iter().map(node).collect()
}
