//! Nodes that registries tell of: found, followed, and kept while the registry is away.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use usher_proxy::options::{Dns, Options, Registries};

use crate::nameserver::{A, Data, NameServer, SRV, Said};
use crate::origin::{Origin, Seen, answer};
use crate::support::{Gateway, eventually, options};

/// What a scripted registry says to a request; `None` closes the connection.
type Script = dyn Fn(&Seen) -> Option<Vec<u8>> + Send + Sync;

/// A registry whose script may change.
struct Registry {
    origin: Origin,
    script: Arc<Mutex<Arc<Script>>>,
}

impl Registry {
    fn start(script: impl Fn(&Seen) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let script: Arc<Mutex<Arc<Script>>> = Arc::new(Mutex::new(Arc::new(script)));
        let current = Arc::clone(&script);
        let origin = Origin::start(move |seen, stream| {
            let script = Arc::clone(&current.lock().unwrap());
            script(seen).is_some_and(|bytes| stream.write_all(&bytes).is_ok())
        });
        Self { origin, script }
    }

    fn now(&self, script: impl Fn(&Seen) -> Option<Vec<u8>> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    fn url(&self) -> String {
        format!("http://{}", self.origin.address)
    }

    fn asked(&self) -> Vec<Seen> {
        self.origin.seen()
    }
}

fn ok(body: &Value) -> Option<Vec<u8>> {
    Some(answer(200, &[("Content-Type", "application/json")], &body.to_string()))
}

fn gateway(registries: Value, kind: &str, service: &str) -> Gateway {
    let options = Options { discovery: Registries::from_value(&registries).unwrap(), ..options() };
    let upstream = json!({ "discovery_type": kind, "service_name": service });
    Gateway::start_with(options, &[("routes/1", json!({ "uri": "/*", "upstream": upstream }))])
}

/// A Consul that knows one service: an index, and the nodes' ports. Questions that wait are answered when the index moved, or after a while.
struct Consul {
    state: Arc<Mutex<(u64, Vec<u16>)>>,
    registry: Registry,
}

impl Consul {
    fn start(origins: &[&Origin]) -> Self {
        let ports = origins.iter().map(|origin| origin.address.port()).collect();
        let state = Arc::new(Mutex::new((7, ports)));
        let registry = Registry::start(Self::script(Arc::clone(&state)));
        Self { state, registry }
    }

    fn script(state: Arc<Mutex<(u64, Vec<u16>)>>) -> impl Fn(&Seen) -> Option<Vec<u8>> + Send + Sync {
        move |seen| {
            let target = seen.line().split(' ').nth(1).unwrap().to_owned();
            if !target.starts_with("/v1/health/service/shop?passing=true") {
                return Some(answer(200, &[("X-Consul-Index", "3")], "[]"));
            }
            let waits_behind: Option<u64> =
                target.split("index=").nth(1).map(|rest| rest.split('&').next().unwrap().parse().unwrap());
            let end = Instant::now() + Duration::from_millis(500);
            loop {
                let (index, ports) = state.lock().unwrap().clone();
                if waits_behind.is_none_or(|behind| behind != index) || Instant::now() > end {
                    let nodes = ports.iter().map(|port| {
                        json!({ "Node": { "Address": "127.0.0.1" }, "Service": { "Address": "", "Port": port } })
                    });
                    let body = Value::Array(nodes.collect()).to_string();
                    return Some(answer(200, &[("X-Consul-Index", &index.to_string())], &body));
                }
                std::thread::yield_now();
            }
        }
    }

    fn set(&self, index: u64, origins: &[&Origin]) {
        *self.state.lock().unwrap() = (index, origins.iter().map(|origin| origin.address.port()).collect());
    }
}

#[test]
fn consul_s_changes_are_followed_and_its_absence_is_outlived() {
    let (a, b) = (Origin::fixed("a"), Origin::fixed("b"));
    let consul = Consul::start(&[&a]);
    let settings = json!({ "consul": { "servers": [consul.registry.url()], "token": "open sesame" } });
    let gateway = gateway(settings, "consul", "shop");
    assert_eq!(gateway.get("/").text(), "a", "the first request waits for the first word");
    assert_eq!(consul.registry.asked()[0].field("x-consul-token"), Some("open sesame"));

    consul.set(8, &[&b]);
    eventually("b instead of a", || gateway.get("/").text() == "b");
    assert!(consul.registry.asked().iter().any(|seen| seen.line().contains("index=7&wait=60s")));
    let shown = gateway.live().discovered("consul").unwrap();
    assert_eq!(
        shown["services"]["shop"],
        json!([{ "host": "127.0.0.1", "port": b.address.port(), "weight": 1 }])
    );
    assert!(!shown.to_string().contains("sesame"));
    assert_eq!(gateway.live().discovered("nacos"), None);

    for bad in [None, Some(answer(500, &[], "no leader")), Some(answer(200, &[], "no JSON"))] {
        let before = consul.registry.asked().len();
        consul.registry.now(move |_| bad.clone());
        eventually("a question that fails", || consul.registry.asked().len() > before);
        assert_eq!(gateway.get("/").text(), "b", "the last list stays");
    }
    // It comes back, and counts anew from a lower number.
    consul.set(2, &[&a]);
    consul.registry.now(Consul::script(Arc::clone(&consul.state)));
    eventually("a again", || gateway.get("/").text() == "a");
    consul.set(3, &[]);
    eventually("no node", || gateway.get("/").status == 503);
    consul.set(4, &[&a, &b]);
    eventually("both", || gateway.get("/").text() == "b");
}

#[test]
fn a_service_of_the_second_consul_is_found_there() {
    let a = Origin::fixed("a");
    let empty = Registry::start(|_| Some(answer(200, &[("X-Consul-Index", "5")], "[]")));
    let full = Consul::start(&[&a]);
    let settings = json!({ "consul": { "servers": [empty.url(), full.registry.url()] } });
    assert_eq!(gateway(settings, "consul", "shop").get("/").text(), "a");
}

#[test]
fn keys_of_a_consul_are_nodes() {
    let (a, b) = (Origin::fixed("a"), Origin::fixed("b"));
    let (port_a, port_b) = (a.address.port(), b.address.port());
    let registry = Registry::start(move |seen| {
        assert!(seen.line().starts_with("GET /v1/kv/upstreams/shop/?recurse=true"), "{}", seen.line());
        if seen.line().contains("index=") {
            std::thread::sleep(Duration::from_millis(100));
        }
        // {"weight": 3} and {"weight": 0} in base64.
        let body = json!([
            { "Key": "upstreams/shop/", "Value": null },
            { "Key": format!("upstreams/shop/127.0.0.1:{port_a}"), "Value": "eyJ3ZWlnaHQiOiAzfQ==" },
            { "Key": format!("upstreams/shop/127.0.0.1:{port_b}"), "Value": "eyJ3ZWlnaHQiOiAwfQ==" },
            { "Key": "upstreams/shop/127.0.0.1:1", "Value": null },
            { "Key": "upstreams/shop/127.0.0.1:3", "Value": null },
            // {"weight
            { "Key": "upstreams/shop/127.0.0.1:4", "Value": "eyJ3ZWlnaHQ=" },
            // {"check_status": false}
            { "Key": "upstreams/shop/127.0.0.1:2", "Value": "eyJjaGVja19zdGF0dXMiOiBmYWxzZX0=" },
        ]);
        Some(answer(200, &[("X-Consul-Index", "4")], &body.to_string()))
    });
    let settings =
        json!({ "consul_kv": { "servers": [registry.url()], "skip_keys": ["upstreams/shop/127.0.0.1:1"] } });
    for service in ["shop".to_owned(), format!("{}/v1/kv/upstreams/shop/", registry.url())] {
        let gateway = gateway(settings.clone(), "consul_kv", &service);
        for _ in 0..4 {
            assert_eq!(gateway.get("/").text(), "a", "{service}");
        }
        let shown = gateway.live().discovered("consul_kv").unwrap();
        assert_eq!(shown["upstreams"][&service].as_array().unwrap().len(), 2);
    }
    // What stands for a service that is passed over as a whole.
    let default = json!({ "host": "127.0.0.1", "port": port_b });
    let settings = json!({
        "consul_kv": { "servers": [registry.url()], "skip_keys": ["upstreams/shop/"], "default_service": default },
    });
    assert_eq!(gateway(settings, "consul_kv", "shop").get("/").text(), "b");
    let settings = json!({
        "consul": { "servers": [registry.url()], "skip_services": ["shop"], "default_service": default },
    });
    assert_eq!(gateway(settings, "consul", "shop").get("/").text(), "b");
}

#[test]
fn services_in_dns_are_found_by_srv_or_by_address() {
    let (a, b) = (Origin::fixed("a"), Origin::fixed("b"));
    let server = NameServer::start();
    let records = vec![
        Data::Service(1, 10, a.address.port(), "node.test"),
        Data::Service(2, 10, b.address.port(), "node.test"),
    ];
    server.say("_http.shop.test", SRV, Said::Records(1, records));
    server.addresses("node.test", 60, &["127.0.0.1"]);
    server.addresses("plain.test", 1, &["127.0.0.1"]);
    let start = |service: &str| {
        let registries = json!({ "dns": { "servers": [server.address.to_string()] } });
        let dns = Dns { servers: vec![server.address], search: false, ..Dns::default() };
        let options = Options { dns, discovery: Registries::from_value(&registries).unwrap(), ..options() };
        let upstream = json!({ "discovery_type": "dns", "service_name": service });
        Gateway::start_with(options, &[("routes/1", json!({ "uri": "/*", "upstream": upstream }))])
    };
    let by_service = start("_http.shop.test");
    for _ in 0..4 {
        assert_eq!(by_service.get("/").text(), "a", "the lower priority comes first");
    }
    server.say(
        "_http.shop.test",
        SRV,
        Said::Records(1, vec![Data::Service(1, 0, b.address.port(), "node.test")]),
    );
    eventually("b behind its TTL", || by_service.get("/").text() == "b");
    server.say("_http.shop.test", SRV, Said::Code(2));
    let before = server.asked("_http.shop.test", SRV);
    eventually("a question that fails", || server.asked("_http.shop.test", SRV) > before);
    assert_eq!(by_service.get("/").text(), "b");
    assert_eq!(start(&format!("plain.test:{}", a.address.port())).get("/").text(), "a");
    assert_eq!(start("nowhere.test:80").get("/").status, 503);
    assert!(server.asked("node.test", A) >= 1);
}

#[test]
fn targets_of_srv_records_are_asked_of_the_same_name_servers() {
    let a = Origin::fixed("a");
    let (general, registry) = (NameServer::start(), NameServer::start());
    let port = a.address.port();
    let records = vec![Data::Service(1, 10, port, "known.test"), Data::Service(1, 10, port, "unknown.test")];
    registry.say("_http.shop.test", SRV, Said::Records(60, records));
    registry.addresses("known.test", 60, &["127.0.0.1"]);
    let registries = json!({ "dns": { "servers": [registry.address.to_string()] } });
    let dns = Dns { servers: vec![general.address], search: false, ..Dns::default() };
    let options = Options { dns, discovery: Registries::from_value(&registries).unwrap(), ..options() };
    let upstream = json!({ "discovery_type": "dns", "service_name": "_http.shop.test" });
    let gateway = Gateway::start_with(options, &[("routes/1", json!({ "uri": "/*", "upstream": upstream }))]);
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "a", "a target without an address is left out");
    }
    assert_eq!(general.asked("known.test", A), 0);
}

#[test]
fn instances_of_a_eureka_that_are_up_are_nodes() {
    let (a, b) = (Origin::fixed("a"), Origin::fixed("b"));
    let (port_a, port_b) = (a.address.port(), b.address.port());
    let registry = Registry::start(move |seen| {
        if seen.line() != "GET /eureka/apps/SHOP HTTP/1.1" {
            return Some(answer(404, &[], ""));
        }
        let instance = |status: &str, said: &str, port: u16| {
            json!({
                "ipAddr": "127.0.0.1", "status": status, "overriddenStatus": said, "metadata": { "weight": "3" },
                "port": { "$": port, "@enabled": "true" }, "securePort": { "$": 443, "@enabled": "false" },
            })
        };
        let instances = json!([
            instance("UP", "UNKNOWN", port_a),
            instance("DOWN", "UNKNOWN", port_b),
            instance("UP", "OUT_OF_SERVICE", port_b),
        ]);
        ok(&json!({ "application": { "name": "SHOP", "instance": instances } }))
    });
    let host = registry.url().replace("http://", "http://user:pass@");
    let settings = json!({ "eureka": { "host": [host], "fetch_interval": 1 } });
    let found = gateway(settings.clone(), "eureka", "SHOP");
    for _ in 0..4 {
        assert_eq!(found.get("/").text(), "a");
    }
    assert_eq!(registry.asked()[0].field("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(found.live().discovered("eureka").unwrap()["services"]["SHOP"][0]["weight"], 3);
    assert_eq!(gateway(settings, "eureka", "NONE").get("/").status, 503);
}

#[test]
fn where_a_server_of_a_registry_fails_the_next_one_is_asked_at_once() {
    let a = Origin::fixed("a");
    let port = a.address.port();
    let away = Registry::start(|_| Some(answer(502, &[], "")));
    let closed = Registry::start(|_| None);
    let knows = Registry::start(move |seen| {
        let instance =
            json!({ "ipAddr": "127.0.0.1", "status": "UP", "port": { "$": port, "@enabled": "true" } });
        match seen.line().contains("/eureka/") {
            true => ok(&json!({ "application": { "name": "SHOP", "instance": [instance] } })),
            false => ok(&json!({ "hosts": [{ "ip": "127.0.0.1", "port": port, "weight": 1.0 }] })),
        }
    });
    for kind in ["eureka", "nacos"] {
        let settings = json!({ kind: { "host": [away.url(), closed.url(), knows.url()] } });
        assert_eq!(gateway(settings, kind, "SHOP").get("/").text(), "a", "{kind}");
    }
}

#[test]
fn instances_of_a_nacos_are_asked_for_with_a_token() {
    let a = Origin::fixed("a");
    let port = a.address.port();
    let registry = Registry::start(move |seen| {
        if seen.line().starts_with("POST /nacos/v1/auth/login ") {
            assert_eq!(seen.text(), "username=user&password=pa%20ss");
            return ok(&json!({ "accessToken": "t+1", "tokenTtl": 3600 }));
        }
        assert!(
            seen.line().starts_with("GET /nacos/v1/ns/instance/list?healthyOnly=true&serviceName=shop&namespaceId=n&groupName=g&accessToken=t%2B1 "),
            "{}",
            seen.line()
        );
        ok(&json!({ "hosts": [
            { "ip": "127.0.0.1", "port": port, "weight": 0.5, "healthy": true },
            { "ip": "127.0.0.1", "port": 1, "weight": 1.0, "healthy": false },
        ] }))
    });
    let host = registry.url().replace("http://", "http://user:pa ss@");
    let settings = json!({ "nacos": { "host": [host], "fetch_interval": 1 } });
    let options = Options { discovery: Registries::from_value(&settings).unwrap(), ..options() };
    let upstream = json!({
        "discovery_type": "nacos", "service_name": "shop", "discovery_args": { "namespace_id": "n", "group_name": "g" },
    });
    let gateway = Gateway::start_with(options, &[("routes/1", json!({ "uri": "/*", "upstream": upstream }))]);
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "a");
    }
}

#[test]
fn a_nacos_is_asked_with_a_signature_and_tells_ports_for_grpc() {
    let registry = Registry::start(|_| {
        let metadata = json!({ "gRPC_port": "9111" });
        ok(&json!({ "hosts": [{ "ip": "127.0.0.1", "port": 9110, "weight": 1.0, "metadata": metadata }] }))
    });
    let settings =
        json!({ "nacos": { "host": [registry.url()], "access_key": "a key", "secret_key": "sesame" } });
    for (scheme, port) in [("http", 9110), ("grpc", 9111), ("grpcs", 9111)] {
        let options = Options { discovery: Registries::from_value(&settings).unwrap(), ..options() };
        let upstream = json!({ "discovery_type": "nacos", "service_name": "shop", "scheme": scheme });
        let gateway =
            Gateway::start_with(options, &[("routes/1", json!({ "uri": "/*", "upstream": upstream }))]);
        eventually("a node", || {
            let shown = gateway.live().discovered("nacos").unwrap();
            shown["services"]["shop"][0]["port"] == port
        });
    }
    let asked = registry.asked();
    let line = asked[0].line().to_owned();
    let value = |name: &str| {
        let found = line.split(['&', '?', ' ']).find_map(|pair| pair.strip_prefix(name)).unwrap().to_owned();
        found.replace("%40", "@").replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
    };
    assert_eq!(value("ak="), "a%20key");
    let data = value("data=");
    assert!(data.ends_with("@@DEFAULT_GROUP@@shop"), "{line}");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"sesame");
    let wanted = STANDARD.encode(aws_lc_rs::hmac::sign(&key, data.as_bytes()));
    assert_eq!(value("signature="), wanted);
    assert!(!line.contains("sesame"));
}

#[test]
fn endpoints_of_a_kubernetes_are_listed_and_watched() {
    let (a, b) = (Origin::fixed("a"), Origin::fixed("b"));
    let (port_a, port_b) = (a.address.port(), b.address.port());
    for slices in [false, true] {
        let moved = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let has_moved = Arc::clone(&moved);
        let registry = Registry::start(move |seen| {
            use std::sync::atomic::Ordering::SeqCst;
            assert_eq!(seen.field("authorization"), Some("Bearer let me in"));
            let line = seen.line();
            if line.contains("&watch=true") {
                let end = Instant::now() + Duration::from_millis(300);
                let before = line.contains("resourceVersion=1");
                while Instant::now() < end {
                    if before && has_moved.load(SeqCst) {
                        return Some(answer(200, &[], "{\"type\":\"MODIFIED\",\"object\":{}}\n"));
                    }
                    std::thread::yield_now();
                }
                return Some(answer(200, &[], ""));
            }
            let (port, version) = if has_moved.load(SeqCst) { (port_b, "2") } else { (port_a, "1") };
            let ports = json!([{ "name": "metrics", "port": 1 }, { "name": "http", "port": port }]);
            let item = if slices {
                assert!(line.starts_with("GET /apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dcart "), "{line}");
                json!({ "ports": ports, "endpoints": [
                    { "addresses": ["127.0.0.1"], "conditions": { "ready": true } },
                    { "addresses": ["127.0.0.9"], "conditions": { "ready": false } },
                ] })
            } else {
                assert!(
                    line.starts_with(
                        "GET /api/v1/namespaces/shop/endpoints?fieldSelector=metadata.name%3Dcart "
                    ),
                    "{line}"
                );
                json!({ "subsets": [{ "addresses": [{ "ip": "127.0.0.1" }], "ports": ports }] })
            };
            ok(&json!({ "metadata": { "resourceVersion": version }, "items": [item] }))
        });
        let address = registry.origin.address;
        let settings = json!({ "kubernetes": {
            "service": { "schema": "http", "host": "127.0.0.1", "port": address.port() },
            "client": { "token": "let me in" }, "watch_endpoint_slices": slices,
        } });
        let gateway = gateway(settings, "kubernetes", "shop/cart:http");
        assert_eq!(gateway.get("/").text(), "a", "slices: {slices}");
        moved.store(true, std::sync::atomic::Ordering::SeqCst);
        eventually("b behind the event", || gateway.get("/").text() == "b");
    }
}

#[test]
fn a_registry_that_is_not_set_up_or_silent_leaves_no_node() {
    assert_eq!(gateway(json!({}), "consul", "shop").get("/").status, 503);
    let dead = Registry::start(|_| None);
    let settings = json!({ "consul": { "servers": [dead.url()] } });
    assert_eq!(gateway(settings, "consul", "shop").get("/").status, 503, "a failure is word enough");
}
