//! Several models behind `ai-proxy-multi`: providers on real sockets that are away, silent, short of quota, failing, or well.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Usher, eventually, read_request, request};

/// How a provider answers questions.
#[derive(Clone, Copy)]
enum Kind {
    /// By this status, with a body.
    Status(u16),
    /// Not at all: nobody listens.
    Dead,
    /// It takes the question and says nothing.
    Silent,
    /// The head, half of the body, and then the end of the connection.
    Half,
}

struct Provider {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    /// The status of its health page.
    health: Arc<AtomicUsize>,
}

impl Provider {
    fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, health) = (Arc::<AtomicUsize>::default(), Arc::new(AtomicUsize::new(200)));
        let provider = Self { address, asked: Arc::clone(&asked), health: Arc::clone(&health) };
        if matches!(kind, Kind::Dead) {
            return provider;
        }
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, health) = (Arc::clone(&asked), Arc::clone(&health));
                std::thread::spawn(move || answer_all(stream, kind, &asked, &health));
            }
        });
        provider
    }

    fn instance(&self, name: &str, priority: i64) -> Value {
        json!({ "name": name, "provider": "openai-compatible", "weight": 1, "priority": priority,
            "auth": { "header": { "Authorization": format!("Bearer {name}") } },
            "override": { "endpoint": format!("http://{}", self.address) } })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer_all(stream: TcpStream, kind: Kind, asked: &AtomicUsize, health: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((head, _)) = read_request(&mut reader) {
        if head.starts_with("GET /health") {
            let status = health.load(Ordering::SeqCst);
            let text = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
            writer.write_all(text.as_bytes()).unwrap();
            continue;
        }
        asked.fetch_add(1, Ordering::SeqCst);
        let said =
            json!({ "head": head, "usage": { "prompt_tokens": 1, "completion_tokens": 2 } }).to_string();
        let answer = |status: u16, text: &str| {
            let head = format!(
                "HTTP/1.1 {status} So\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                said.len()
            );
            format!("{head}{text}")
        };
        let text = match kind {
            Kind::Status(status) => answer(status, &said),
            Kind::Half => answer(200, &said[..said.len() / 2]),
            Kind::Silent | Kind::Dead => continue,
        };
        let sent = writer.write_all(text.as_bytes());
        if sent.is_err() || matches!(kind, Kind::Half) {
            return;
        }
    }
}

fn route(usher: &Usher, more: Value, instances: &[Value]) {
    let mut proxy = json!({ "instances": instances, "timeout": 400 });
    proxy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    usher.put("/routes/1", &json!({ "uri": "/chat", "plugins": { "ai-proxy-multi": proxy } }));
}

fn ask(usher: &Usher) -> Answer {
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }] }).to_string();
    request(usher.address("proxy"), "POST", "/chat", &[("Content-Type", "application/json")], body.as_bytes())
}

#[test]
fn a_provider_that_serves_badly_is_followed_by_the_next() {
    let usher = Usher::start(&["--store", "memory"]);
    let all = json!({ "fallback_strategy": ["http_429", "http_5xx"] });
    for (kind, status) in [
        (Kind::Dead, 502),
        (Kind::Silent, 504),
        (Kind::Status(500), 500),
        (Kind::Status(429), 429),
        (Kind::Status(400), 400),
    ] {
        let (first, second) = (Provider::start(kind), Provider::start(Kind::Status(200)));
        let instances = [first.instance("one", 1), second.instance("two", 0)];
        let is_covered = status != 400;
        route(&usher, all.clone(), &instances);
        let answer = ask(&usher);
        assert_eq!(answer.status, if is_covered { 200 } else { status });
        assert_eq!(second.asked(), usize::from(is_covered), "{status}");
        if is_covered {
            let head = answer.json()["head"].as_str().unwrap().to_owned();
            assert!(head.contains("Bearer two") && !head.contains("Bearer one"), "{head}");
        }
        // The same without a strategy is the client's.
        route(&usher, json!({}), &instances);
        assert_eq!((ask(&usher).status, second.asked()), (status, usize::from(is_covered)));
        // And where everybody fails, the last word is.
        let third = Provider::start(Kind::Status(503));
        route(&usher, all.clone(), &[first.instance("one", 1), third.instance("three", 0)]);
        assert_eq!(ask(&usher).status, if is_covered { 503 } else { status });
    }
}

#[test]
fn an_answer_that_has_begun_is_never_followed_by_another() {
    let usher = Usher::start(&["--store", "memory"]);
    let (first, second) = (Provider::start(Kind::Half), Provider::start(Kind::Status(200)));
    let instances = [first.instance("one", 1), second.instance("two", 0)];
    route(&usher, json!({ "fallback_strategy": ["http_429", "http_5xx"] }), &instances);
    let answer = ask(&usher);
    assert_eq!((answer.status, first.asked(), second.asked()), (200, 1, 0));
    let announced: usize = answer.field("content-length").unwrap().parse().unwrap();
    assert!(answer.body.len() < announced, "{} of {announced}", answer.body.len());
}

#[test]
fn a_provider_that_probes_find_unwell_is_passed_over() {
    let usher = Usher::start(&["--store", "memory", "--control-listen", "127.0.0.1:0"]);
    let (first, second) = (Provider::start(Kind::Status(200)), Provider::start(Kind::Status(200)));
    let mut one = first.instance("one", 1);
    one["checks"] = json!({ "active": { "http_path": "/health",
        "healthy": { "interval": 1, "successes": 1 }, "unhealthy": { "interval": 1, "http_failures": 1 } } });
    for algorithm in ["roundrobin", "chash"] {
        let balancer = json!({ "algorithm": algorithm, "hash_on": "vars", "key": "remote_addr" });
        route(&usher, json!({ "balancer": balancer }), &[one.clone(), second.instance("two", 0)]);
        let goes_to = |wanted: &Provider| {
            let before = wanted.asked();
            assert_eq!(ask(&usher).status, 200);
            wanted.asked() > before
        };
        assert!(goes_to(&first), "{algorithm}");
        first.health.store(503, Ordering::SeqCst);
        eventually("the one of lower priority", || goes_to(&second));
        first.health.store(200, Ordering::SeqCst);
        eventually("the first again", || goes_to(&first));
    }
    let told = request(usher.address("control"), "GET", "/v1/healthcheck", &[], b"").json();
    assert_eq!(told[0]["name"], "/apisix/routes/1#plugins['ai-proxy-multi'].instances[0]", "{told}");
    assert_eq!(told[0]["nodes"][0]["port"], first.address.port(), "{told}");
}

#[test]
fn a_slow_failure_is_the_clients_where_nobody_may_wait_twice() {
    let usher = Usher::start(&["--store", "memory"]);
    let (first, second) = (Provider::start(Kind::Silent), Provider::start(Kind::Status(200)));
    let instances = [first.instance("one", 1), second.instance("two", 0)];
    let within = json!({ "fallback_strategy": "http_5xx", "retry_on_failure_within_ms": 50 });
    route(&usher, within, &instances);
    let begun = Instant::now();
    assert_eq!((ask(&usher).status, second.asked()), (504, 0));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}
