//! `gateway_requests`: the last requests one by one, each with what became of it and why. Paths and hosts are what clients wrote, and fenced as such.

use std::collections::HashMap;

use serde_json::{Value, json};
use usher_model::kind::{Key, Kind};
use usher_model::live::{Recent, RecentFilter, RecentRequest};

use super::arguments::Arguments;
use super::refusal::Refusal;
use super::text::{clean, untrusted};
use super::traffic::status;
use super::{Answer, Call, MOST_ITEMS};

/// Characters of a path or host that are shown.
const SHOWN: usize = 100;
/// Requests in one answer unless asked otherwise.
const USUAL: usize = 10;
/// Requests that are looked through for somebody with a scope.
const LOOKED: usize = 1_000;

impl Call<'_> {
    pub(super) async fn requests(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let limit = arguments.limit(USUAL)?;
        let bounded = !self.who.scope.is_all();
        let filter = RecentFilter {
            limit: if bounded { LOOKED } else { limit },
            route: self.route_id(arguments).await?,
            status: status(arguments)?,
            consumer: arguments.text_or_null("consumer").map(str::to_owned),
            path: arguments.text_or_null("path").map(str::to_owned),
            ..RecentFilter::default()
        };
        let Recent { requests: mut found, since_ms, .. } = self.service.live().recent(&filter);
        if bounded {
            found = self.within(found).await?;
        }
        found.drain(..found.len().saturating_sub(limit.min(MOST_ITEMS)));
        if found.is_empty() {
            let text = format!(
                "none of the last requests fits, which are remembered since this gateway's start at {}; gateway_traffic looks further back",
                super::history::when(since_ms)
            );
            return Ok(Answer { text, structured: json!({ "requests": [] }) });
        }
        let lines: Vec<String> = found.iter().map(line).collect();
        let requests: Vec<Value> = found.iter().map(shape).collect();
        let text = untrusted("requests of clients", &lines.join("\n"), usize::MAX);
        Ok(Answer { text, structured: json!({ "requests": requests }) })
    }

    /// Those whose route lies in the scope of who asks.
    async fn within(&self, found: Vec<RecentRequest>) -> Result<Vec<RecentRequest>, Refusal> {
        let mut known: HashMap<String, bool> = HashMap::new();
        let mut kept = Vec::new();
        for request in found {
            let Some(route) = request.route.clone() else { continue };
            let sees = match known.get(&route) {
                Some(sees) => *sees,
                None => {
                    let sees = self.stored(&Key::new(Kind::Route, route.as_str())).await?.is_some();
                    known.insert(route, sees);
                    sees
                }
            };
            if sees {
                kept.push(request);
            }
        }
        Ok(kept)
    }
}

fn line(request: &RecentRequest) -> String {
    let mut line = format!(
        "{} {} {} {}{} {:.1} ms from {}",
        super::history::when(request.at_ms),
        request.status,
        clean(&request.method, 20),
        clean(&request.host, SHOWN),
        clean(&request.path, SHOWN),
        request.took_ms,
        request.client
    );
    match &request.route {
        Some(route) => line.push_str(&format!(" route {}", clean(route, SHOWN))),
        None => line.push_str(" no route"),
    }
    for (word, name) in [("consumer", &request.consumer), ("node", &request.node)] {
        if let Some(name) = name {
            line.push_str(&format!(" {word} {}", clean(name, SHOWN)));
        }
    }
    if let Some(plugin) = request.plugin {
        line.push_str(&format!(" answered by {plugin}"));
    }
    if let (Some(cause), Some(who)) = (request.cause, request.failed_by) {
        line.push_str(&format!(" {who} failed: {cause}"));
    }
    line
}

fn shape(request: &RecentRequest) -> Value {
    json!({
        "at_ms": request.at_ms, "status": request.status, "method": clean(&request.method, 20),
        "host": clean(&request.host, SHOWN), "path": clean(&request.path, SHOWN), "client": request.client,
        "route": request.route, "consumer": request.consumer, "node": request.node, "plugin": request.plugin,
        "cause": request.cause, "failed_by": request.failed_by, "took_ms": request.took_ms,
    })
}
