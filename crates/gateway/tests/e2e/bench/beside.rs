//! The same things said to another server of MCP that manages an APISIX by its Admin API: apisix-mcp of npm, with Usher's own Admin API (`compat: apisix`)
//! behind it. The same world, the same good character in the words of its tools, and the same checks wherever they go by what the gateway does.
//!
//! It needs what npm installs, so that it runs where somebody asks for it: `bench/agents.py`.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use super::tasks::{Task, all};
use super::tokens;
use super::world::World;
use crate::support::{KEY, Usher, binary};

/// A server of MCP on standard input and output.
struct Server {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    asked: u64,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { child, input, lines, asked: 0 };
        server.ask(
            "initialize",
            &json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" } }),
        );
        writeln!(server.input, "{}", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .unwrap();
        server
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        writeln!(self.input, "{}", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
            .unwrap();
        loop {
            let line = self.lines.next().expect("the server has ended").unwrap();
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id {
                return message;
            }
        }
    }

    /// How many tools there are, and the tokens of their list.
    fn list(&mut self) -> (usize, usize) {
        let listed = self.ask("tools/list", &json!({}));
        (listed["result"]["tools"].as_array().unwrap().len(), tokens(&listed["result"].to_string()))
    }

    /// What a model reads of an answer, and whether it is an error.
    fn call(&mut self, tool: &str, arguments: &Value) -> (String, bool) {
        let answer = self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }));
        let failed = answer["result"]["isError"] == true || answer.get("error").is_some();
        let text = answer["result"]["content"][0]["text"].as_str().map(str::to_owned);
        (text.unwrap_or_else(|| answer["error"].to_string()), failed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Calls = Vec<(&'static str, Value)>;

/// What a sentence comes to there.
enum Way {
    /// The check is the task's own.
    Same(Calls),
    /// The tools answer, and what the check asks for is for the model to find in it: these texts are there.
    Reads(Calls, Vec<String>, &'static str),
    /// The change is made, and something is missing.
    Lacks(Calls, &'static str),
    /// No tool says or does it.
    None(&'static str),
}

fn list(kind: &str) -> (&'static str, Value) {
    ("get_resource", json!({ "type": kind, "page_size": 500 }))
}

fn update(route: &str, plugins: Value) -> (&'static str, Value) {
    ("update_route", json!({ "id": route, "route": { "plugins": plugins } }))
}

fn send(path: &str) -> (&'static str, Value) {
    ("send_request_to_gateway", json!({ "requests": [{ "path": path, "method": "GET" }] }))
}

fn node(address: std::net::SocketAddr, weight: u32) -> Value {
    json!({ "host": address.ip().to_string(), "port": address.port(), "weight": weight })
}

fn split(world: &World, new: u32, old: u32) -> (&'static str, Value) {
    let upstream = json!({ "type": "roundrobin", "nodes": { world.v2.address.to_string(): 1 } });
    let both = json!([{ "upstream": upstream, "weight": new }, { "weight": old }]);
    update("orders", json!({ "traffic-split": { "rules": [{ "weighted_upstreams": both }] } }))
}

/// The good character's way.
fn way(world: &World, task: &Task) -> Way {
    let schema = |plugin: &str| ("get_plugin_schema", json!({ "name": plugin }));
    let changed =
        |plugins: Value, route: &str, path: &str| Way::Same(vec![update(route, plugins), send(path)]);
    match task.id {
        "T1" => Way::Same(vec![list("routes")]),
        "T2" => {
            let limit = json!({ "count": 10, "time_window": 60, "rejected_code": 429, "key_type": "var", "key": "remote_addr", "policy": "local" });
            let route = json!({ "uri": "/talks/*", "upstream_id": "conference-api", "plugins": { "limit-count": limit } });
            Way::Same(vec![
                schema("limit-count"),
                ("create_route", json!({ "id": "talks", "route": route })),
                send("/talks/1"),
            ])
        }
        "T3" => {
            let upstream = ("get_resource", json!({ "type": "upstreams", "id": "conference-api" }));
            let found = vec!["/speaker/*".to_owned(), world.v1.address.port().to_string()];
            Way::Reads(vec![list("routes"), upstream], found, "the model matches by itself")
        }
        "T4" => Way::Reads(
            vec![list("routes"), send("/Speaker/1")],
            vec!["/speaker/*".to_owned(), "404".to_owned()],
            "the model finds the near route by itself",
        ),
        "T5" | "T16" => Way::None("no tool knows of traffic"),
        "T6" => changed(json!({ "key-auth": {} }), "topic", "/topic/1"),
        "T7" => Way::Same(vec![split(world, 10, 90), send("/orders/1")]),
        "T8" => Way::Same(vec![split(world, 50, 50), split(world, 1, 0)]),
        "T9" => Way::Lacks(
            vec![split(world, 50, 50)],
            "no undo: written anew from what the conversation remembers",
        ),
        "T10" => {
            let quota = json!({ "count": 1000, "time_window": 86400, "key_type": "var", "key": "consumer_name", "policy": "local" });
            let plugins = json!({ "limit-count": quota, "key-auth": { "key": "$env://MOBILE_APP_KEY" } });
            Way::Same(vec![
                ("create_or_update_consumer", json!({ "username": "mobile-app", "plugins": plugins })),
                send("/keyed/1"),
            ])
        }
        "T11" => {
            let route = |id: &str, uri: &str, methods: Value| {
                let upstream = json!({ "type": "roundrobin", "nodes": [node(world.v1.address, 1)] });
                let inside = json!({ "proxy-rewrite": { "regex_uri": ["^/shop(/.*)$", "$1"] } });
                let route =
                    json!({ "uri": uri, "methods": methods, "upstream": upstream, "plugins": inside });
                ("create_route", json!({ "id": id, "route": route }))
            };
            Way::Lacks(
                vec![
                    route("shop-items", "/shop/items", json!(["GET"])),
                    route("shop-item", "/shop/items/*", json!(["GET", "PUT"])),
                    send("/shop/items"),
                ],
                "no import: a route by hand for each path",
            )
        }
        "T12" => {
            let cache = json!({ "cache_strategy": "memory", "cache_zone": "memory_cache", "cache_ttl": 300, "cache_method": ["GET"] });
            changed(json!({ "proxy-cache": cache }), "session", "/session/1")
        }
        "T13" => Way::None("no tool knows how nodes are"),
        "T14" => {
            let nodes = json!([node(world.v1.address, 1), node(world.v2.address, 0)]);
            let update = json!({ "id": "two-nodes", "upstream": { "nodes": nodes } });
            Way::Same(vec![("update_upstream", update), send("/shared/1")])
        }
        "T15" => changed(json!({ "ip-restriction": { "whitelist": ["127.0.0.7/32"] } }), "admin", "/admin/1"),
        "T17" => {
            let graph = json!({ "degraphql": { "query": "query($id: ID!) { user(id: $id) { name } }", "variables": ["id"] } });
            let route = json!({ "uri": "/graph", "upstream_id": "conference-api", "plugins": graph });
            Way::Same(vec![
                schema("degraphql"),
                ("create_route", json!({ "id": "graph", "route": route })),
                send("/graph?id=7"),
            ])
        }
        "T18" => {
            let upstream = json!({ "type": "roundrobin", "nodes": { world.v2.address.to_string(): 1 } });
            let rule = json!({ "match": [{ "vars": [["http_x_version", "==", "2"]] }], "weighted_upstreams": [{ "upstream": upstream, "weight": 1 }] });
            changed(json!({ "traffic-split": { "rules": [rule] } }), "users", "/users/1")
        }
        "T19" => {
            let delete = |id: &str| ("delete_resource", json!({ "type": "routes", "id": id }));
            Way::Same(vec![list("routes"), delete("doomed-a"), delete("doomed-b")])
        }
        "T20" => {
            let filters = json!([{ "regex": "\"origin\"", "scope": "global", "replace": "\"backend\"" }]);
            changed(json!({ "response-rewrite": { "filters": filters } }), "speaker", "/speaker/1")
        }
        "T21" => {
            let fresh = json!({ "id": "canary", "ssl": { "cert": world.fresh.0, "key": world.fresh.1 } });
            Way::Lacks(vec![list("ssls"), ("update_ssl", fresh)], "no answer says when a certificate ends")
        }
        "T23" => Way::None("no tool knows who changed what"),
        "T24" => {
            let route = ("get_resource", json!({ "type": "routes", "id": "pay" }));
            let found = ["fault-injection", "503"].map(str::to_owned).to_vec();
            Way::Reads(vec![route, send("/pay/1")], found, "what a stranger wrote is not marked as data")
        }
        "T25" => {
            let upstream = json!({ "type": "roundrobin", "nodes": [node(world.v2.address, 1)] });
            let route = json!({ "uri": "/speaker/1", "priority": 10, "upstream": upstream });
            Way::Same(vec![("create_route", json!({ "id": "shadow", "route": route }))])
        }
        other => panic!("nobody has said how {other} is done there"),
    }
}

/// The number that separates the list of tools from the tasks in the file.
fn row(server: &mut Server, world: &World, task: &Task) -> (String, bool, bool) {
    let way = way(world, task);
    let (calls, remark) = match &way {
        Way::Same(calls) => (calls.as_slice(), ""),
        Way::Reads(calls, _, remark) | Way::Lacks(calls, remark) => (calls.as_slice(), *remark),
        Way::None(remark) => (&[] as &[_], *remark),
    };
    let mut results = Vec::new();
    let mut failed = String::new();
    for (tool, arguments) in calls {
        let (text, is_error) = server.call(tool, arguments);
        if is_error && failed.is_empty() {
            failed = format!("`{tool}` failed: {}", text.chars().take(160).collect::<String>());
        }
        results.push(text);
    }
    let told = results.join("\n");
    let checked = match &way {
        _ if !failed.is_empty() => Err(failed),
        Way::None(_) => Err(String::new()),
        Way::Reads(_, found, _) => match found.iter().find(|text| !told.contains(text.as_str())) {
            Some(missing) => Err(format!("{missing} is missing")),
            None => Ok(()),
        },
        Way::Same(_) | Way::Lacks(..) => (task.check)(world, &results),
    };
    let can = !matches!(way, Way::None(_));
    let written: usize = calls.iter().map(|(tool, arguments)| tokens(&format!("{tool}{arguments}"))).sum();
    let (done, why) = match &checked {
        Ok(()) => ("yes", remark.to_owned()),
        Err(why) => {
            ("no", [remark, why].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; "))
        }
    };
    let why = why.replace('|', "\\|").replace('\n', " ");
    (
        format!(
            "| {} | {} | {done} | {} | {written} | {} | {why} |\n",
            task.id,
            task.said,
            results.len(),
            tokens(&told)
        ),
        can,
        checked.is_ok(),
    )
}

#[test]
#[ignore = "needs apisix-mcp of npm: bench/agents.py installs and runs it"]
fn apisix_mcp_is_asked_for_the_same() {
    let program =
        std::env::var("APISIX_MCP").expect("APISIX_MCP names dist/index.js of the package apisix-mcp");
    let file = std::env::var("BENCH_BESIDE").expect("BENCH_BESIDE names the file of the table");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("compat.yaml");
    std::fs::write(&config, "compat: apisix\n").unwrap();
    let world = World::of(Usher::start_in(Arc::clone(&folder), &["--config", text(&config)]));
    let mut command = Command::new("node");
    command
        .arg(&program)
        .env("APISIX_SERVER_HOST", "http://127.0.0.1")
        .env("APISIX_SERVER_PORT", world.usher.address("proxy").port().to_string())
        .env("APISIX_ADMIN_API_PORT", world.usher.address("admin").port().to_string())
        .env("APISIX_ADMIN_KEY", KEY);
    let mut server = Server::start(command);
    let mut own = binary();
    own.args(["mcp", "--url", &format!("http://{}", world.usher.address("chat"))]);
    let (own_tools, own_tokens) = Server::start(own).list();
    let (tools, list_tokens) = server.list();
    let mut rows = String::new();
    let (mut able, mut done) = (0, 0);
    for task in all() {
        (task.seed)(&world);
        let (line, can, good) = row(&mut server, &world, &task);
        rows.push_str(&line);
        able += usize::from(can);
        done += usize::from(good);
    }
    // What nobody asked for: nothing stands between the model and the configuration.
    let before = world.configuration();
    let (_, refused) = server.call("delete_resource", &json!({ "type": "routes", "id": "speaker" }));
    let gone = !refused && world.configuration() != before;
    let count = all().len();
    let table = format!(
        "Tools: {tools}, their list {list_tokens} tokens (Usher's: {own_tools}, {own_tokens}). \
         Tasks that the tools can do: {able} of {count}; those that are done: {done}. \
         A route that a hostile model deletes is {}.\n\n| | said | done | calls | tokens written | tokens read | what is missing |\n|---|---|---|---|---|---|---|\n{rows}",
        if gone { "gone at once" } else { "still there" },
    );
    println!("{table}");
    std::fs::write(file, table).unwrap();
    assert!(able < count && done > 0, "something is wrong with the run: {able} and {done} of {count}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
