//! What a scrape reads after some requests, held against the rules of the text format.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};
use usher_model::compat::{Behaviour, Compat};
use usher_model::live::{HealthCounters, NodeHealth, UpstreamHealth};
use usher_pipeline::compile::Pipeline;
use usher_pipeline::consumer::Nobody;
use usher_pipeline::env::{Env, Metadata, Process, Target, Targets};
use usher_pipeline::exchange::{AnsweredBy, Exchange, RouteFacts};
use usher_pipeline::harness::{Harness, harness, try_harness_knowing, try_harness_with};
use usher_pipeline::plugin::BuildError;
use usher_pipeline::registry::Registry;
use usher_pipeline::reply::Reply;
use usher_pipeline::shelf::Shelf;
use usher_pipeline::spec::Answers;
use usher_pipeline::worker::{Answer, Call, FetchError, Worker};

use super::{PLUGIN, render};

const NODE: &str = "10.1.0.1:80";

/// An upstream that takes 30 ms of 50 and answers by the path: `/404` with 404.
fn upstream(exchange: &mut Exchange) -> Reply {
    let now = exchange.worker().now();
    exchange.upstream.address = Some(NODE.parse().unwrap());
    exchange.times.start = now - Duration::from_millis(50);
    exchange.times.upstream_start = Some(now - Duration::from_millis(40));
    exchange.times.upstream_end = Some(now - Duration::from_millis(10));
    exchange.times.received_bytes = 100;
    exchange.times.sent_bytes = 1000;
    let status = exchange.request.path().trim_start_matches('/').parse().unwrap_or(200);
    Reply::text(status, "text/plain", "ok")
}

fn bench(attribute: &Value) -> Harness {
    let bodies = Map::from_iter([("prometheus".to_owned(), json!({}))]);
    let attributes = Map::from_iter([("prometheus".to_owned(), attribute.clone())]);
    try_harness_with(&[&PLUGIN], bodies, attributes).unwrap().upstream(upstream)
}

fn scrape(bench: &Harness) -> BTreeMap<String, f64> {
    let text = render(bench.process());
    read(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

fn value(samples: &BTreeMap<String, f64>, wanted: &str) -> f64 {
    *samples.get(wanted).unwrap_or_else(|| panic!("no {wanted} in {:#?}", samples.keys()))
}

/// Reads a text by the rules of the format; every sample by its name and labels.
fn read(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let mut samples = BTreeMap::new();
    let mut seen_families = HashSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    if !text.ends_with('\n') {
        return Err("no end of line at the end".into());
    }
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap_or_default().to_owned();
            if !seen_families.insert(family.clone()) {
                return Err(format!("{family} comes twice"));
            }
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').ok_or("a TYPE without a type")?;
            if name != family || !["counter", "gauge", "histogram"].contains(&of) {
                return Err(format!("a TYPE that doesn't belong: {line}"));
            }
            kind = of.to_owned();
            continue;
        }
        let (sample, number) = line.rsplit_once(' ').ok_or_else(|| format!("no sample: {line}"))?;
        let name = sample.split('{').next().unwrap_or_default();
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        if !suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(&family)) {
            return Err(format!("{name} stands below {family}"));
        }
        check_labels(&sample[name.len()..])?;
        let number: f64 = number.parse().map_err(|_| format!("no number: {line}"))?;
        if samples.insert(sample.to_owned(), number).is_some() {
            return Err(format!("{sample} comes twice"));
        }
    }
    check_histograms(&samples)?;
    Ok(samples)
}

fn check_labels(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let pattern = r#"^\{[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(?:,[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*")*\}$"#;
    let good = regex::Regex::new(pattern).unwrap().is_match(text);
    if good { Ok(()) } else { Err(format!("labels can't be read: {text}")) }
}

fn check_histograms(samples: &BTreeMap<String, f64>) -> Result<(), String> {
    for (sample, count) in samples.iter().filter(|(sample, _)| sample.contains("_count{")) {
        let (name, labels) = sample.split_once("_count{").unwrap();
        let labels = labels.trim_end_matches('}');
        let mut buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter_map(|(other, number)| {
                let rest = other.strip_prefix(&format!("{name}_bucket{{{labels},le=\""))?;
                Some((rest.trim_end_matches("\"}").replace("+Inf", "inf").parse().ok()?, *number))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
        let last = buckets.last().ok_or_else(|| format!("{sample} has no buckets"))?;
        if !grows || last.0 != f64::INFINITY || last.1 != *count {
            return Err(format!("the buckets of {sample} contradict it: {buckets:?}"));
        }
        if !samples.contains_key(&format!("{name}_sum{{{labels}}}")) {
            return Err(format!("{sample} has no sum"));
        }
    }
    Ok(())
}

const LABELS: &str = "route=\"1\",service=\"\",consumer=\"\",node=\"10.1.0.1\",request_type=\"traditional_http\",\
                      request_llm_model=\"\",llm_model=\"\"";

#[test]
fn requests_latencies_and_bytes_are_counted_by_apisix_names() {
    let mut bench = bench(&json!({}));
    for path in ["/", "/200", "/404"] {
        bench.get(path);
    }
    let samples = scrape(&bench);
    let status = |code: u16| {
        format!(
            "apisix_http_status{{code=\"{code}\",route=\"1\",matched_uri=\"/*\",matched_host=\"\",service=\"\",consumer=\"\",node=\"10.1.0.1\",\
             request_type=\"traditional_http\",request_llm_model=\"\",llm_model=\"\",response_source=\"upstream\"}}"
        )
    };
    assert_eq!((value(&samples, &status(200)), value(&samples, &status(404))), (2.0, 1.0));
    for (kind, sum, in_bucket, above) in
        [("request", 150.0, 50, 20), ("upstream", 90.0, 50, 20), ("apisix", 60.0, 20, 10)]
    {
        let name = |suffix: &str, more: &str| {
            format!("apisix_http_latency_{suffix}{{type=\"{kind}\",{LABELS}{more}}}")
        };
        assert_eq!(value(&samples, &name("sum", "")), sum, "{kind}");
        assert_eq!(value(&samples, &name("count", "")), 3.0, "{kind}");
        assert_eq!(value(&samples, &name("bucket", &format!(",le=\"{in_bucket}\""))), 3.0, "{kind}");
        assert_eq!(value(&samples, &name("bucket", &format!(",le=\"{above}\""))), 0.0, "{kind}");
    }
    assert_eq!(value(&samples, &format!("apisix_bandwidth{{type=\"ingress\",{LABELS}}}")), 300.0);
    assert_eq!(value(&samples, &format!("apisix_bandwidth{{type=\"egress\",{LABELS}}}")), 3000.0);
    assert_eq!(value(&samples, "apisix_nginx_metric_errors_total"), 0.0);
    let zone = samples
        .iter()
        .find(|(name, _)| name.starts_with("apisix_shared_dict_capacity_bytes{name=\"memory_cache\"}"));
    assert_eq!(zone.map(|(_, size)| *size), Some(52_428_800.0));
    let version = format!("\",version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert!(
        samples
            .keys()
            .any(|name| name.starts_with("apisix_node_info{hostname=\"") && name.ends_with(&version))
    );
}

#[test]
fn labels_that_the_metadata_disables_are_left_empty() {
    let mut known = Metadata::default();
    let disabled =
        json!({ "http_status": ["node", "matched_uri", "nobody"], "bandwidth": ["route"], "llm_x": ["a"] });
    known.set("prometheus", Some(json!({ "disabled_labels": disabled })));
    let bodies = Map::from_iter([("prometheus".to_owned(), json!({}))]);
    let mut bench = try_harness_knowing(&[&PLUGIN], &bodies, known).unwrap();
    bench.get("/a");
    let names: Vec<String> = scrape(&bench).into_keys().collect();
    let with =
        |start: &str, part: &str| names.iter().any(|name| name.starts_with(start) && name.contains(part));
    for (metric, part) in [
        ("apisix_http_status{", "matched_uri=\"\""),
        ("apisix_http_status{", "route=\"1\""),
        ("apisix_bandwidth{", "route=\"\""),
        ("apisix_http_latency_count{", "route=\"1\""),
    ] {
        assert!(with(metric, part), "{metric} {part} {names:#?}");
    }
}

#[test]
fn a_scrape_without_any_request_is_a_good_text() {
    let bench = harness(&PLUGIN, json!({}));
    assert_eq!(value(&scrape(&bench), "apisix_http_requests_total"), 0.0);
    let endpoint = &PLUGIN.endpoints[0];
    let Answers::Now(answer) = endpoint.answer else { panic!("metrics need no request") };
    let reply = answer(bench.process());
    assert_eq!(endpoint.uri, "/apisix/prometheus/metrics");
    assert_eq!(reply.head.get_str("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}

/// A process with pipelines and workers of the test's own, for what a bench has only one of.
struct Gateway {
    process: Process,
    registry: Registry,
}

struct NoTargets;

impl Targets for NoTargets {
    fn target(&self, _: &str, _: &Value, _: Compat) -> Result<Arc<dyn Target>, String> {
        Err("there are none here".into())
    }

    fn health(&self) -> Vec<UpstreamHealth> {
        let node = |port: u16, status: &str| NodeHealth {
            ip: "10.1.0.1".to_owned(),
            port,
            hostname: "a.test".to_owned(),
            status: status.to_owned(),
            counter: HealthCounters::default(),
        };
        vec![UpstreamHealth {
            name: "/apisix/upstreams/1".to_owned(),
            kind: "http".to_owned(),
            nodes: vec![node(80, "mostly_healthy"), node(81, "unhealthy")],
            changes: Vec::new(),
        }]
    }
}

#[test]
fn nodes_that_are_checked_are_told_of() {
    let samples = Gateway::new(json!({}), Compat::NONE).samples();
    let of = |port: u16| {
        format!("apisix_upstream_status{{name=\"/apisix/upstreams/1\",ip=\"10.1.0.1\",port=\"{port}\"}}")
    };
    assert_eq!((value(&samples, &of(80)), value(&samples, &of(81))), (1.0, 0.0));
}

/// A worker with a number.
struct Numbered(usize, Instant, Shelf);

impl Worker for Numbered {
    fn index(&self) -> usize {
        self.0
    }

    fn now(&self) -> Instant {
        self.1
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn fetch(&self, call: Call) -> LocalBoxFuture<'static, Result<Answer, FetchError>> {
        Box::pin(std::future::ready(Err(FetchError::TimedOut(call.url))))
    }

    fn sleep(&self, _: Duration) -> LocalBoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn spawn(&self, _: LocalBoxFuture<'static, ()>) -> bool {
        false
    }

    fn shelf(&self) -> &Shelf {
        &self.2
    }
}

impl Gateway {
    fn new(attribute: Value, compat: Compat) -> Self {
        let attributes = Map::from_iter([("prometheus".to_owned(), attribute)]);
        Self {
            process: Process::new(attributes, compat, Box::new(NoTargets)),
            registry: Registry::new(&[&PLUGIN]),
        }
    }

    fn pipeline(&self, body: Value) -> Result<Pipeline, BuildError> {
        let env = Env::new(&self.process, &self.registry, "/apisix/global_rules/1");
        Pipeline::compile(&Map::from_iter([("prometheus".to_owned(), body)]), &env)
    }

    fn exchange(&self, worker: usize, now: Instant, route: &RouteFacts, status: u16) -> Exchange {
        let mut exchange = Exchange::new(Rc::new(Numbered(worker, now, Shelf::default())), Rc::new(Nobody));
        exchange.route = Some(Arc::new(RouteFacts {
            id: Arc::clone(&route.id),
            name: Arc::clone(&route.name),
            uri: Arc::clone(&route.uri),
            host: Arc::clone(&route.host),
            service_id: Arc::clone(&route.service_id),
            service_name: Arc::clone(&route.service_name),
        }));
        exchange.answer.set_status(status);
        exchange
    }

    fn samples(&self) -> BTreeMap<String, f64> {
        let text = render(&self.process);
        read(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
    }
}

fn route(id: &str) -> RouteFacts {
    RouteFacts { id: id.into(), ..RouteFacts::default() }
}

/// The sum of all samples whose names begin so and that have all of these labels.
fn sum(samples: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let chosen = samples.iter().filter(|(sample, _)| {
        sample.starts_with(&format!("{name}{{")) && labels.iter().all(|label| sample.contains(label))
    });
    chosen.map(|(_, number)| number).sum()
}

#[test]
fn a_request_that_passes_a_global_rule_and_a_route_is_counted_once() {
    let gateway = Gateway::new(json!({}), Compat::NONE);
    let pipelines =
        [gateway.pipeline(json!({})).unwrap(), gateway.pipeline(json!({ "prefer_name": true })).unwrap()];
    let mut exchange = gateway.exchange(0, Instant::now(), &route("1"), 200);
    for pipeline in &pipelines {
        pipeline.log(&mut exchange);
    }
    assert_eq!(sum(&gateway.samples(), "apisix_http_status", &[]), 1.0);
}

#[test]
fn all_workers_are_added_up_also_those_beyond_the_stripes() {
    let gateway = Arc::new(Gateway::new(json!({}), Compat::NONE));
    let pipeline = gateway.pipeline(json!({})).unwrap();
    std::thread::scope(|scope| {
        for worker in [0, 1, 64, 200] {
            let (gateway, pipeline) = (&gateway, &pipeline);
            scope.spawn(move || {
                for _ in 0..1000 {
                    pipeline.log(&mut gateway.exchange(worker, Instant::now(), &route("1"), 200));
                }
            });
        }
    });
    let samples = gateway.samples();
    assert_eq!(sum(&samples, "apisix_http_status", &["route=\"1\""]), 4000.0);
    assert_eq!(sum(&samples, "apisix_http_latency_count", &["type=\"request\""]), 4000.0);
}

#[test]
fn names_stand_for_ids_where_they_are_preferred_and_are_escaped() {
    let facts = RouteFacts {
        id: "1".into(),
        name: "the \"new\"\none\\".into(),
        uri: "/a".into(),
        host: "*.test".into(),
        service_id: "s1".into(),
        ..RouteFacts::default()
    };
    let gateway = Gateway::new(json!({ "metric_prefix": "gw_" }), Compat::NONE.with(Behaviour::ApisixNames));
    for prefer_name in [true, false] {
        let pipeline = gateway.pipeline(json!({ "prefer_name": prefer_name })).unwrap();
        pipeline.log(&mut gateway.exchange(0, Instant::now(), &facts, 200));
    }
    let samples = gateway.samples();
    for named in ["route=\"the \\\"new\\\"\\none\\\\\"", "route=\"1\""] {
        let labels = [named, "service=\"s1\"", "matched_uri=\"/a\"", "matched_host=\"*.test\""];
        assert_eq!(sum(&samples, "gw_http_status", &labels), 1.0, "{named} in {:#?}", samples.keys());
    }
    assert_eq!(sum(&samples, "gw_node_info", &["version=\"3.18.0\""]), 1.0);
}

#[test]
fn who_made_an_answer_is_told() {
    let gateway = Gateway::new(json!({}), Compat::NONE);
    let pipeline = gateway.pipeline(json!({})).unwrap();
    for (answered_by, tries, status, wanted) in [
        (AnsweredBy::Upstream, vec![200], 200, ["code=\"200\"", "response_source=\"upstream\""]),
        (AnsweredBy::Gateway, vec![], 401, ["code=\"401\"", "response_source=\"apisix\""]),
        (AnsweredBy::Gateway, vec![502, 502], 502, ["code=\"502\"", "response_source=\"nginx\""]),
        (AnsweredBy::Gateway, vec![], 0, ["code=\"499\"", "response_source=\"apisix\""]),
    ] {
        let mut exchange = gateway.exchange(0, Instant::now(), &route("1"), status);
        exchange.answered_by = answered_by;
        exchange.upstream.statuses = tries;
        pipeline.log(&mut exchange);
        assert_eq!(sum(&gateway.samples(), "apisix_http_status", &wanted), 1.0, "{wanted:?}");
    }
}

#[test]
fn the_number_of_label_sets_is_bounded_and_what_is_beyond_is_counted_as_other() {
    let gateway = Gateway::new(json!({ "max_series": 60 }), Compat::NONE);
    let pipeline = gateway.pipeline(json!({})).unwrap();
    let start = Instant::now();
    let send = |ids: std::ops::Range<u32>, seconds: u64| {
        for id in ids {
            let now = start + Duration::from_secs(seconds);
            pipeline.log(&mut gateway.exchange(0, now, &route(&id.to_string()), 200));
        }
    };
    send(0..500, 0);
    let samples = gateway.samples();
    let sets = samples.keys().filter(|name| name.starts_with("apisix_http_status{")).count();
    assert_eq!(sets, 21, "20 routes and other");
    assert_eq!(sum(&samples, "apisix_http_status", &[]), 500.0, "nothing is lost");
    assert_eq!(sum(&samples, "apisix_http_status", &["code=\"other\"", "route=\"other\""]), 480.0);
    assert_eq!(sum(&samples, "apisix_http_latency_count", &["route=\"other\"", "type=\"request\""]), 480.0);
    assert_eq!(value(&samples, "apisix_nginx_metric_errors_total"), 480.0);

    // Routes that nobody asks for any more make room for others.
    send(0..1, 700);
    send(1000..1001, 701);
    let samples = gateway.samples();
    assert_eq!(sum(&samples, "apisix_http_status", &["route=\"1000\""]), 1.0);
    assert_eq!(sum(&samples, "apisix_http_status", &["route=\"0\""]), 2.0);
    assert_eq!(sum(&samples, "apisix_http_status", &["route=\"7\""]), 0.0);
}

#[test]
fn a_label_set_that_has_expired_is_gone_and_begins_anew() {
    let gateway = Gateway::new(json!({ "metrics": { "http_status": { "expire": 60 } } }), Compat::NONE);
    let pipeline = gateway.pipeline(json!({})).unwrap();
    let long_ago = Instant::now();
    pipeline.log(&mut gateway.exchange(0, long_ago, &route("old"), 200));
    pipeline.log(&mut gateway.exchange(0, long_ago + Duration::from_secs(61), &route("new"), 200));
    let samples = gateway.samples();
    assert_eq!(sum(&samples, "apisix_http_status", &["route=\"old\""]), 0.0);
    assert_eq!(sum(&samples, "apisix_http_status", &["route=\"new\""]), 1.0);
    assert_eq!(sum(&samples, "apisix_http_latency_count", &["route=\"old\"", "type=\"request\""]), 1.0);
    pipeline.log(&mut gateway.exchange(0, long_ago + Duration::from_secs(62), &route("old"), 200));
    assert_eq!(sum(&gateway.samples(), "apisix_http_status", &["route=\"old\""]), 1.0);
}

#[test]
fn clients_can_not_make_labels() {
    let extra = json!([{ "method": "$request_method" }, { "addr": "$upstream_addr" }]);
    let mut bench = bench(&json!({ "metrics": { "http_status": { "extra_labels": extra } } }));
    for number in 0..50 {
        let method = format!("M{number}");
        let fields =
            [("Host", "a.test"), ("User-Agent", method.as_str()), ("X-Consumer-Username", method.as_str())];
        bench.send(&method, &format!("/?x={number}"), &fields, "");
    }
    bench.get("/");
    let samples = scrape(&bench);
    let sets: Vec<&String> = samples.keys().filter(|name| name.starts_with("apisix_http_status{")).collect();
    assert_eq!(sets.len(), 2, "{sets:?}");
    assert_eq!(sum(&samples, "apisix_http_status", &["method=\"other\"", "addr=\"10.1.0.1:80\""]), 50.0);
    assert_eq!(sum(&samples, "apisix_http_status", &["method=\"GET\"", "addr=\"10.1.0.1:80\""]), 1.0);
    assert_eq!(sum(&samples, "apisix_http_latency_count", &["method="]), 0.0, "only http_status has them");
}

#[test]
fn settings_that_can_not_be_used_refuse_the_plugin_by_name() {
    let gateway = Gateway::new(json!({ "default_buckets": [] }), Compat::NONE);
    let error = gateway.pipeline(json!({})).unwrap_err();
    assert!(error.message.contains("plugin_attr.prometheus: default_buckets []"), "{error}");
    assert_eq!(value(&gateway.samples(), "apisix_http_requests_total"), 0.0, "the rest can still be read");
}

#[test]
fn the_buckets_are_the_ones_that_were_asked_for() {
    let mut bench = bench(&json!({ "default_buckets": [15, 55.5] }));
    bench.get("/");
    let samples = scrape(&bench);
    let buckets: Vec<&str> = samples
        .keys()
        .filter(|name| name.contains("type=\"request\""))
        .filter_map(|name| name.split("le=").nth(1))
        .collect();
    assert_eq!(buckets, ["\"+Inf\"}", "\"15\"}", "\"55.5\"}"]);
}
