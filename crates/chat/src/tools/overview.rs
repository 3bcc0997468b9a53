//! `gateway_overview`: where things stand, in one call.

use serde_json::{Map, Value, json};
use usher_model::kind::Kind;

use super::refusal::Refusal;
use super::text::clean;
use super::{Answer, Call};

/// Busiest routes, and problems, that are named.
const NAMED: usize = 5;

impl Call<'_> {
    pub(super) async fn overview(&self) -> Result<Answer, Refusal> {
        let mut counts = Map::new();
        for kind in Kind::ALL {
            counts.insert(kind.schema_name().to_owned(), self.all(kind).await?.len().into());
        }
        let live = self.service.live();
        let listeners: Vec<String> = live.listeners().iter().map(ToString::to_string).collect();
        let problems = self.service.problems();
        let busiest = live.traffic(NAMED);
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
        let unwell = health.iter().flat_map(|upstream| {
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
        let problems: Vec<Value> = problems
            .iter()
            .take(NAMED)
            .map(|problem| json!({ "key": clean(&problem.key, 100), "reason": clean(&problem.reason, 300) }))
            .collect();
        let structured = json!({
            "version": env!("CARGO_PKG_VERSION"), "revision": revision, "listeners": listeners, "counts": counts,
            "problems": problems, "busiest": busiest,
        });
        Ok(Answer { text, structured })
    }
}
