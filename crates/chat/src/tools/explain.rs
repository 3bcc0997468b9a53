//! `gateway_explain_request`: which way a request would take, asked of the running proxy. Nothing is sent.

use serde_json::{Value, json};
use usher_admin::service::Stored;
use usher_model::kind::Kind;
use usher_model::live::{Explanation, PassedOver, RouteName, Sketch};

use super::arguments::Arguments;
use super::line::name_of;
use super::refusal::Refusal;
use super::shorten::{MOST_JSON, shorten};
use super::text::{clean, clean_value};
use super::{Answer, Call, MOST_ITEMS};

/// Routes that are compared with a path nobody takes, and those that are named.
const MOST_ROUTES: usize = 10_000;
const MOST_LIKE: usize = 5;

impl Call<'_> {
    pub(super) async fn explain(&self, arguments: &Arguments) -> Result<Answer, Refusal> {
        let sketch = sketch(arguments)?;
        let found = self.service.explain(self.who, &sketch).await;
        let mut explanation = found.map_err(|error| self.refuse(error))?;
        if explanation.route.is_none() {
            let path = sketch.target.split('?').next().unwrap_or_default();
            let routes = self.all(Kind::Route).await?;
            let like = routes.iter().take(MOST_ROUTES).filter_map(|route| like(route, path));
            explanation.passed_over.extend(like.take(MOST_LIKE));
        }
        let mut structured = clean_value(&json!(explanation));
        shorten(&mut structured, MOST_JSON);
        Ok(Answer { text: sentences(&explanation), structured })
    }
}

/// A route that would take this path if only its letters were written in the other case.
fn like(route: &Stored, path: &str) -> Option<PassedOver> {
    let texts = |name: &str| route.value.get(name).and_then(Value::as_array).into_iter().flatten();
    let uri =
        route.value.get("uri").into_iter().chain(texts("uris")).filter_map(Value::as_str).find(|uri| {
            let takes = |uri: &str, path: &str| match uri.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == uri,
            };
            !takes(uri, path) && takes(&uri.to_lowercase(), &path.to_lowercase())
        })?;
    let name = RouteName {
        id: route.key.id.clone(),
        name: name_of(&route.value).map(str::to_owned),
        uri: uri.to_owned(),
    };
    let because = format!("only the case of letters differs: the path is {path}, wanted {uri}");
    Some(PassedOver { route: name, because })
}

/// The request that the arguments `method`, `path`, `host`, `headers` and `client` describe.
pub(super) fn sketch(arguments: &Arguments) -> Result<Sketch, Refusal> {
    let target = arguments.text("path");
    if !target.starts_with('/') {
        return Err(Refusal::new(format!("the path is {:?}", clean(target, 100)))
            .at("/path")
            .allowed("a path that begins with /, with a query if wanted; the host has its own argument"));
    }
    let client = arguments.text_or_null("client").map(|text| {
        text.parse().map_err(|_| {
            Refusal::new(format!("{:?} is no IP address", clean(text, 64)))
                .at("/client")
                .allowed("an IP address, or null for loopback")
        })
    });
    Ok(Sketch {
        method: arguments.text("method").to_ascii_uppercase(),
        host: arguments.text_or_null("host").unwrap_or_default().to_owned(),
        target: target.to_owned(),
        headers: arguments
            .headers()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        client: client.transpose()?,
    })
}

/// A route as people call it.
pub(super) fn named(route: &RouteName) -> String {
    let name = route.name.as_deref().map(|name| format!(" ({})", clean(name, 100))).unwrap_or_default();
    format!("{}{name}", clean(&route.id, 100))
}

fn sentences(explanation: &Explanation) -> String {
    let mut lines = Vec::new();
    match &explanation.route {
        Some(route) => lines.push(format!("route {} takes it by {}", named(route), clean(&route.uri, 200))),
        None => lines.push("no route takes it".to_owned()),
    }
    if !explanation.plugins.is_empty() {
        let plugins: Vec<String> = explanation.plugins.iter().map(|plugin| clean(plugin, 100)).collect();
        lines.push(format!("plugins: {}", plugins.join(", ")));
    }
    if let Some(upstream) = &explanation.upstream {
        let id = upstream.id.as_deref().map_or_else(|| "in place".to_owned(), |id| clean(id, 100));
        let shown = upstream.nodes.iter().take(MOST_ITEMS);
        let mut nodes: Vec<String> =
            shown.map(|(node, weight)| format!("{} weight {weight}", clean(node, 100))).collect();
        if upstream.nodes.len() > MOST_ITEMS {
            nodes.push(format!("{} more", upstream.nodes.len() - MOST_ITEMS));
        }
        lines.push(format!("upstream {id}: {}", nodes.join(", ")));
    }
    if let Some(answer) = &explanation.answer {
        lines.push(format!("the gateway answers {}", clean(answer, 200)));
    }
    for passed in &explanation.passed_over {
        lines.push(format!("not {}: {}", named(&passed.route), clean(&passed.because, 300)));
    }
    lines.join("\n")
}
