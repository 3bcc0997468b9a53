//! Sentences that are understood, by subject: what `help` says, what is offered when one isn't understood, and the list in `docs/chat.md`.

/// Sentences about one subject.
pub(crate) struct Group {
    /// The subject.
    pub(crate) about: &'static str,
    /// The usual ones first.
    pub(crate) sentences: &'static [&'static str],
}

/// Every subject, the usual ones first.
pub(crate) const EXAMPLES: [Group; 10] = [
    Group {
        about: "Look",
        sentences: &[
            "show all routes",
            "list upstreams",
            "show route speaker",
            "show the route for /speaker/*",
            "which routes need a key?",
            "which routes have a limit?",
            "which routes go to the conference API?",
            "which routes are disabled?",
            "show routes for /speaker",
            "show routes with label env=test",
            "show consumers",
            "list the credentials of jack",
            "show plugin configs",
            "show global rules",
            "get upstream conference-api",
            "how is the gateway?",
            "which routes are the busiest?",
        ],
    },
    Group {
        about: "Create a route",
        sentences: &[
            "create a route for GET /speaker/* to the conference API, ten requests a minute per client",
            "put http://127.0.0.1:3000 behind /api/*, five requests a second per client",
            "forward /orders/* to http://127.0.0.1:3000 and http://127.0.0.1:3001 weight 2",
            "create a route called talks for GET and POST /session/* on host api.example.com to upstream conference-api",
            "create a route for /topic/* to the conference API with key auth and cors",
            "expose the conference API at /conf/*, strip the prefix",
            "create a route for /v1/* to http://127.0.0.1:3000, rewrite /v1/* to /*",
            "create a route for /admin/* to http://127.0.0.1:3000, allow only 10.0.0.0/8 and 127.0.0.1",
            "create a route for /live to http://127.0.0.1:3000 with websocket, priority 10 and a timeout of 5 seconds",
            "create a route for /pay/* in service payments with label env=test",
            "redirect /old/* to /new/* permanently",
            "redirect http to https on /secure/*",
        ],
    },
    Group {
        about: "Create other objects",
        sentences: &[
            "create an upstream called orders with nodes http://127.0.0.1:3000 and http://127.0.0.1:3001",
            "create a service users to upstream conference-api with request ids",
            "create a consumer jack with key s3cret",
            "create a consumer mobile-app with key \"a longer key\" and 1,000 requests a day",
            "create a credential phone for jack with key 0therKey",
            "create a plugin config strict with key auth and 10 requests a minute per consumer",
            "create a global rule with metrics",
            "create route raw {\"uri\": \"/raw\", \"upstream_id\": \"conference-api\"}",
        ],
    },
    Group {
        about: "Limits, keys and other plugins",
        sentences: &[
            "add a limit of 5 requests a second to route speaker",
            "limit route speaker to 100 requests an hour per consumer",
            "change the limit of route speaker to 100/h",
            "remove the limit from route speaker",
            "require a key on /topic/*",
            "protect route speaker with key auth",
            "enable cors for https://app.example.com on route speaker",
            "allow only 10.0.0.0/8 on route speaker",
            "deny 203.0.113.7 for everything",
            "add request ids to everything",
            "add metrics to all routes",
            "add a limit of 1000 requests a minute in total to service users",
            "add plugin proxy-cache {\"cache_strategy\": \"memory\", \"cache_zone\": \"memory_cache\"} to route speaker",
            "remove key auth from /topic/*",
        ],
    },
    Group {
        about: "Change",
        sentences: &[
            "update route speaker with host api.example.com and priority 5",
            "add host b.example.com to route speaker",
            "remove host b.example.com from route speaker",
            "add method POST to route speaker",
            "change the path of route speaker to /speakers/*",
            "point route speaker to http://127.0.0.1:3001",
            "change the upstream of route speaker to conference-api",
            "strip /api on route speaker",
            "rename route speaker to talks",
            "disable route speaker",
            "enable route speaker",
            "take route speaker out of service",
            "add node http://127.0.0.1:3002 weight 2 to upstream orders",
            "set the weight of node 127.0.0.1:3001 in upstream orders to 3",
            "remove node 127.0.0.1:3001 from upstream orders",
            "change the key of consumer jack to an0ther",
            "add a limit of 5 per second to it",
        ],
    },
    Group {
        about: "Delete",
        sentences: &[
            "delete route speaker",
            "delete upstream orders",
            "remove the consumer jack",
            "delete credential phone of jack",
            "delete the route for /old/*",
            "delete route a and b",
            "delete it",
        ],
    },
    Group {
        about: "Take back",
        sentences: &[
            "undo that",
            "undo",
            "undo revision 5",
            "what changed?",
            "who changed route speaker?",
            "show the last 5 changes",
        ],
    },
    Group {
        about: "Ask why",
        sentences: &[
            "explain GET /speaker/1",
            "explain GET /speaker/1 for host a.example.com from 10.0.0.1",
            "why does GET /x answer 404?",
            "why do I get 429 on /speaker/1?",
            "which route takes /speaker/1?",
            "send GET /speaker/1",
            "probe /speaker/1 with header apikey s3cret",
            "GET /speaker/1",
        ],
    },
    Group {
        about: "What was served",
        sentences: &[
            "who gets 401s in the last hour, and why?",
            "what is slow?",
            "which routes are slow, p95 per route, the last 24 hours against the day before?",
            "which backends are down, and what depends on them?",
            "which routes have errors in the last 10 minutes?",
            "show the traffic by consumer in the last 24 hours",
            "show the traffic of route speaker in the last 7 days compared to the week before",
            "show the last 20 requests of route speaker",
            "show the last failed requests",
            "what changed since friday, and did errors rise after it?",
        ],
    },
    Group {
        about: "Help",
        sentences: &["help", "show plugins", "help limit-count", "what does key-auth do?"],
    },
];

/// The most usual sentences.
pub(crate) fn first(count: usize) -> Vec<String> {
    let usual = EXAMPLES.iter().filter_map(|group| group.sentences.first());
    usual.take(count).map(|sentence| (*sentence).to_owned()).collect()
}

/// All of them, for `help`.
pub(crate) fn all() -> String {
    let mut text = String::from("I understand sentences such as these; names, paths and numbers are yours.");
    for group in &EXAMPLES {
        text.push_str(&format!("\n\n{}", group.about));
        for sentence in group.sentences {
            text.push_str(&format!("\n  {sentence}"));
        }
    }
    text.push_str("\n\nA change is planned and shown first; you are asked before anything is applied.");
    text
}
