//! `gateway_health`: which nodes are down, what hangs on them, and which upstreams failed requests lately, whether anybody checks them or not.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use usher_admin::service::{Gateways, Stored};
use usher_model::kind::{Key, Kind};
use usher_model::live::{NodeHealth, UpstreamHealth};
use usher_model::traffic::{Ask, By, Only};

use super::history::{now, when};
use super::refusal::Refusal;
use super::text::clean;
use super::traffic::gateways_told;
use super::{Answer, Call, MOST_ITEMS};

/// How far back failures are looked for, in seconds.
const LATELY: u64 = 600;
/// How many requests failed, by route and cause.
type Failing = Vec<((String, String), u64)>;

/// Routes that are named of those that hang on one upstream.
const NAMED: usize = 10;

impl Call<'_> {
    pub(super) async fn health(&self) -> Result<Answer, Refusal> {
        let checked = self.service.live().health();
        let routes = self.all(Kind::Route).await?;
        let services = self.all(Kind::Service).await?;
        let mut lines = Vec::new();
        let mut down = Vec::new();
        for upstream in &checked {
            let Some(key) = Key::parse(&upstream.name) else { continue };
            if !self.who.scope.is_all() && self.stored(&key).await?.is_none() {
                continue;
            }
            let hanging = hanging(&key, &routes, &services);
            for node in upstream.nodes.iter().filter(|node| !node.is_up()) {
                if down.len() < MOST_ITEMS {
                    lines.push(told(upstream, &key, node, &hanging));
                    down.push(shape(upstream, &key, node, &hanging));
                }
            }
        }
        let nodes: usize = checked.iter().map(|upstream| upstream.nodes.len()).sum();
        if down.is_empty() {
            lines
                .push(format!("no node is down of {nodes} that are checked, in {} upstreams", checked.len()));
        }
        let (failing, gateways) = self.failing().await?;
        for ((route, cause), count) in failing.iter().take(MOST_ITEMS) {
            let route =
                if route.is_empty() { "no route".to_owned() } else { format!("route {}", clean(route, 100)) };
            lines.push(format!(
                "{route}: {count} requests failed by {cause} in the last {} minutes",
                LATELY / 60
            ));
        }
        let failing: Vec<Value> = failing
            .iter()
            .take(MOST_ITEMS)
            .map(|((route, cause), count)| json!({ "route": clean(route, 100), "cause": cause, "requests": count }))
            .collect();
        if failing.is_empty() {
            lines.push(format!("no request failed at an upstream in the last {} minutes", LATELY / 60));
        }
        if let Some(gateways) = gateways.filter(|gateways| !gateways.missing.is_empty()) {
            lines.push(format!(
                "failed requests are {}; nodes as this gateway sees them",
                gateways_told(&gateways)
            ));
        }
        let unchecked = self.unchecked(&checked).await?;
        if unchecked > 0 {
            lines.push(format!("{unchecked} upstreams have no health checks, or were not used yet: only their failures are known"));
        }
        let structured =
            json!({ "down": down, "failing": failing, "checked": nodes, "unchecked_upstreams": unchecked });
        Ok(Answer { text: lines.join("\n"), structured })
    }

    /// Requests that upstreams failed lately, by route and cause, the most first.
    async fn failing(&self) -> Result<(Failing, Option<Gateways>), Refusal> {
        let to = now() + 1;
        let ask = Ask {
            from: to - LATELY,
            to,
            by: vec![By::Route, By::Cause],
            only: Only { status: Some((500, 599)), ..Only::default() },
            limit: 100,
            ..Ask::default()
        };
        let found = self.service.traffic(self.who, ask, None).await.map_err(|error| self.refuse(error))?;
        let rows = found.traffic.rows.into_iter().filter_map(|row| {
            let total = row.total.requests;
            let [route, cause] = <[String; 2]>::try_from(row.key).ok()?;
            let cause = if cause.is_empty() { "the upstream's own 5xx".to_owned() } else { cause };
            Some(((route, cause), total))
        });
        Ok((rows.collect(), found.gateways))
    }

    /// How many upstreams nobody checks.
    async fn unchecked(&self, checked: &[UpstreamHealth]) -> Result<usize, Refusal> {
        let all = self.all(Kind::Upstream).await?;
        Ok(all.iter().filter(|stored| !checked.iter().any(|known| known.name == stored.key.path())).count())
    }
}

/// The routes that send requests to what is written in this object: an upstream, a service, or the route itself.
fn hanging(key: &Key, routes: &[Stored], services: &[Stored]) -> Vec<String> {
    let names = |value: &Value, member: &str, id: &str| value.get(member).and_then(Value::as_str) == Some(id);
    let split = |value: &Value| {
        let rules = value.pointer("/plugins/traffic-split/rules").and_then(Value::as_array);
        let targets = rules
            .into_iter()
            .flatten()
            .filter_map(|rule| rule.get("weighted_upstreams")?.as_array())
            .flatten();
        targets.into_iter().any(|target| key.kind == Kind::Upstream && names(target, "upstream_id", &key.id))
    };
    let through: BTreeMap<&str, ()> = services
        .iter()
        .filter(|service| match key.kind {
            Kind::Upstream => names(&service.value, "upstream_id", &key.id) || split(&service.value),
            Kind::Service => service.key == *key,
            _ => false,
        })
        .map(|service| (service.key.id.as_str(), ()))
        .collect();
    let own = |value: &Value| value.get("upstream").is_some() || value.get("upstream_id").is_some();
    routes
        .iter()
        .filter(|route| {
            let service = route.value.get("service_id").and_then(Value::as_str);
            let by_service = service.is_some_and(|id| through.contains_key(id)) && !own(&route.value);
            let direct = match key.kind {
                Kind::Upstream => names(&route.value, "upstream_id", &key.id),
                Kind::Route => route.key == *key,
                _ => false,
            };
            direct || by_service || split(&route.value)
        })
        .map(|route| route.key.id.clone())
        .collect()
}

/// Since when a node is down, and what showed it.
fn since<'a>(upstream: &'a UpstreamHealth, node: &NodeHealth) -> Option<(u64, &'a str)> {
    let is = |name: &str| {
        name == format!("{}:{}", node.ip, node.port) || name == format!("{}:{}", node.hostname, node.port)
    };
    let change = upstream.changes.iter().find(|change| change.status == "unhealthy" && is(&change.node))?;
    Some((change.unix_ms, change.because.as_str()))
}

fn told(upstream: &UpstreamHealth, key: &Key, node: &NodeHealth, hanging: &[String]) -> String {
    let since = since(upstream, node)
        .map(|(at, because)| format!(" since {} ({})", when(at), clean(because, 200)))
        .unwrap_or_default();
    let shown: Vec<String> = hanging.iter().take(NAMED).map(|id| clean(id, 100)).collect();
    let more = hanging.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let hanging = match shown.as_slice() {
        [] => "no route hangs on it".to_owned(),
        shown => format!("routes that hang on it: {}{more}", shown.join(", ")),
    };
    let up = upstream.nodes.iter().filter(|node| node.is_up()).count();
    let left = if up == 0 { "no other node is up".to_owned() } else { format!("{up} other nodes are up") };
    format!("down: {}:{} of {key}{since}; {left}; {hanging}", clean(&node.ip, 100), node.port)
}

fn shape(upstream: &UpstreamHealth, key: &Key, node: &NodeHealth, hanging: &[String]) -> Value {
    let since = since(upstream, node);
    json!({
        "node": format!("{}:{}", clean(&node.ip, 100), node.port), "kind": key.kind.schema_name(), "id": key.id,
        "since_ms": since.map(|(at, _)| at), "because": since.map(|(_, because)| clean(because, 200)),
        "up": upstream.nodes.iter().filter(|node| node.is_up()).count(),
        "routes": hanging.iter().take(MOST_ITEMS).collect::<Vec<_>>(), "routes_total": hanging.len(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use usher_admin::service::Stored;
    use usher_model::kind::{Key, Kind};

    use super::hanging;

    fn stored(kind: Kind, id: &str, value: Value) -> Stored {
        Stored { key: Key::new(kind, id), value, created: 1, modified: 1, ends_unix_ms: None }
    }

    #[test]
    fn routes_hang_on_an_upstream_directly_by_a_service_or_by_a_split() {
        let routes = [
            stored(Kind::Route, "direct", json!({ "upstream_id": "u" })),
            stored(Kind::Route, "by-service", json!({ "service_id": "s" })),
            stored(Kind::Route, "own", json!({ "service_id": "s", "upstream": { "nodes": {} } })),
            stored(
                Kind::Route,
                "split",
                json!({ "upstream_id": "v", "plugins": { "traffic-split": { "rules": [{ "weighted_upstreams": [{ "upstream_id": "u" }] }] } } }),
            ),
            stored(Kind::Route, "other", json!({ "upstream_id": "v" })),
        ];
        let services = [stored(Kind::Service, "s", json!({ "upstream_id": "u" }))];
        let found = |kind, id: &str| hanging(&Key::new(kind, id), &routes, &services);
        assert_eq!(found(Kind::Upstream, "u"), ["direct", "by-service", "split"]);
        assert_eq!(found(Kind::Service, "s"), ["by-service"]);
        assert_eq!(found(Kind::Route, "own"), ["own"]);
    }
}
