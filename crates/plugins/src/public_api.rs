//! `public-api` serves a plugin's own URL, such as the metrics, through an ordinary route, with the route's other plugins in front of it.
//!
//! Example: `{"uri": "/apisix/prometheus/metrics"}`

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use usher_pipeline::env::{Env, Process};
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Called, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::Reply;
use usher_pipeline::spec::{Answers, Endpoint, Serve, Spec};

/// `public-api`.
pub(crate) static PLUGIN: Spec = Spec::of::<PublicApi>().reads_metadata_of(&["batch-requests"]);

/// Serves a plugin's own URL through an ordinary route.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The plugin's URL, such as `/apisix/prometheus/metrics`; the request's own path by default. What is no such URL is answered 404.
    uri: Option<String>,
}

struct PublicApi {
    uri: Option<String>,
    places: Vec<Place>,
    process: Process,
}

/// A URL, and who answers there.
struct Place {
    uri: String,
    endpoint: &'static Endpoint,
    server: Server,
}

enum Server {
    Now(fn(&Process) -> Reply),
    Built(Box<dyn Serve>),
}

impl Plugin for PublicApi {
    const NAME: &'static str = "public-api";
    const PRIORITY: i32 = 501;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Either(Self::serve)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, env: &Env<'_>) -> Result<Self, BuildError> {
        let mut places = Vec::new();
        let registry = env.registry();
        let on = registry.list().iter().filter(|spec| registry.for_requests(spec.name).is_some());
        for spec in on {
            for endpoint in spec.endpoints {
                let server = match endpoint.answer {
                    Answers::Now(answer) => Server::Now(answer),
                    Answers::Built(build) => Server::Built(build(&env.on_behalf_of(spec.name))?),
                };
                let attributes = endpoint.moved_by.zip(env.process().attribute(spec.name));
                let moved = attributes.and_then(|(member, attributes)| attributes.get(member)?.as_str());
                places.push(Place { uri: moved.unwrap_or(endpoint.uri).to_owned(), endpoint, server });
            }
        }
        Ok(Self { uri: config.uri, places, process: env.process().clone() })
    }
}

impl PublicApi {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> Called<'a> {
        let uri = self.uri.as_deref().unwrap_or_else(|| exchange.request.path());
        let method = exchange.request.method();
        let found = self.places.iter().find(|place| {
            let known = place.endpoint;
            place.uri == uri
                && known.methods.iter().any(|takes| *takes == method || *takes == "GET" && method == "HEAD")
        });
        match found.map(|place| &place.server) {
            Some(Server::Now(answer)) => Called::Now(answer(&self.process).into()),
            Some(Server::Built(server)) => {
                Called::Later(server.serve(exchange).map(Flow::from).boxed_local())
            }
            None => Called::Now(Reply::new(404).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, try_harness_of, try_harness_with};

    use super::PLUGIN;

    fn bench(body: Value) -> Harness {
        let bodies = Map::from_iter([("public-api".to_owned(), body)]);
        try_harness_of(&[&PLUGIN, &crate::prometheus::PLUGIN], bodies).unwrap()
    }

    #[test]
    fn serves_what_plugins_have_to_say_and_nothing_else() {
        let mut metrics = bench(json!({ "uri": "/apisix/prometheus/metrics" }));
        let outcome = metrics.get("/metrics-for-me");
        assert!(outcome.expect_status(200).text().contains("apisix_http_requests_total"));
        assert!(outcome.upstream.is_none());
        for (body, method, target, status) in [
            (json!({}), "GET", "/apisix/prometheus/metrics", 200),
            (json!({}), "GET", "/apisix/prometheus/metrics?x=1", 200),
            (json!({}), "HEAD", "/apisix/prometheus/metrics", 200),
            (json!({}), "POST", "/apisix/prometheus/metrics", 404),
            (json!({}), "GET", "/apisix/prometheus", 404),
            (json!({ "uri": "/apisix/admin/routes" }), "GET", "/apisix/prometheus/metrics", 404),
        ] {
            bench(body).send(method, target, &[], "").expect_status(status);
        }
    }

    #[test]
    fn a_url_is_where_the_settings_of_its_plugin_put_it() {
        let bodies = Map::from_iter([("public-api".to_owned(), json!({}))]);
        let settings = Map::from_iter([("batch-requests".to_owned(), json!({ "uri": "/api/batch" }))]);
        let mut bench =
            try_harness_with(&[&PLUGIN, &crate::batch_requests::PLUGIN], bodies, settings).unwrap();
        for (target, status) in [("/api/batch", 400), ("/apisix/batch-requests", 404)] {
            bench.send("POST", target, &[], "").expect_status(status);
        }
        let bodies = Map::from_iter([("public-api".to_owned(), json!({}))]);
        let settings = Map::from_iter([("prometheus".to_owned(), json!({ "export_uri": "/metrics" }))]);
        let mut bench = try_harness_with(&[&PLUGIN, &crate::prometheus::PLUGIN], bodies, settings).unwrap();
        for (target, status) in [("/metrics", 200), ("/apisix/prometheus/metrics", 404)] {
            bench.get(target).expect_status(status);
        }
    }
}
