//! The rules of routing, one row each, and the index against a look at every route.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof};
use serde_json::{Value, json};
use usher_model::resource;
use usher_model::variables::Variables;
use usher_pipeline::exchange::RouteFacts;

use super::oracle::{self, Request, Written};
use super::{Asked, BodyWord, Methods, Router, Rule};
use crate::config::{Origin, Route, Traffic};
use crate::options::RouterMode::{self, HostUri, Uri, UriWithParameter};

fn route(id: &str, order: u64, mode: RouterMode, value: &Value) -> Arc<Route> {
    let written = resource::Route::from_value(value).unwrap();
    let rule = Rule::of(&written, &[], mode, order).unwrap();
    Arc::new(Route {
        facts: Arc::new(RouteFacts { id: id.into(), ..RouteFacts::default() }),
        pipeline: Arc::default(),
        upstream: Origin::None,
        timeouts: None,
        websocket: false,
        refused: None,
        traffic: Arc::new(Traffic::new(1)),
        rule,
        build: order,
    })
}

/// `GET a.test/path?v=1`; the method and the host may be left out.
fn taken(router: &Router, request: &str, client: &str) -> Option<String> {
    let (method, rest) = request.split_once(' ').unwrap_or(("GET", request));
    let (rest, argument) = rest.split_once("?v=").unwrap_or((rest, ""));
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let client = client.parse().unwrap();
    let variables = Argument(argument);
    let asked = Asked {
        host,
        path,
        method,
        client,
        variables: &variables,
        body: BodyWord::Read,
        wanted: Cell::new(false),
    };
    router.route(&asked).map(|route| route.facts.id.to_string())
}

/// The request's argument `v`, and a `Host` header.
struct Argument<'a>(&'a str);

impl Variables for Argument<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        [("arg_v", self.0), ("http_host", "Foo.com:8080")]
            .variable(name)
            .map(|value| value.into_owned().into())
    }
}

/// The rule, the mode, the routes in the order in which they came, and requests with the route that each takes; an empty one for none.
type Row = (&'static str, RouterMode, Vec<(&'static str, Value)>, Vec<(&'static str, &'static str)>);

#[test]
fn every_rule_of_routing_holds() {
    let plain = |uri: &str| json!({ "uri": uri });
    let table: Vec<Row> = vec![
        (
            "an exact path beats every prefix, a longer prefix every shorter one, whatever their priorities",
            HostUri,
            vec![
                ("all", json!({ "uri": "/*", "priority": 100 })),
                ("a", json!({ "uri": "/a*", "priority": 50 })),
                ("ab", json!({ "uri": "/a/b/*", "priority": -1 })),
                ("exact", json!({ "uri": "/a/b/c", "priority": -9 })),
            ],
            vec![
                ("/a/b/c", "exact"),
                ("/a/b/d", "ab"),
                ("/a/b/", "ab"),
                ("/a/b", "a"),
                ("/ab", "a"),
                ("/x", "all"),
                ("/A/b/c", "all"),
            ],
        ),
        (
            "priority orders routes of one path, then age does",
            HostUri,
            vec![
                ("first", plain("/a")),
                ("second", plain("/a")),
                ("high", json!({ "uri": "/p/*", "priority": 1 })),
                ("low", plain("/p/*")),
                ("higher", json!({ "uri": "/p/*", "priority": 2, "methods": ["POST"] })),
            ],
            vec![("/a", "first"), ("/p/x", "high"), ("POST /p/x", "higher")],
        ),
        (
            "of patterns with one static prefix the longer comes first",
            HostUri,
            vec![("rest", plain("/a/*")), ("middle", plain("/a/*/c")), ("deep", plain("/a/*/b/*/c"))],
            vec![
                ("/a/x/c", "middle"),
                ("/a/x/y/c", "middle"),
                ("/a/x/b/y/c", "deep"),
                ("/a/x", "rest"),
                ("/a/c", "rest"),
            ],
        ),
        (
            "a wrong method falls through, and ends as not found",
            HostUri,
            vec![
                ("get", json!({ "uri": "/a", "methods": ["GET", "HEAD"] })),
                ("any", plain("/*")),
                ("post", json!({ "uri": "/b", "methods": ["POST"] })),
                ("purge", json!({ "uri": "/c", "methods": ["PURGE"] })),
            ],
            vec![
                ("/a", "get"),
                ("HEAD /a", "get"),
                ("POST /a", "any"),
                ("BREW /a", "any"),
                ("POST /b", "post"),
                ("PURGE /c", "purge"),
                ("BREW /c", "any"),
            ],
        ),
        (
            "an empty list of methods takes all of them",
            HostUri,
            vec![("all", json!({ "uri": "/a", "methods": [] }))],
            vec![("BREW /a", "all"), ("/b", "")],
        ),
        (
            "addresses and variables are conditions; what fails falls through",
            HostUri,
            vec![
                ("net", json!({ "uri": "/a", "priority": 3, "remote_addrs": ["10.0.0.0/8", "::1"] })),
                ("one", json!({ "uri": "/a", "priority": 2, "remote_addr": "192.0.2.7" })),
                ("var", json!({ "uri": "/a", "priority": 1, "vars": [["arg_v", "==", "1"]] })),
                ("none", json!({ "uri": "/a", "vars": [] })),
            ],
            vec![("/a?v=1", "var"), ("/a?v=2", "none"), ("/a", "none")],
        ),
        (
            "several paths are one route; a colon means itself",
            HostUri,
            vec![("two", json!({ "uris": ["/x", "/y/*"] })), ("id", plain("/user/:id"))],
            vec![("/x", "two"), ("/y/z", "two"), ("/x/", ""), ("/user/7", ""), ("/user/:id", "id")],
        ),
        (
            "the host comes first: exact, then the longest wildcard, then routes without a host",
            HostUri,
            vec![
                ("none", json!({ "uri": "/a/b", "priority": 99 })),
                ("wide", json!({ "uri": "/*", "host": "*.t" })),
                ("narrow", json!({ "uri": "/a/*", "host": "*.A.t" })),
                ("exact", json!({ "uri": "/a*", "host": "x.a.T" })),
                ("any", json!({ "uri": "/any", "host": "*" })),
                ("bare", json!({ "uri": "/bare", "host": "*a.t" })),
            ],
            vec![
                ("x.a.t/a/b", "exact"),
                ("x.a.t/z", "wide"),
                ("y.a.t/a/b", "narrow"),
                ("y.a.t/a", "wide"),
                ("d.e.a.t/a/b", "narrow"),
                ("b.t/a/b", "wide"),
                ("t/a/b", "none"),
                ("a.t/a/b", "wide"),
                ("/a/b", "none"),
                ("/any", "any"),
                ("other/any", "any"),
                ("a.t/bare", "bare"),
                ("xa.t/bare", "bare"),
                ("x.a.t/bare", "bare"),
                ("b.t/bare", "wide"),
                ("other/bare", ""),
            ],
        ),
        (
            "where the path comes first, the host is only a condition",
            Uri,
            vec![
                ("none", json!({ "uri": "/a/b" })),
                ("exact", json!({ "uri": "/a/*", "host": "x.t", "priority": 9 })),
                ("high", json!({ "uri": "/c", "priority": 1 })),
                ("host", json!({ "uri": "/c", "host": "x.t" })),
                ("old", json!({ "uri": "/d" })),
                ("new", json!({ "uri": "/d", "host": "x.t" })),
                ("wild", json!({ "uri": "/e", "hosts": ["*.x.t", "y.t"] })),
            ],
            vec![
                ("x.t/a/b", "none"),
                ("x.t/a/c", "exact"),
                ("y.t/a/c", ""),
                ("x.t/c", "high"),
                ("x.t/d", "old"),
                ("a.b.x.t/e", "wild"),
                ("x.t/e", ""),
                ("y.t/e", "wild"),
            ],
        ),
        (
            "where paths have parameters, a colon begins one; longer static text still comes first",
            UriWithParameter,
            vec![
                ("id", plain("/user/:id")),
                ("me", plain("/user/me")),
                ("post", json!({ "uri": "/user/:id", "methods": ["POST"], "priority": 1 })),
                ("deep", plain("/user/:id/posts/:post")),
                ("rest", plain("/user/*")),
                ("file", plain("/files/:bucket/*path")),
                ("host", json!({ "uri": "/h/:x", "host": "*.a.t" })),
            ],
            vec![
                ("/user/7", "id"),
                ("/user/me", "me"),
                ("POST /user/7", "post"),
                ("/user/7/posts/8", "deep"),
                ("/user/7/other", "rest"),
                ("/user/", "rest"),
                ("/files/b/x/y", "file"),
                ("/files/b", ""),
                ("x.a.t/h/1", "host"),
                ("other/h/1", ""),
            ],
        ),
        (
            "a script decides like any other condition; one that fails doesn't hold",
            HostUri,
            vec![
                (
                    "broken",
                    json!({ "uri": "/s", "priority": 3, "filter_func": "function(vars) return vars.arg_v.x.y end" }),
                ),
                (
                    "yes",
                    json!({ "uri": "/s", "priority": 2, "filter_func": "function(vars, opts) return vars.arg_v == '1' and opts.method == 'GET' end" }),
                ),
                ("none", plain("/s")),
            ],
            vec![("/s?v=1", "yes"), ("/s?v=2", "none"), ("POST /s?v=1", "none")],
        ),
        (
            "a host with a port is compared with the header as it came, where the path comes first",
            Uri,
            vec![
                ("port", json!({ "uri": "/a", "host": "foo.com:8080" })),
                ("other", json!({ "uri": "/b", "host": "foo.com:9090" })),
                ("v6", json!({ "uri": "/c", "host": "[::1]" })),
            ],
            vec![("foo.com/a", "port"), ("foo.com/b", ""), ("[::1]/c", "v6")],
        ),
        (
            "and never fits where the host comes first",
            HostUri,
            vec![
                ("port", json!({ "uri": "/a", "host": "foo.com:8080" })),
                ("v6", json!({ "uri": "/c", "host": "[::1]" })),
            ],
            vec![("foo.com/a", ""), ("[::1]/c", "v6")],
        ),
    ];
    for (rule, mode, routes, requests) in table {
        let mut router = Router::new(mode);
        for (order, (id, value)) in (0..).zip(&routes) {
            router.insert(&route(id, order, mode, value));
        }
        for (request, wanted) in requests {
            let found = taken(&router, request, "198.51.100.1").unwrap_or_default();
            assert_eq!(found, wanted, "{rule}: {request}");
        }
    }
}

#[test]
fn clients_are_told_apart_by_address() {
    let mut router = Router::new(HostUri);
    router.insert(&route(
        "in",
        0,
        HostUri,
        &json!({ "uri": "/a", "remote_addrs": ["10.0.0.0/8", "2001:db8::/32"] }),
    ));
    for (client, wanted) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("11.0.0.1", false),
        ("2001:db8::1", true),
        ("::1", false),
    ] {
        assert_eq!(taken(&router, "/a", client).is_some(), wanted, "{client}");
    }
}

#[test]
fn a_removed_route_leaves_nothing_behind() {
    for mode in [HostUri, Uri, UriWithParameter] {
        let mut router = Router::new(mode);
        let two = json!({ "uris": ["/a", "/a/*", "/a"], "hosts": ["x.t", "*.x.t", "X.t"] });
        let (first, second) = (route("1", 1, mode, &two), route("2", 2, mode, &two));
        router.insert(&first);
        router.insert(&second);
        router.remove(&first);
        assert_eq!(taken(&router, "x.t/a", "::1").as_deref(), Some("2"));
        router.remove(&second);
        assert!(router.hosts.is_empty() && router.anywhere.is_empty());
    }
}

#[test]
fn an_edit_copies_as_little_of_a_large_table_as_of_a_small_one() {
    let copied = |size: u64| {
        let mut router = Router::new(HostUri);
        for order in 0..size {
            router.insert(&route("x", order, HostUri, &json!({ "uri": format!("/api/v1/{order}/*") })));
        }
        let before = router.clone();
        router.remove(&route("x", 77, HostUri, &json!({ "uri": "/api/v1/77/*" })));
        router.insert(&route("x", size, HostUri, &json!({ "uri": "/api/v1/new/*" })));
        router.anywhere.nodes_apart(&before.anywhere)
    };
    let (small, middle, large) = (copied(1_000), copied(10_000), copied(100_000));
    let counts = format!("{small} nodes of 1,000 routes, {middle} of 10,000, {large} of 100,000");
    assert!(middle <= small + 2 && large <= small + 4 && large <= 14, "{counts}");
}

#[test]
fn a_request_is_told_of_by_the_pattern_and_the_host_that_it_came_by() {
    let value = json!({ "hosts": ["a.test", "*.b.test"], "uris": ["/a/*", "/b"] });
    let variables = Argument("");
    for (mode, host, path, wanted) in [
        (HostUri, "a.test", "/a/x", ("/a/*", "a.test")),
        (HostUri, "x.b.test", "/b", ("/b", "*.b.test")),
        (Uri, "x.b.test", "/b", ("/b", "")),
    ] {
        let mut router = Router::new(mode);
        router.insert(&route("x", 0, mode, &value));
        let client = IpAddr::from([127, 0, 0, 1]);
        let (body, wanted_body) = (BodyWord::Read, Cell::new(false));
        let asked =
            Asked { host, path, method: "GET", client, variables: &variables, body, wanted: wanted_body };
        let facts = &router.take(&asked).unwrap().facts;
        assert_eq!((&*facts.uri, &*facts.host), wanted);
        assert_eq!(&*facts.id, "x");
    }
}

#[test]
fn a_candidate_fits_a_cache_line() {
    assert!(size_of::<super::Candidate>() <= 64, "{} bytes", size_of::<super::Candidate>());
}

fn uri() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["", "a", "b", "ab", "*", "*n", "a*", "*", ":p", ":", "a:b"]);
    prop::collection::vec(segment, 1..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn written() -> impl Strategy<Value = Written> {
    let hosts = prop::sample::subsequence(vec!["t", "a.t", "b.a.t", "*.a.t", "*a.t", "*.t", "*"], 0..3);
    let methods = prop::sample::subsequence(vec!["GET", "POST", "PURGE"], 0..3);
    let texts = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let conditions =
        (prop_oneof![4 => Just(false), 1 => Just(true)], prop_oneof![4 => Just(None), 1 => Just(Some("1"))]);
    (prop::collection::vec(uri(), 1..3), hosts, methods, -1_i64..2, conditions).prop_map(
        move |(uris, hosts, methods, priority, (inside, argument))| Written {
            uris,
            hosts: texts(hosts),
            methods: texts(methods),
            priority,
            inside,
            argument: argument.map(str::to_owned),
            order: 0,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let path = prop::collection::vec(prop::sample::select(vec!["", "a", "b", "ab", "n", ":p", "a:b"]), 1..5);
    let host = prop::sample::select(vec!["t", "a.t", "b.a.t", "c.b.a.t", "xa.t", "", "other"]);
    let client = prop::sample::select(vec!["10.0.0.1", "192.0.2.1"]);
    let argument = prop::sample::select(vec![None, Some("1"), Some("2")]);
    let method = prop::sample::select(vec!["GET", "POST", "BREW"]);
    (path, host, client, argument, method).prop_map(|(path, host, client, argument, method)| Request {
        host: host.to_owned(),
        path: format!("/{}", path.join("/")),
        method: method.to_owned(),
        client: client.parse::<IpAddr>().unwrap(),
        argument: argument.map(str::to_owned),
    })
}

fn value_of(written: &Written) -> Value {
    let mut value = json!({ "uris": written.uris, "methods": written.methods, "priority": written.priority });
    if !written.hosts.is_empty() {
        value["hosts"] = json!(written.hosts);
    }
    if written.inside {
        value["remote_addr"] = json!("10.0.0.0/8");
    }
    if let Some(argument) = &written.argument {
        value["vars"] = json!([["arg_v", "==", argument]]);
    }
    value
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(600))]
    #[test]
    fn the_index_answers_as_a_look_at_every_route_does(
        mode in prop::sample::select(vec![HostUri, Uri, UriWithParameter]),
        changes in prop::collection::vec((written(), any::<prop::sample::Index>(), 0..4_u8), 1..12),
        requests in prop::collection::vec(request(), 1..12),
    ) {
        let mut router = Router::new(mode);
        let mut all: Vec<(Written, Arc<Route>)> = Vec::new();
        for (order, (mut new, at, what)) in (0..).zip(changes) {
            // One in four changes takes a route out, if there is one.
            if what == 0 && !all.is_empty() {
                let (_, gone) = all.remove(at.index(all.len()));
                router.remove(&gone);
            }
            new.order = order;
            let made = route(&order.to_string(), order, mode, &value_of(&new));
            router.insert(&made);
            all.push((new, made));
        }
        let plain: Vec<Written> = all.iter().map(|(written, _)| written.clone()).collect();
        for request in requests {
            let wanted = oracle::choose(mode, &plain, &request).map(|at| plain[at].order.to_string());
            let variables = Argument(request.argument.as_deref().unwrap_or_default());
            let asked = Asked {
                host: &request.host, path: &request.path, method: &request.method, client: request.client, variables: &variables,
                body: BodyWord::Read, wanted: Cell::new(false),
            };
            let found = router.route(&asked).map(|route| route.facts.id.to_string());
            prop_assert_eq!(&found, &wanted, "{:?}", request);
            // What is said to people agrees with what is done.
            let explained = router.find(&asked, |candidate| {
                let refused = candidate.refusal(&asked).is_some();
                assert_eq!(refused, !candidate.admits(&asked, Methods::bit(asked.method)));
                !refused
            });
            prop_assert_eq!(explained.map(|candidate| candidate.route.facts.id.to_string()), wanted);
            router.each(&mut |candidate| {
                let fits = candidate.refusal(&asked).or_else(|| candidate.host_refusal(&asked)).is_none();
                assert!(!fits || found.is_some());
            });
        }
        prop_assert!(all.len() == plain.len());
    }
}
