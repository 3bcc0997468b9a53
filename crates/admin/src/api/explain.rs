//! `explain`: which way a request would take, asked of the very index that serves requests. Nothing is sent.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_model::live::{RouteName, Sketch};

use super::answer::Answer;
use super::curl::{self, Described};
use super::endpoint::{Call, Nothing};
use super::refusal::Refusal;

/// A request: described, or as a command line of curl.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainRequest {
    /// A command line of curl. Instead of all the others but `client`.
    #[serde(default)]
    curl: Option<String>,
    /// The method. Default `GET`.
    #[serde(default)]
    method: Option<String>,
    /// The `Host` header. Default none.
    #[serde(default)]
    host: Option<String>,
    /// Path and query, such as `/speaker/1?x=y`.
    #[serde(default)]
    target: Option<String>,
    /// Further headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The client's address. Default loopback.
    #[serde(default)]
    client: Option<IpAddr>,
}

/// Which way a request would take.
#[derive(Serialize, JsonSchema)]
pub(super) struct Explained {
    /// The request as it was understood.
    request: Understood,
    /// What was passed by.
    notes: Vec<String>,
    /// The route that takes it.
    route: Option<RouteShape>,
    /// Routes that came near, and why each didn't take it; nearest first, at most ten.
    passed_over: Vec<PassedOverShape>,
    /// The plugins that would run, in order, global rules first.
    plugins: Vec<PluginShape>,
    /// Where it would be sent.
    upstream: Option<UpstreamShape>,
    /// What the gateway would answer by itself.
    answer: Option<String>,
}

/// A request as it was understood.
#[derive(Serialize, JsonSchema)]
struct Understood {
    /// The method.
    method: String,
    /// The `Host` header.
    host: String,
    /// Path and query.
    target: String,
    /// The names of further headers; values may be secrets.
    headers: Vec<String>,
    /// The client's address.
    client: String,
}

/// A route.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RouteName")]
struct RouteShape {
    /// Its id.
    id: String,
    /// Its name.
    name: Option<String>,
    /// The path pattern that matched, or that came near.
    uri: String,
}

/// A route that was not taken.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PassedOver")]
struct PassedOverShape {
    /// The route.
    route: RouteShape,
    /// The condition that failed, with what was wanted and what was there.
    because: String,
}

/// A plugin.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PluginRun")]
struct PluginShape {
    /// Its name.
    name: String,
    /// The phases that it runs in.
    phases: Vec<String>,
}

/// An upstream.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UpstreamName")]
struct UpstreamShape {
    /// Its id; nothing where it is written inside a route or service.
    id: Option<String>,
    /// Its nodes.
    nodes: Vec<NodeShape>,
    /// The node whose turn it is.
    next: Option<String>,
}

/// A node.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Node")]
struct NodeShape {
    /// `host:port`.
    address: String,
    /// Its weight.
    weight: u32,
}

/// `POST /explain`.
pub(super) async fn explain(
    call: Call,
    _: Nothing,
    request: ExplainRequest,
) -> Result<Answer<Explained>, Refusal> {
    let client = request.client;
    let described = described(request)?;
    let names = described.headers.iter().map(|(name, _)| name.clone()).collect();
    let request = Understood {
        method: described.method.clone(),
        host: described.host.clone(),
        target: described.target.clone(),
        headers: names,
        client: client.map_or_else(|| "127.0.0.1".to_owned(), |client| client.to_string()),
    };
    let Described { method, host, target, headers, notes } = described;
    let sketch = Sketch { method, host, target, headers, client };
    let seen = call.service.explain(&call.who, &sketch).await?;
    let shape = |route: RouteName| RouteShape { id: route.id, name: route.name, uri: route.uri };
    Ok(Answer::ok(Explained {
        request,
        notes,
        route: seen.route.map(shape),
        passed_over: seen
            .passed_over
            .into_iter()
            .map(|passed| PassedOverShape { route: shape(passed.route), because: passed.because })
            .collect(),
        plugins: seen.plugins.iter().map(|plugin| PluginShape::of(plugin)).collect(),
        upstream: seen.upstream.map(|upstream| UpstreamShape {
            id: upstream.id,
            nodes: upstream
                .nodes
                .into_iter()
                .map(|(address, weight)| NodeShape { address, weight })
                .collect(),
            next: upstream.next,
        }),
        answer: seen.answer,
    }))
}

fn described(request: ExplainRequest) -> Result<Described, Refusal> {
    let ExplainRequest { curl, method, host, target, headers, .. } = request;
    if let Some(command) = curl {
        if method.is_some() || host.is_some() || target.is_some() || !headers.is_empty() {
            return Err(Refusal::invalid(
                "a command line of curl says method, host, target and headers itself",
            )
            .at("/curl")
            .next("leave the others out"));
        }
        return curl::read(&command);
    }
    let target = target.filter(|target| target.starts_with('/')).ok_or_else(|| {
        Refusal::invalid("the target has to begin with /")
            .at("/target")
            .next("write path and query, such as /speaker/1?x=y; the host has its own member")
    })?;
    Ok(Described {
        method: method.unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase(),
        host: host.unwrap_or_default(),
        target,
        headers: headers.into_iter().collect(),
        notes: Vec::new(),
    })
}

impl PluginShape {
    /// From `name (phase, phase)`.
    fn of(text: &str) -> Self {
        let (name, phases) = text.split_once(" (").unwrap_or((text, ""));
        let phases = phases.trim_end_matches(')').split(", ").filter(|phase| !phase.is_empty());
        Self { name: name.to_owned(), phases: phases.map(str::to_owned).collect() }
    }
}
