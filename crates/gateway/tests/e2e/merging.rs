//! Which object's word counts: every rule of how routes, services, plugin configs, consumers, groups and global rules are merged, one row each.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Origin, Usher};

/// The rule; the objects that are written for it; requests, each with what is seen of it.
type Row =
    (&'static str, Vec<(&'static str, Value)>, Vec<(&'static [(&'static str, &'static str)], &'static str)>);

/// The status, the origin, the fields `X-T-...` that it saw, and those of the answer.
fn seen(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mut text = answer.status.to_string();
    if let Some(origin) = body["origin"].as_str() {
        text += &format!(" {origin}");
    }
    let marks = |head: &str| {
        let mut marks: Vec<String> = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
            .filter_map(|(name, value)| Some(format!("{}={value}", name.strip_prefix("x-t-")?)))
            .collect();
        marks.sort();
        marks.join(" ")
    };
    for (arrow, head) in [(">", body["head"].as_str().unwrap_or_default()), ("<", &answer.head)] {
        let marks = marks(head);
        if !marks.is_empty() {
            text += &format!(" {arrow} {marks}");
        }
    }
    text
}

/// A plugin that marks what the origin sees, in its rewrite phase.
fn up(fields: &[(&str, &str)]) -> Value {
    let set: Value = fields
        .iter()
        .map(|(name, value)| (format!("X-T-{name}"), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({ "headers": { "set": set } })
}

/// One that marks the answer.
fn down(fields: &[(&str, &str)]) -> Value {
    up(fields)
}

fn rows(a: &Origin, b: &Origin) -> Vec<Row> {
    let (to_a, to_b) = (a.upstream(), b.upstream());
    let key = |key: &str| json!({ "key-auth": { "key": key } });
    let with = |mut plugins: Value, name: &str, body: Value| {
        plugins[name] = body;
        plugins
    };
    let jack: &[(&str, &str)] = &[("apikey", "jacks")];
    vec![
        (
            "a plugin config adds what the route lacks, and never mixes with its bodies",
            vec![
                (
                    "/plugin_configs/p",
                    json!({ "plugins": {
                    "proxy-rewrite": up(&[("A", "config"), ("B", "config")]), "response-rewrite": down(&[("C", "config")]),
                } }),
                ),
                (
                    "/routes/r",
                    json!({ "plugin_config_id": "p", "upstream": to_a, "plugins": { "proxy-rewrite": up(&[("A", "route")]) } }),
                ),
            ],
            vec![(&[], "200 a > a=route < c=config")],
        ),
        (
            "a route's plugin takes the place of its plugin config's, and that one's of its service's",
            vec![
                (
                    "/services/s",
                    json!({ "upstream": to_a, "plugins": {
                    "proxy-rewrite": up(&[("A", "service")]), "response-rewrite": down(&[("A", "service")]),
                } }),
                ),
                ("/plugin_configs/p", json!({ "plugins": { "proxy-rewrite": up(&[("A", "config")]) } })),
                ("/routes/r", json!({ "service_id": "s", "plugin_config_id": "p" })),
            ],
            vec![(&[], "200 a > a=config < a=service")],
        ),
        (
            "what a route disables is off although its service has it",
            vec![
                (
                    "/services/s",
                    json!({ "upstream": to_a, "plugins": {
                    "proxy-rewrite": up(&[("A", "service")]), "response-rewrite": down(&[("A", "service")]),
                } }),
                ),
                (
                    "/routes/r",
                    json!({ "service_id": "s", "plugins": { "proxy-rewrite": { "_meta": { "disable": true } } } }),
                ),
            ],
            vec![(&[], "200 a < a=service")],
        ),
        (
            "an upstream_id counts more than an upstream written beside it",
            vec![
                ("/upstreams/u", to_b.clone()),
                ("/routes/r", json!({ "upstream_id": "u", "upstream": to_a })),
            ],
            vec![(&[], "200 b")],
        ),
        (
            "a route's upstream counts more than its service's, by whatever name",
            vec![
                ("/upstreams/u", to_b.clone()),
                ("/services/s", json!({ "upstream_id": "u" })),
                ("/routes/r", json!({ "service_id": "s", "upstream": to_a })),
            ],
            vec![(&[], "200 a")],
        ),
        (
            "a route without one takes its service's",
            vec![
                ("/upstreams/u", to_b.clone()),
                ("/services/s", json!({ "upstream_id": "u" })),
                ("/routes/r", json!({ "service_id": "s" })),
            ],
            vec![(&[], "200 b")],
        ),
        (
            "what traffic-split chooses counts more than either",
            vec![
                ("/upstreams/u", to_b.clone()),
                (
                    "/routes/r",
                    json!({ "upstream": to_a, "plugins": { "traffic-split": {
                    "rules": [{ "weighted_upstreams": [{ "upstream_id": "u", "weight": 1 }] }],
                } } }),
                ),
            ],
            vec![(&[], "200 b")],
        ),
        (
            "hosts of a service are its routes', unless a route has its own",
            vec![
                ("/services/s", json!({ "hosts": ["s.test"], "upstream": to_a })),
                ("/routes/r", json!({ "service_id": "s" })),
            ],
            vec![(&[("Host", "s.test")], "200 a"), (&[("Host", "r.test")], "404")],
        ),
        (
            "a route with hosts of its own asks for none of its service's",
            vec![
                ("/services/s", json!({ "hosts": ["s.test"], "upstream": to_a })),
                ("/routes/r", json!({ "service_id": "s", "hosts": ["r.test"] })),
            ],
            vec![(&[("Host", "s.test")], "404"), (&[("Host", "r.test")], "200 a")],
        ),
        (
            "a consumer's plugins lie over its group's, and those over the route's",
            vec![
                (
                    "/consumer_groups/g",
                    json!({ "plugins": { "response-rewrite": down(&[("A", "group")]), "limit-count": { "count": 1000, "time_window": 600 } } }),
                ),
                (
                    "/consumers",
                    json!({ "username": "jack", "group_id": "g", "plugins": with(key("jacks"), "limit-count", json!({ "count": 7, "time_window": 600 })) }),
                ),
                (
                    "/routes/r",
                    json!({ "upstream": to_a, "plugins": {
                    "key-auth": {}, "response-rewrite": down(&[("A", "route"), ("B", "route")]), "proxy-rewrite": up(&[("A", "route")]),
                } }),
                ),
            ],
            vec![(jack, "200 a > a=route < a=group"), (&[], "401 < a=route b=route")],
        ),
        (
            "the rewrite phase of a consumer's plugin doesn't run where the route has one",
            vec![
                (
                    "/consumers",
                    json!({ "username": "jack", "plugins": with(key("jacks"), "proxy-rewrite", up(&[("A", "consumer")])) }),
                ),
                (
                    "/routes/r",
                    json!({ "upstream": to_a, "plugins": { "key-auth": {}, "proxy-rewrite": up(&[("B", "route")]) } }),
                ),
            ],
            vec![(jack, "200 a > b=route")],
        ),
        (
            "and runs where it has none",
            vec![
                (
                    "/consumers",
                    json!({ "username": "jack", "plugins": with(key("jacks"), "proxy-rewrite", up(&[("A", "consumer")])) }),
                ),
                ("/routes/r", json!({ "upstream": to_a, "plugins": { "key-auth": {} } })),
            ],
            vec![(jack, "200 a > a=consumer")],
        ),
        (
            "from the access phase on a consumer's body is the one that counts",
            vec![
                (
                    "/consumers",
                    json!({ "username": "jack", "plugins": with(key("jacks"), "mocking", json!({ "response_status": 207, "response_example": "{}" })) }),
                ),
                (
                    "/routes/r",
                    json!({ "upstream": to_a, "plugins": { "key-auth": {}, "mocking": { "response_status": 208, "response_example": "{}" } } }),
                ),
            ],
            vec![(jack, "207")],
        ),
        (
            "who isn't let in never reaches the access phase, not even that of a global rule",
            vec![
                (
                    "/global_rules/1",
                    json!({ "plugins": { "mocking": { "response_status": 207, "response_example": "{}" } } }),
                ),
                ("/routes/r", json!({ "upstream": to_a, "plugins": { "key-auth": {} } })),
            ],
            vec![(&[], "401")],
        ),
        (
            "global rules are a chain of their own, in front of the route's, and never merged with it",
            vec![
                (
                    "/global_rules/1",
                    json!({ "plugins": { "response-rewrite": down(&[("A", "global"), ("G", "global")]), "proxy-rewrite": up(&[("A", "global"), ("G", "global")]) } }),
                ),
                (
                    "/routes/r",
                    json!({ "upstream": to_a, "plugins": { "response-rewrite": down(&[("A", "route")]), "proxy-rewrite": up(&[("A", "route")]) } }),
                ),
            ],
            vec![(&[], "200 a > a=route g=global < a=route g=global")],
        ),
        (
            "they run for requests that no route takes",
            vec![("/global_rules/1", json!({ "plugins": { "response-rewrite": down(&[("G", "global")]) } }))],
            vec![(&[], "404 < g=global")],
        ),
        (
            "a priority that a body names orders it among the others",
            vec![(
                "/routes/r",
                json!({ "upstream": to_a, "plugins": {
                "mocking": { "response_status": 207, "response_example": "{}", "_meta": { "priority": 1 } },
                "ip-restriction": { "blacklist": ["127.0.0.1"] },
            } }),
            )],
            vec![(&[], "403")],
        ),
        (
            "without it the plugin's own does",
            vec![(
                "/routes/r",
                json!({ "upstream": to_a, "plugins": {
                "mocking": { "response_status": 207, "response_example": "{}" },
                "ip-restriction": { "blacklist": ["127.0.0.1"] },
            } }),
            )],
            vec![(&[], "207")],
        ),
        (
            "a filter decides request by request whether a plugin runs",
            vec![(
                "/routes/r",
                json!({ "upstream": to_a, "plugins": {
                "mocking": { "response_status": 207, "response_example": "{}", "_meta": { "filter": [["http_x_mock", "==", "yes"]] } },
            } }),
            )],
            vec![(&[("X-Mock", "yes")], "207"), (&[], "200 a")],
        ),
        (
            "an error_response takes the place of a refusal's body, whatever its status",
            vec![(
                "/routes/r",
                json!({ "upstream": to_a, "plugins": {
                "key-auth": { "_meta": { "error_response": { "origin": "said-by-meta" } } },
            } }),
            )],
            vec![(&[], "401 said-by-meta")],
        ),
    ]
}

#[test]
fn every_rule_of_merging_holds() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let usher = Usher::start(&[]);
    let mut wrong = Vec::new();
    for (rule, objects, requests) in rows(&a, &b) {
        for (path, object) in &objects {
            let mut object = object.clone();
            if path.starts_with("/routes/") {
                object["uri"] = "/merged".into();
            }
            usher.put(path, &object);
        }
        for (fields, wanted) in requests {
            let found = seen(&usher.get("/merged", fields));
            if found != wanted {
                wrong.push(format!("{rule}: {fields:?} gave {found:?} instead of {wanted:?}"));
            }
        }
        for (path, object) in objects.iter().rev() {
            let path = match object["username"].as_str() {
                Some(name) => format!("{path}/{name}"),
                None => (*path).to_owned(),
            };
            let gone = usher.admin("DELETE", &path, None);
            assert_eq!(gone.status, 200, "{rule}: {path}: {}", gone.text());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_route_s_timeouts_count_more_than_its_upstream_s_and_its_service_s_do_too() {
    let origin = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = origin.local_addr().unwrap();
    std::thread::spawn(move || {
        // Takes connections and never answers.
        let kept: Vec<_> = origin.incoming().flatten().collect();
        drop(kept);
    });
    let usher = Usher::start(&[]);
    let timeouts = |read: f64| json!({ "connect": 5, "send": 5, "read": read });
    let upstream = |read: f64| json!({ "type": "roundrobin", "nodes": { address.to_string(): 1 }, "timeout": timeouts(read), "retries": 0 });
    usher.put("/services/s", &json!({ "upstream": upstream(0.3) }));
    for (route, least, most) in [
        (json!({ "upstream": upstream(0.3) }), 0.3, 5.0),
        (json!({ "upstream": upstream(60.0), "timeout": timeouts(0.3) }), 0.3, 5.0),
        (json!({ "service_id": "s", "timeout": timeouts(1.2) }), 1.2, 10.0),
        (json!({ "service_id": "s" }), 0.3, 5.0),
    ] {
        let mut object = route.clone();
        object["uri"] = "/slow".into();
        usher.put("/routes/r", &object);
        let began = std::time::Instant::now();
        let answer = usher.get("/slow", &[]);
        let took = began.elapsed();
        assert_eq!(answer.status, 504, "{route}");
        let (least, most) = (Duration::from_secs_f64(least), Duration::from_secs_f64(most));
        assert!(took >= least && took < most, "{route} took {took:?}");
    }
}
