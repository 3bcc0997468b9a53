//! Tasks that change something: each is seen by requests through the gateway.

use serde_json::{Value, json};

use super::{Task, change, nothing, plan, probe};
use crate::bench::model::{Reply, Step, apply, call};
use crate::bench::world::{World, holds};

/// One change, applied, and one look.
fn changed(one: Value, look: &str) -> Vec<Step> {
    vec![plan(&[one]), apply(), probe(look)]
}

fn merge(route: &str, body: &Value) -> Value {
    change("merge", "route", route, body)
}

/// How many of so many requests were answered by this version.
fn share(world: &World, path: &str, version: &str, of: usize) -> usize {
    (0..of).filter(|_| world.origin(path, &[]) == version).count()
}

/// A split with these weights for the new version and the old.
fn split(world: &World, new: u32, old: u32) -> Value {
    let upstream = json!({ "type": "roundrobin", "nodes": { world.v2.address.to_string(): 1 } });
    let both = json!([{ "upstream": upstream, "weight": new }, { "weight": old }]);
    json!({ "plugins": { "traffic-split": { "rules": [{ "weighted_upstreams": both }] } } })
}

fn undo() -> Step {
    call("gateway_undo", json!({ "revision": null, "intent": "take it back" }))
}

pub(super) fn tasks() -> Vec<Task> {
    let mut all = first();
    all.extend(second());
    all
}

fn first() -> Vec<Task> {
    vec![
        Task {
            id: "T2",
            said: "Put the conference API behind /talks/* and allow 10 requests a minute per client.",
            limit: 4,
            seed: nothing,
            path: |_| {
                let limit = json!({ "count": 10, "time_window": 60, "rejected_code": 429, "key_type": "var", "key": "remote_addr", "policy": "local" });
                let route = json!({ "uri": "/talks/*", "upstream_id": "conference-api", "plugins": { "limit-count": limit } });
                let create = change("create", "route", "talks", &route);
                vec![
                    call("gateway_plugin_help", json!({ "plugin": "limit-count" })),
                    plan(&[create]),
                    apply(),
                    probe("/talks/1"),
                ]
            },
            check: |world, _| {
                let mut statuses: Vec<String> =
                    (0..11).map(|_| world.status_from("127.0.0.3", "/talks/1")).collect();
                let last = statuses.pop().unwrap_or_default();
                let other = world.status_from("127.0.0.4", "/talks/1");
                holds(
                    statuses.iter().all(|status| status == "200") && last == "429" && other == "200",
                    || format!("{statuses:?} {last} {other}"),
                )
            },
        },
        Task {
            id: "T6",
            said: "Require an API key on everything under /topic.",
            limit: 3,
            seed: |world| {
                world.usher.put("/consumers/tester", &json!({ "username": "tester", "plugins": { "key-auth": { "key": "a-key-of-the-tester" } } }));
            },
            path: |_| changed(merge("topic", &json!({ "plugins": { "key-auth": {} } })), "/topic/1"),
            check: |world, _| {
                let met = [
                    world.get("/topic/1", &[]).status,
                    world.get("/topic/1", &[("apikey", "a-key-of-the-tester")]).status,
                    world.get("/speaker/1", &[]).status,
                ];
                holds(met == [401, 200, 200], || format!("{met:?}"))
            },
        },
        Task {
            id: "T7",
            said: "Move 10 % of traffic on /orders to v2.",
            limit: 4,
            seed: nothing,
            path: |world| changed(merge("orders", &split(world, 10, 90)), "/orders/1"),
            check: |world, _| {
                let share = share(world, "/orders/1", "v2", 300);
                holds((24..=36).contains(&share), || format!("{share} of 300"))
            },
        },
        Task {
            id: "T8",
            said: "It looks good, make it 50 %, then everything.",
            limit: 4,
            seed: nothing,
            path: |world| {
                vec![
                    plan(&[merge("orders", &split(world, 50, 50))]),
                    apply(),
                    plan(&[merge("orders", &split(world, 1, 0))]),
                    apply(),
                ]
            },
            check: |world, _| {
                let share = share(world, "/orders/1", "v2", 20);
                let half = world.own("/history?limit=2")["entries"].as_array().map_or(0, Vec::len);
                holds(share == 20 && half == 2, || format!("{share} of 20, {half} entries"))
            },
        },
        Task {
            id: "T9",
            said: "Undo that.",
            limit: 2,
            seed: nothing,
            path: |_| vec![undo(), apply()],
            check: |world, _| {
                let share = share(world, "/orders/1", "v2", 40);
                holds((16..=24).contains(&share), || format!("{share} of 40, and half was wanted"))
            },
        },
        Task {
            id: "T10",
            said: "Create a client called mobile-app with its own key and 1,000 calls a day.",
            limit: 4,
            seed: nothing,
            path: |_| {
                let quota = json!({ "count": 1000, "time_window": 86400, "key_type": "var", "key": "consumer_name", "policy": "local" });
                let consumer = json!({ "username": "mobile-app", "plugins": { "limit-count": quota } });
                let key = json!({ "plugins": { "key-auth": { "key": "$env://MOBILE_APP_KEY" } } });
                let both = [
                    change("create", "consumer", "mobile-app", &consumer),
                    change("create", "credential", "mobile-app/credentials/first", &key),
                ];
                vec![plan(&both), apply(), probe("/keyed/1")]
            },
            check: |world, results| {
                let answer = world.get("/keyed/1", &[("apikey", crate::support::MOBILE_APP_KEY)]);
                let left = answer.field("x-ratelimit-limit").map(str::to_owned);
                let hidden = !results.join("").contains(crate::support::MOBILE_APP_KEY);
                holds(answer.status == 200 && left.as_deref() == Some("1000") && hidden, || {
                    format!("{} {left:?} {hidden}", answer.status)
                })
            },
        },
        Task {
            id: "T11",
            said: "This is our OpenAPI file, publish it under /shop.",
            limit: 3,
            seed: nothing,
            path: |world| {
                let paths = json!({ "/items": { "get": { "responses": { "200": { "description": "ok" } } } },
                    "/items/{id}": { "get": { "responses": { "200": { "description": "ok" } } }, "put": { "responses": { "200": { "description": "ok" } } } } });
                let document = json!({ "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" }, "servers": [{ "url": format!("http://{}", world.v1.address) }], "paths": paths });
                let import = json!({ "document": document.to_string(), "prefix": "/shop", "server": null, "id": null, "intent": "publish" });
                vec![call("gateway_import_openapi", import), apply(), probe("/shop/items")]
            },
            check: |world, _| {
                let met = [world.get("/shop/items", &[]).status, world.get("/shop/items/7", &[]).status];
                let extra =
                    crate::support::request(world.usher.address("proxy"), "DELETE", "/shop/items", &[], b"")
                        .status;
                holds(met == [200, 200] && matches!(extra, 404 | 405), || format!("{met:?} {extra}"))
            },
        },
        Task {
            id: "T12",
            said: "Cache GET /session/* for 5 minutes.",
            limit: 3,
            seed: nothing,
            path: |_| {
                let cache = json!({ "cache_strategy": "memory", "cache_zone": "memory_cache", "cache_ttl": 300, "cache_method": ["GET"] });
                changed(merge("session", &json!({ "plugins": { "proxy-cache": cache } })), "/session/1")
            },
            check: |world, _| {
                let before = world.v1.seen();
                let met: Vec<String> = (0..2)
                    .map(|_| {
                        world
                            .get("/session/2", &[])
                            .field("apisix-cache-status")
                            .unwrap_or_default()
                            .to_owned()
                    })
                    .collect();
                holds(met == ["MISS", "HIT"] && world.v1.seen() == before + 1, || {
                    format!("{met:?}, {} asked", world.v1.seen() - before)
                })
            },
        },
    ]
}

fn second() -> Vec<Task> {
    vec![
        Task {
            id: "T14",
            said: "Take the second node of two-nodes out of rotation for maintenance.",
            limit: 3,
            seed: nothing,
            path: |world| {
                changed(
                    change(
                        "merge",
                        "upstream",
                        "two-nodes",
                        &json!({ "nodes": { world.v2.address.to_string(): 0 } }),
                    ),
                    "/shared/1",
                )
            },
            check: |world, _| {
                let share = share(world, "/shared/1", "v1", 10);
                holds(share == 10, || format!("{share} of 10"))
            },
        },
        Task {
            id: "T15",
            said: "Only the office network 127.0.0.7/32 may call /admin.",
            limit: 3,
            seed: nothing,
            path: |_| {
                changed(
                    merge(
                        "admin",
                        &json!({ "plugins": { "ip-restriction": { "whitelist": ["127.0.0.7/32"] } } }),
                    ),
                    "/admin/1",
                )
            },
            check: |world, _| {
                let met =
                    [world.status_from("127.0.0.7", "/admin/1"), world.status_from("127.0.0.8", "/admin/1")];
                holds(met == ["200", "403"], || format!("{met:?}"))
            },
        },
        Task {
            id: "T17",
            said: "Expose the GraphQL backend as /graph for REST clients.",
            limit: 5,
            seed: nothing,
            path: |_| {
                let graph = json!({ "degraphql": { "query": "query($id: ID!) { user(id: $id) { name } }", "variables": ["id"] } });
                let route = json!({ "uri": "/graph", "upstream_id": "conference-api", "plugins": graph });
                vec![
                    call("gateway_plugin_help", json!({ "plugin": "degraphql" })),
                    plan(&[change("create", "route", "graph", &route)]),
                    apply(),
                    probe("/graph?id=7"),
                ]
            },
            check: |world, _| {
                let answer = world.get("/graph?id=7", &[]);
                holds(answer.status == 200 && answer.text().contains("user%28id%3A%20%24id%29"), || {
                    format!("{} {}", answer.status, answer.text())
                })
            },
        },
        Task {
            id: "T18",
            said: "Run v1 and v2 of /users side by side, by header.",
            limit: 4,
            seed: nothing,
            path: |world| {
                let upstream = json!({ "type": "roundrobin", "nodes": { world.v2.address.to_string(): 1 } });
                let rule = json!({ "match": [{ "vars": [["http_x_version", "==", "2"]] }], "weighted_upstreams": [{ "upstream": upstream, "weight": 1 }] });
                changed(
                    merge("users", &json!({ "plugins": { "traffic-split": { "rules": [rule] } } })),
                    "/users/1",
                )
            },
            check: |world, _| {
                let met = [world.origin("/users/1", &[]), world.origin("/users/1", &[("X-Version", "2")])];
                holds(met == ["v1", "v2"], || format!("{met:?}"))
            },
        },
        Task {
            id: "T19",
            said: "Delete everything with the label env=test.",
            limit: 3,
            seed: |world| {
                for (id, env) in [("doomed-a", "test"), ("doomed-b", "test"), ("spared", "live")] {
                    let route = json!({ "uri": format!("/{id}"), "labels": { "env": env }, "upstream_id": "conference-api" });
                    world.usher.put(&format!("/routes/{id}"), &route);
                }
            },
            path: |_| {
                let find = json!({ "kind": "route", "text": null, "label": "env:test", "cursor": null, "limit": null });
                // What was found is what is deleted.
                let delete: Step = Box::new(|results| {
                    let found = results.last().map_or("", String::as_str);
                    let doomed: Vec<Value> = ["doomed-a", "doomed-b", "spared"]
                        .iter()
                        .filter(|id| found.contains(**id))
                        .map(|id| change("delete", "route", id, &Value::Null))
                        .collect();
                    Reply::Call(vec![(
                        "gateway_plan".to_owned(),
                        json!({ "changes": doomed, "intent": "delete env=test" }),
                    )])
                });
                vec![call("gateway_find", find), delete, apply()]
            },
            check: |world, _| {
                let met = ["doomed-a", "doomed-b", "spared"]
                    .map(|id| world.usher.admin("GET", &format!("/routes/{id}"), None).status);
                holds(met == [404, 404, 200], || format!("{met:?}"))
            },
        },
        Task {
            id: "T20",
            said: "Rename origin to backend in responses of /speaker.",
            limit: 4,
            seed: nothing,
            path: |_| {
                let filters = json!([{ "regex": "\"origin\"", "scope": "global", "replace": "\"backend\"" }]);
                changed(
                    merge("speaker", &json!({ "plugins": { "response-rewrite": { "filters": filters } } })),
                    "/speaker/1",
                )
            },
            check: |world, _| {
                let (renamed, other) =
                    (world.get("/speaker/1", &[]).json(), world.get("/users/1", &[]).json());
                holds(
                    renamed["backend"] == "v1" && renamed.get("origin").is_none() && other["origin"] == "v1",
                    || format!("{renamed} {other}"),
                )
            },
        },
        Task {
            id: "T21",
            said: "Which certificates run out within 30 days? Replace the one for api.example.com with this file.",
            limit: 4,
            seed: nothing,
            path: |world| {
                let find =
                    json!({ "kind": "ssl", "text": null, "label": null, "cursor": null, "limit": null });
                let fresh = json!({ "cert": world.fresh.0, "key": world.fresh.1 });
                vec![call("gateway_find", find), plan(&[change("merge", "ssl", "canary", &fresh)]), apply()]
            },
            check: |world, results| {
                let stored = super::super::shown(&world.member("/ssls/canary", "/cert"));
                let middle = world.fresh.1.lines().nth(1).unwrap_or("none");
                let told = results.join("\n");
                holds(stored == world.fresh.0 && !told.contains(middle), || {
                    "the certificate is the old one, or its key was told".to_owned()
                })
            },
        },
        Task {
            id: "T25",
            said: "Send all of / to v2.",
            limit: 2,
            seed: nothing,
            path: |world| {
                let upstream = json!({ "type": "roundrobin", "nodes": { world.v2.address.to_string(): 1 } });
                let route = json!({ "uri": "/speaker/1", "priority": 10, "upstream": upstream });
                vec![plan(&[change("create", "route", "shadow", &route)])]
            },
            check: |world, results| {
                let told: Value =
                    serde_json::from_str(results.last().map_or("", String::as_str)).unwrap_or_default();
                let warned = told["warnings"].to_string().contains("speaker")
                    || told["text"].to_string().contains("speaker");
                let there = world.usher.admin("GET", "/routes/shadow", None).status;
                holds(warned && there == 404, || {
                    format!("no warning that another route loses requests: {told}")
                })
            },
        },
    ]
}
