//! `consumer-restriction` admits or refuses by who calls: the consumer, its group, or the service or route that is called.
//!
//! It runs after authentication. A request that nobody authenticated is refused, whatever the lists say.
//!
//! Example: `{"whitelist": ["jack"], "rejected_msg": "only jack may"}`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_pipeline::env::Env;
use usher_pipeline::exchange::Exchange;
use usher_pipeline::plugin::{BuildError, Flow, Hook, Phases, Plugin};
use usher_pipeline::reply::{FixedReply, Reply};
use usher_pipeline::spec::Spec;

use crate::schema::{any_of_required, status};

/// `consumer-restriction`.
pub(crate) static PLUGIN: Spec = Spec::of::<ConsumerRestriction>();

/// Admits or refuses by who calls; at least one of the three lists has to be there.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = any_of_required(&[&["blacklist"], &["whitelist"], &["allowed_by_methods"]]))]
struct Config {
    /// What the lists name: consumers, consumer groups, services or routes.
    #[serde(default, rename = "type")]
    kind: Kind,
    /// Those that may not come.
    #[schemars(length(min = 1))]
    blacklist: Option<Vec<String>>,
    /// Those that may come; all others may not.
    #[schemars(length(min = 1))]
    whitelist: Option<Vec<String>>,
    /// Those that may come with some methods only. Whoever isn't named here, or stands in the whitelist, is not bound by it.
    allowed_by_methods: Option<Vec<Methods>>,
    /// The status of a refusal, 200 to 599.
    #[serde(default = "status::<403>")]
    #[schemars(range(min = 200, max = 599))]
    rejected_code: u16,
    /// What a refused client reads; by default that it is forbidden.
    rejected_msg: Option<String>,
}

/// What the lists name.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    ConsumerName,
    ConsumerGroupId,
    ServiceId,
    RouteId,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::ConsumerName => "consumer_name",
            Self::ConsumerGroupId => "consumer_group_id",
            Self::ServiceId => "service_id",
            Self::RouteId => "route_id",
        }
    }

    fn of(self, exchange: &Exchange) -> Option<&str> {
        let route = exchange.route.as_deref();
        let found = match self {
            Self::ConsumerName => exchange.consumer().map(|consumer| &*consumer.name),
            Self::ConsumerGroupId => exchange.consumer().and_then(|consumer| consumer.group_id.as_deref()),
            Self::ServiceId => route.map(|route| &*route.service_id),
            Self::RouteId => route.map(|route| &*route.id),
        };
        found.filter(|found| !found.is_empty())
    }
}

/// The methods with which somebody may come.
#[derive(Deserialize, JsonSchema)]
struct Methods {
    /// Whose methods these are.
    user: Option<String>,
    /// The methods.
    #[schemars(length(min = 1))]
    methods: Option<Vec<Method>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Post,
    Put,
    Delete,
    Patch,
    Head,
    Options,
    Connect,
    Trace,
    Purge,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Purge => "PURGE",
        }
    }
}

struct ConsumerRestriction {
    kind: Kind,
    blacklist: Vec<String>,
    whitelist: Option<Vec<String>>,
    by_methods: Vec<(String, Vec<Method>)>,
    unknown: FixedReply,
    forbidden: FixedReply,
}

impl Plugin for ConsumerRestriction {
    const NAME: &'static str = "consumer-restriction";
    const PRIORITY: i32 = 2400;
    const PHASES: Phases<Self> = Phases { access: Some(Hook::Now(Self::restrict)), ..Phases::NONE };
    type Config = Config;

    fn build(config: Config, _: &Env<'_>) -> Result<Self, BuildError> {
        let what = config.kind.name();
        let unknown = format!("The request is rejected, please check the {what} for this request");
        let forbidden = config.rejected_msg.unwrap_or_else(|| format!("The {what} is forbidden."));
        let sorted = |mut list: Vec<String>| {
            list.sort_unstable();
            list
        };
        let by_methods = config.allowed_by_methods.unwrap_or_default().into_iter();
        let by_methods =
            by_methods.filter_map(|entry| Some((entry.user?, entry.methods.unwrap_or_default())));
        Ok(Self {
            kind: config.kind,
            blacklist: sorted(config.blacklist.unwrap_or_default()),
            whitelist: config.whitelist.map(sorted),
            by_methods: by_methods.collect(),
            unknown: Reply::message(401, &unknown).fixed(),
            forbidden: Reply::message(config.rejected_code, &forbidden).fixed(),
        })
    }
}

impl ConsumerRestriction {
    fn restrict(&self, exchange: &mut Exchange) -> Flow {
        match self.kind.of(exchange) {
            None => self.unknown.reply().into(),
            Some(who) if self.admits(who, exchange.request.method()) => Flow::Continue,
            Some(_) => self.forbidden.reply().into(),
        }
    }

    fn admits(&self, who: &str, method: &str) -> bool {
        if holds(&self.blacklist, who) {
            return false;
        }
        if let Some(whitelist) = &self.whitelist {
            return holds(whitelist, who);
        }
        let bound = self.by_methods.iter().find(|(user, _)| user == who);
        bound.is_none_or(|(_, methods)| methods.iter().any(|allowed| allowed.name() == method))
    }
}

fn holds(sorted: &[String], who: &str) -> bool {
    sorted.binary_search_by(|listed| listed.as_str().cmp(who)).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use usher_pipeline::harness::{Harness, try_harness, try_harness_of};

    use super::PLUGIN;
    use crate::key_auth;

    fn bench(body: Value) -> Harness {
        let bodies = Map::from_iter([
            ("key-auth".to_owned(), json!({ "_meta": { "filter": [["arg_open", "~=", "1"]] } })),
            ("consumer-restriction".to_owned(), body),
        ]);
        let bench = try_harness_of(&[&key_auth::PLUGIN, &PLUGIN], bodies).unwrap();
        let bench = bench.consumer("jack", "key-auth", &json!({ "key": "jack" }), Map::new());
        bench.consumer_of_group("rose", "key-auth", &json!({ "key": "rose" }), "gold")
    }

    fn status(bench: &mut Harness, method: &str, key: &str) -> u16 {
        bench.send(method, "/", &[("apikey", key)], "").status()
    }

    #[test]
    fn consumers_are_judged_by_lists_and_methods() {
        let only_get = json!([{ "user": "jack", "methods": ["GET"] }]);
        for (body, jack_get, jack_post, rose) in [
            (json!({ "whitelist": ["jack"] }), 200, 200, 403),
            (json!({ "blacklist": ["jack"] }), 403, 403, 200),
            (json!({ "allowed_by_methods": only_get }), 200, 403, 200),
            (json!({ "whitelist": ["jack"], "allowed_by_methods": only_get }), 200, 200, 403),
            (json!({ "blacklist": ["jack"], "whitelist": ["jack", "rose"] }), 403, 403, 200),
            (json!({ "blacklist": ["rose"], "allowed_by_methods": only_get }), 200, 403, 403),
            (json!({ "type": "consumer_group_id", "whitelist": ["gold"] }), 401, 401, 200),
            (json!({ "type": "consumer_group_id", "blacklist": ["gold"] }), 401, 401, 403),
            (json!({ "type": "route_id", "whitelist": ["1"] }), 200, 200, 200),
            (json!({ "type": "route_id", "blacklist": ["1"] }), 403, 403, 403),
            (json!({ "type": "service_id", "whitelist": ["1"] }), 401, 401, 401),
        ] {
            let mut bench = bench(body.clone());
            let found = ["GET", "POST"].map(|method| status(&mut bench, method, "jack"));
            assert_eq!(
                (found[0], found[1], status(&mut bench, "GET", "rose")),
                (jack_get, jack_post, rose),
                "{body}"
            );
        }
    }

    #[test]
    fn whoever_is_nobody_is_told_so_and_the_refused_read_the_message() {
        let mut open = bench(json!({ "blacklist": ["jack"] }));
        let outcome = open.get("/?open=1");
        outcome.expect_status(401);
        let text =
            "{\"message\":\"The request is rejected, please check the consumer_name for this request\"}\n";
        assert_eq!(outcome.text(), text);
        let outcome = open.send("GET", "/", &[("apikey", "jack")], "");
        assert_eq!(outcome.text(), "{\"message\":\"The consumer_name is forbidden.\"}\n");
        let told = json!({ "blacklist": ["jack"], "rejected_code": 401, "rejected_msg": "no" });
        let outcome = bench(told).send("GET", "/", &[("apikey", "jack")], "");
        outcome.expect_status(401);
        assert_eq!(outcome.text(), "{\"message\":\"no\"}\n");
    }

    #[test]
    fn bodies_that_restrict_nothing_are_refused() {
        for body in [
            json!({}),
            json!({ "whitelist": [] }),
            json!({ "type": "user", "whitelist": ["a"] }),
            json!({ "allowed_by_methods": [{ "user": "a", "methods": ["FETCH"] }] }),
        ] {
            assert!(try_harness(&PLUGIN, body.clone()).is_err(), "{body}");
        }
    }
}
