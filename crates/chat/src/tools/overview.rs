//! `gateway_overview`: where things stand, in one call.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use usher_model::kind::{Key, Kind};

use super::refusal::Refusal;
use super::text::clean;
use super::traffic::{gateways_shape, gateways_told};
use super::{Answer, Call};

/// Busiest routes, and problems, that are named.
const NAMED: usize = 5;

impl Call<'_> {
    pub(super) async fn overview(&self) -> Result<Answer, Refusal> {
        let mut counts = Map::new();
        // What somebody with a scope sees: all else isn't told of.
        let mut seen = (!self.who.scope.is_all()).then(HashSet::new);
        for kind in Kind::ALL {
            let all = self.all(kind).await?;
            counts.insert(kind.schema_name().to_owned(), all.len().into());
            if let Some(seen) = &mut seen {
                seen.extend(all.into_iter().map(|stored| stored.key.path()));
            }
        }
        let sees = |path: &str| seen.as_ref().is_none_or(|seen| seen.contains(path));
        let live = self.service.live();
        let listeners: Vec<String> = live.listeners().iter().map(ToString::to_string).collect();
        let mut problems = self.service.problems();
        problems.retain(|problem| sees(&problem.key));
        let mut busiest = live.traffic(if seen.is_some() { usize::MAX } else { NAMED });
        busiest.retain(|row| sees(&Key::new(Kind::Route, row.route.as_str()).path()));
        busiest.truncate(NAMED);
        let revision = self.service.revision();
        let mut text = format!("Usher {}, revision {revision}", env!("CARGO_PKG_VERSION"));
        if live.revision() < revision {
            text.push_str(&format!(" (revision {} in force)", live.revision()));
        }
        text.push_str(&format!(
            "\nlisteners: {}",
            if listeners.is_empty() { "none".to_owned() } else { listeners.join(", ") }
        ));
        let counted: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        text.push_str(&format!("\nobjects: {}", counted.join(", ")));
        for problem in problems.iter().take(NAMED) {
            text.push_str(&format!(
                "\nproblem: {}: {}",
                clean(&problem.key, 100),
                clean(&problem.reason, 300)
            ));
        }
        if problems.len() > NAMED {
            text.push_str(&format!("\n{} more problems", problems.len() - NAMED));
        }
        let health = live.health();
        let unwell = health.iter().filter(|upstream| sees(&upstream.name)).flat_map(|upstream| {
            upstream.nodes.iter().filter(|node| !node.is_up()).map(move |node| (upstream, node))
        });
        for (upstream, node) in unwell.take(NAMED) {
            text.push_str(&format!(
                "\nunhealthy node: {}:{} of {}",
                clean(&node.ip, 100),
                node.port,
                clean(&upstream.name, 100)
            ));
        }
        for row in &busiest {
            let [_, _, _, client, server] = row.by_class;
            let route = if row.route.is_empty() { "no route".to_owned() } else { clean(&row.route, 100) };
            text.push_str(&format!(
                "\n{route}: {} requests, {client} answered 4xx, {server} 5xx",
                row.requests
            ));
        }
        let gateways = self.service.gateways().await;
        if let Some(gateways) = &gateways {
            text.push_str(&format!(
                "\nrequests above are of this gateway alone; those of gateway_traffic are {}",
                gateways_told(gateways)
            ));
        }
        let problems: Vec<Value> = problems
            .iter()
            .take(NAMED)
            .map(|problem| json!({ "key": clean(&problem.key, 100), "reason": clean(&problem.reason, 300) }))
            .collect();
        let mut structured = json!({
            "version": env!("CARGO_PKG_VERSION"), "revision": revision, "listeners": listeners, "counts": counts,
            "problems": problems, "busiest": busiest,
        });
        if let (Some(gateways), Some(members)) = (&gateways, structured.as_object_mut()) {
            members.insert("gateways".to_owned(), gateways_shape(gateways));
        }
        Ok(Answer { text, structured })
    }
}
