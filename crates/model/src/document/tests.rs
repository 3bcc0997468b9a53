//! Documents of each form, as people write them; what is wrong in them; and that what is written reads back.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};

use super::{Dialect, Document, Format, is_complete, read, read_with, write};
use crate::kind::{Key, Kind};

const STANDALONE: &str = include_str!("samples/apisix.yaml");
const ADC: &str = include_str!("samples/adc.yaml");
const OURS: &str = include_str!("samples/usher.yaml");

fn yaml(text: &str) -> Document {
    read(text, Format::Yaml).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn keys(document: &Document) -> Vec<String> {
    document.objects.iter().map(|(key, _)| key.path().trim_start_matches("/apisix/").to_owned()).collect()
}

fn value<'a>(document: &'a Document, path: &str) -> &'a Value {
    let found = document.objects.iter().find(|(key, _)| key.path() == format!("/apisix/{path}"));
    &found.unwrap_or_else(|| panic!("{path} is not among {:?}", keys(document))).1
}

#[test]
fn a_standalone_file_of_apisix_is_read() {
    let document = yaml(STANDALONE);
    assert_eq!(document.dialect, Dialect::Apisix);
    assert_eq!(
        keys(&document),
        [
            "routes/arr_1",
            "routes/hello",
            "services/1",
            "services/1/graphql_cost_decorations/d1",
            "upstreams/2",
            "consumers/jack",
            "consumers/jack/credentials/mobile",
            "global_rules/1",
            "plugin_metadata/http-logger",
            "secrets/vault/1",
            "stream_routes/mqtt",
            "protos/p1",
        ]
    );
    assert_eq!(value(&document, "routes/arr_1")["id"], "arr_1");
    assert_eq!(value(&document, "services/1")["id"], "1", "a number becomes the text that the store holds");
    assert_eq!(
        value(&document, "consumers/jack"),
        &json!({ "username": "jack", "group_id": 3, "plugins": {} })
    );
    assert_eq!(value(&document, "consumers/jack/credentials/mobile")["id"], "mobile");
    assert_eq!(value(&document, "routes/hello")["upstream"]["nodes"]["127.0.0.1:1980"], 1);
    assert_eq!(document.warnings.len(), 1, "{:?}", document.warnings);
    assert!(document.warnings[0].contains("plugins"), "{:?}", document.warnings);
}

#[test]
fn a_document_of_adc_is_read_with_the_ids_that_adc_makes() {
    let document = yaml(ADC);
    assert_eq!(document.dialect, Dialect::Adc);
    let found = keys(&document);
    let service = hex("shop");
    assert_eq!(
        found,
        [
            format!("upstreams/{service}"),
            format!("services/{service}"),
            format!("upstreams/{}", hex("shop.canary")),
            format!("routes/{}", hex("shop.list")),
            "routes/by-hand".to_owned(),
            format!("services/{}", hex("mqtt")),
            format!("stream_routes/{}", hex("mqtt.plain")),
            format!("ssls/{}", hex("a.example,b.example")),
            "consumers/jack".to_owned(),
            format!("consumers/jack/credentials/{}", hex("jack.mobile")),
            format!("consumer_groups/{}", hex("gold")),
            "consumers/ann".to_owned(),
            "global_rules/prometheus".to_owned(),
            "plugin_metadata/http-logger".to_owned(),
        ]
    );
    let of = |path: String| value(&document, &path).clone();
    assert_eq!(
        of(format!("routes/{}", hex("shop.list"))),
        json!({
            "id": hex("shop.list"), "service_id": service, "status": 1, "name": "list", "desc": "every item",
            "uris": ["/items", "/items/*"], "methods": ["GET"], "labels": { "team": "[\"a\",\"b\"]" },
        })
    );
    assert_eq!(of(format!("services/{service}"))["upstream_id"], service.as_str());
    assert_eq!(of(format!("upstreams/{service}"))["name"], "shop");
    assert_eq!(
        of(format!("upstreams/{}", hex("shop.canary")))["labels"]["__ADC_UPSTREAM_SERVICE_ID"],
        service.as_str()
    );
    assert_eq!(of(format!("stream_routes/{}", hex("mqtt.plain")))["labels"]["__ADC_NAME"], "plain");
    let ssl = of(format!("ssls/{}", hex("a.example,b.example")));
    assert!(
        ssl["cert"].is_string() && ssl["certs"][0].is_string() && ssl.get("certificates").is_none(),
        "{ssl}"
    );
    let credential = of(format!("consumers/jack/credentials/{}", hex("jack.mobile")));
    assert_eq!(credential["plugins"], json!({ "key-auth": { "key": "k-1" } }));
    assert_eq!(of("consumers/ann".to_owned())["group_id"], hex("gold"));
    assert_eq!(
        of("global_rules/prometheus".to_owned())["plugins"],
        json!({ "prometheus": { "prefer_name": true } })
    );
}

fn hex(name: &str) -> String {
    super::adc::id_of(name)
}

#[test]
fn ids_are_the_sha_1_of_names() {
    assert_eq!(hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

#[test]
fn our_own_form_is_read_with_ids_as_names_or_inside() {
    let document = yaml(OURS);
    assert_eq!(document.dialect, Dialect::Usher);
    assert_eq!(
        keys(&document),
        [
            "routes/r1",
            "routes/r2",
            "services/s1",
            "services/s1/graphql_cost_decorations/d1",
            "upstreams/u1",
            "consumers/jack",
            "consumers/jack/credentials/c1",
            "consumers/ann",
            "consumers/ann/credentials/c2",
            "plugin_metadata/http-logger",
            "secrets/vault/1",
        ]
    );
    assert_eq!(value(&document, "routes/r1")["id"], "r1");
    assert_eq!(
        value(&document, "consumers/jack/credentials/c1"),
        &json!({ "id": "c1", "plugins": { "key-auth": { "key": "k" } } })
    );
    assert!(value(&document, "consumers/jack").get("credentials").is_none());
}

#[test]
fn every_mistake_is_told_with_line_object_and_field() {
    for (text, wanted) in [
        (
            "routes:\n  - uri: /a\n",
            "the document is not complete: APISIX's form ends with a line #END, Usher's begins with a line `usher: 1`",
        ),
        (
            "rutes: []\n#END\n",
            "line 1: rutes is no collection; did you mean routes? allowed are routes, services, upstreams, consumers, plugin_configs, global_rules, consumer_groups, ssls, plugin_metadata, protos, secrets, stream_routes",
        ),
        ("usher: 2\n", "line 1: usher: this version reads `usher: 1` only"),
        ("usher: 1\nroutes: 7\n", "line 2: routes: expected a list, found a number"),
        (
            "usher: 1\nroutes:\n  r1:\n    uri: /a\n    upstream:\n      nods: {}\n",
            "line 6: route r1: upstream.nods: nods is not known here; did you mean nodes? allowed are id, name, desc, labels, nodes, type, hash_on, key, retries, retry_timeout, timeout, scheme, pass_host, upstream_host, keepalive_pool, tls, checks, discovery_type, discovery_args, service_name, create_time, update_time",
        ),
        (
            "usher: 1\nroutes:\n  r1:\n    uri: 7\n    plugins: {}\n",
            "line 4: route r1: uri: wrong type: expected string, got number",
        ),
        ("usher: 1\nroutes:\n  r1:\n", "line 3: route r1: expected the members of a route, found nothing"),
        (
            "usher: 1\nroutes:\n  r1: {uri: /a, plugins: {}}\n  r1: {uri: /b, plugins: {}}\n",
            "line 4: duplicate mapping key: r1",
        ),
        (
            "usher: 1\nroutes:\n  - {uri: /a, plugins: {}}\n",
            "line 3: routes[0]: id: id is missing; write it into the object, or the object under its id",
        ),
        (
            "usher: 1\nroutes:\n  r1: {id: r2, uri: /a, plugins: {}}\n",
            "line 3: route r1: id: differs from the id r1 under which the object stands; leave it out",
        ),
        (
            "usher: 1\nroutes:\n  a/b: {uri: /a, plugins: {}}\n",
            "line 3: route a/b: this can't be an id; write 1 to 64 letters, digits, `-`, `_` or `.`",
        ),
        (
            "usher: 1\nsecrets:\n  safe/1: {uri: x}\n",
            "line 3: secret safe/1: the id has to be <manager>/<id> with the manager vault, aws or gcp, such as vault/1",
        ),
        (
            "routes:\n  - {id: 1, uri: /a, plugins: {}}\n  - {id: 1, uri: /b, plugins: {}}\n#END\n",
            "line 3: route 1: this route is there already, in line 2; give one of them another id",
        ),
        (
            "consumers:\n  - plugins: {}\n#END\n",
            "line 2: consumers[0]: username: username is missing; it is what a consumer is known by",
        ),
        (
            "services:\n  - name: a\n    path_prefix: /x\n",
            "line 3: service a: path_prefix: this is for API7 and not known to APISIX; write the prefix into the routes' uris",
        ),
        (
            "services:\n  - name: a\n    routes:\n      - uris: [/a]\n",
            "line 4: route: name: name is missing; ADC's ids are made of it",
        ),
        (
            "services:\n  - name: a\nroutes: []\n",
            "line 3: routes: in ADC's form these stand inside a service",
        ),
        ("- 1\n", "line 1: expected collections by name, such as `routes:`, found a list"),
    ] {
        let error = read(text, Format::Yaml).expect_err(text);
        assert_eq!(error.to_string(), wanted, "{text}");
    }
    let error = read("{\"usher\": 1,\n \"routes\": {\"r\": {}}", Format::Json).unwrap_err();
    assert_eq!(error.line, Some(2), "{error}");
    let error = read("{\"usher\": 1,\n \"routes\": {\"r\": {\"uri\": 3}}}", Format::Json).unwrap_err();
    assert_eq!((error.line, error.field.as_str()), (Some(2), "uri"), "{error}");
    let error = read("usher: 1\nroutes: [\n", Format::Yaml).unwrap_err();
    assert!(error.line.is_some(), "{error}");
}

#[test]
fn a_plugin_that_is_only_named_has_its_defaults() {
    let apisix = "routes:\n  - id: 1\n    uri: /a\n    plugins:\n      key-auth:\n      cors: ~\n#END\n";
    let own = "usher: 1\nroutes:\n  1:\n    uri: /a\n    plugins:\n      key-auth:\n      cors: ~\n";
    for text in [apisix, own] {
        assert_eq!(
            value(&yaml(text), "routes/1")["plugins"],
            json!({ "key-auth": {}, "cors": {} }),
            "{text}"
        );
    }
}

#[test]
fn the_mark_of_the_end_stands_alone_on_the_last_line() {
    for (text, wanted) in [
        ("routes: []\n#END", true),
        ("routes: []\n#END\n\n  ", true),
        ("routes: []\n  #END\r\n", true),
        ("#END", true),
        ("routes: []\n#END\n#", false),
        ("routes: [] #END", false),
        ("routes: []\n#EN", false),
        ("", false),
    ] {
        assert_eq!(is_complete(text), wanted, "{text:?}");
    }
    assert_eq!(yaml("#END").objects.len(), 0);
}

#[test]
fn environment_variables_are_filled_in_as_each_form_has_them() {
    let lookup = |name: &str| match name {
        "PORT" => Some("1980".to_owned()),
        "HOST" => Some("127.0.0.1".to_owned()),
        "ON" => Some("true".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let of = |text: &str| read_with(text, Format::Yaml, &lookup);
    let text = "usher: 1\nroutes:\n  r:\n    uri: /a/${{ NOBODY := b }}/${uri}\n    enable_websocket: ${{ON}}\n    priority: ${{PORT}}\n    desc: x${{EMPTY}}\n    upstream: {nodes: {'${{HOST}}:${{PORT}}': 1}}\n";
    let document = of(text).unwrap();
    assert_eq!(
        document.objects[0].1,
        json!({
            "id": "r", "uri": "/a/b/${uri}", "enable_websocket": true, "priority": 1980, "desc": "x",
            "upstream": { "nodes": { "127.0.0.1:1980": 1 } },
        })
    );
    let error = of("usher: 1\nroutes:\n  r: {uri: '/${{MISSING}}', plugins: {}}\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 3: the environment variable MISSING is not set; set it, or write ${{MISSING:=default}}, or \\${{MISSING}} for the text itself"
    );
    let adc =
        of("services:\n  - name: a\n    routes:\n      - name: r\n        uris: ['/${PORT}/\\${uri}']\n")
            .unwrap();
    assert_eq!(adc.objects[1].1["uris"], json!(["/1980/${uri}"]));
    let error = of("services:\n  - name: a${NOBODY}\n    routes: []\n").unwrap_err();
    assert!(error.to_string().contains("NOBODY is not set"), "{error}");
    // Whoever reads for somebody else leaves them alone.
    let left = yaml("usher: 1\nroutes:\n  r: {uri: '/${{PORT}}', plugins: {}}\n");
    assert_eq!(left.objects[0].1["uri"], "/${{PORT}}");
    assert!(left.warnings[0].starts_with("line 3: "), "{:?}", left.warnings);
}

#[test]
fn texts_that_look_like_variables_are_written_as_texts() {
    let lookup = |name: &str| (name == "KEY").then(|| "the key of whoever reads".to_owned());
    let odd = json!({
        "id": "r", "uri": "/a", "plugins": {}, "desc": "${{KEY}} \\${{ KEY := x }} ${KEY} ${{no-name}} ${{ ${{KEY}}", "labels": { "${{KEY}}": "${{ABSENT}}" },
    });
    let objects = vec![(Key::new(Kind::Route, "r"), odd.clone())];
    for dialect in [Dialect::Usher, Dialect::Apisix, Dialect::Adc] {
        let text = write(&objects, dialect);
        for read in [read_with(&text, Format::Yaml, &lookup), read(&text, Format::Yaml)] {
            let read = read.unwrap();
            assert_eq!(read.objects[0].1, odd, "{text}");
            assert!(read.warnings.is_empty(), "{:?}", read.warnings);
        }
    }
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = String::from("usher: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
    }
    let error = read(&bomb, Format::Yaml).unwrap_err();
    assert!(!error.reason.contains("is no collection"), "{error}");
    let deep = format!("usher: 1\nroutes: {}{}\n", "[".repeat(200), "]".repeat(200));
    assert!(read(&deep, Format::Yaml).is_err());
    // Anchors as people use them.
    let few = "usher: 1\nroutes:\n  a: &a {uri: /a, plugins: {}}\n  b: {<<: *a, uri: /b}\n";
    assert_eq!(yaml(few).objects[1].1["uri"], "/b");
}

#[test]
fn what_is_written_can_be_read_by_people() {
    let document = yaml(OURS);
    let text = write(&document.objects, Dialect::Usher);
    assert!(text.starts_with("usher: 1\nroutes:\n  r1:\n    uri: "), "{text}");
    assert!(text.contains("    credentials:\n      c1:\n"), "{text}");
    let text = write(&yaml(ADC).objects, Dialect::Apisix);
    assert!(text.contains("cert: |") && text.ends_with("\n#END\n"), "{text}");
}

#[test]
fn samples_read_back_as_they_were() {
    for text in [STANDALONE, ADC, OURS] {
        let document = yaml(text);
        for dialect in [Dialect::Usher, Dialect::Apisix] {
            let mut again = yaml(&write(&document.objects, dialect)).objects;
            let mut wanted = document.objects.clone();
            again.sort_by(|one, other| one.0.cmp(&other.0));
            wanted.sort_by(|one, other| one.0.cmp(&other.0));
            assert_eq!(again, wanted);
        }
    }
}

#[test]
fn a_hundred_thousand_routes_are_read() {
    let objects: Vec<(Key, Value)> = (0..100_000)
        .map(|n| {
            let id = format!("r{n:06}");
            let value = json!({ "id": id, "uri": format!("/r/{n}"), "plugins": { "cors": {} }, "upstream": { "nodes": { "127.0.0.1:80": 1 } } });
            (Key::new(Kind::Route, id), value)
        })
        .collect();
    for dialect in [Dialect::Usher, Dialect::Apisix] {
        let text = write(&objects, dialect);
        assert_eq!(yaml(&text).objects, objects);
    }
}

/// Texts that YAML could take for something else.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        prop::sample::select(vec![
            "",
            " ",
            "~",
            "null",
            "true",
            "no",
            "on",
            "1",
            "0x1f",
            "0o17",
            "1_000",
            "1e3",
            ".inf",
            "-",
            "- a",
            "? x",
            "a: b",
            "# c",
            "#END",
            "a\n#END\n",
            "*a",
            "&a",
            "!x",
            "%a",
            "@a",
            "`a`",
            "{a}",
            "[a]",
            "'",
            "\"",
            "\\",
            "a\tb",
            "\t",
            "a\n\nb\n\n",
            "\n a",
            " a\nb",
            "\u{feff}x",
            "\u{2028}",
            "\r\n",
            "2001-01-01",
            "<<",
            "=",
            "---",
            "...",
            "|",
            ">",
            "${x}",
            "$env://A",
        ])
        .prop_map(str::to_owned),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((texts(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(body in values(), id in "[a-zA-Z0-9_.-]{1,12}", plain in "[a-zA-Z0-9_-]{1,12}") {
        // A plugin that is only named is read with its defaults.
        let plugins = if body.is_null() { json!({ "x": {} }) } else { json!({ "x": body.clone() }) };
        let objects = vec![
            (Key::new(Kind::Route, id.clone()), json!({ "id": id, "uri": "/a", "vars": [body.clone()], "plugins": plugins })),
            (Key::new(Kind::Consumer, plain.clone()), json!({ "username": plain, "plugins": plugins })),
            (Key::credential(&plain, &id), json!({ "id": id, "plugins": plugins })),
            (Key::new(Kind::PluginMetadata, id.clone()), json!({ "id": id, "x": body })),
        ];
        // A condition that can't be read is refused, whatever form it is in.
        let objects: Vec<_> = objects.into_iter().filter(|(key, value)| crate::schema::check(key.kind, value).is_ok()).collect();
        for dialect in [Dialect::Usher, Dialect::Apisix] {
            let text = write(&objects, dialect);
            let mut again = read(&text, Format::Yaml).unwrap_or_else(|error| panic!("{error}\n{text}")).objects;
            again.sort_by(|one, other| one.0.cmp(&other.0));
            prop_assert_eq!(&again, &objects, "{}", text);
        }
        for text in [serde_json::to_string(&body).unwrap(), serde_json::to_string_pretty(&body).unwrap()] {
            let node = super::node::parse(&text, Format::Json).unwrap_or_else(|error| panic!("{error}\n{text}"));
            prop_assert_eq!(node.value(), body.clone(), "{}", text);
        }
    }
}
