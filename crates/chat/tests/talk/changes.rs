//! Changes by plain sentences: planned, shown, agreed to, applied, verified, and in the store afterwards.

use serde_json::json;
use usher_model::change::Door;
use usher_model::kind::Kind;

use crate::support::{Side, node_of};

const CREATE: &str =
    "Create a route for GET /speaker/* to the conference API, ten requests a minute per client";

#[tokio::test]
async fn the_walk_of_the_demo_goes_from_nothing_to_a_verified_route_and_back() {
    let side = Side::start().await;
    let talk = side.talk().await;
    let listed = talk.ask("Show all routes").await;
    assert!(listed.said.to_lowercase().contains("no routes"), "{listed:?}");

    let created = talk.ask(CREATE).await;
    assert!(
        created.plans[0].contains("route speaker") && created.plans[0].contains("conference-api"),
        "{created:?}"
    );
    assert_eq!(created.said, "Done. GET /speaker/1 answers 200.\n");
    assert_eq!(side.person.asked(), ["Apply this plan?"]);
    assert_eq!(created.applied, [side.revision()]);
    assert_eq!(side.gateway.requests(), 1, "the verification is one request");
    let limit = json!({ "count": 10, "time_window": 60, "rejected_code": 429, "key_type": "var", "key": "remote_addr" });
    let wanted = json!({
        "id": "speaker", "uri": "/speaker/*", "methods": ["GET"], "upstream_id": "conference-api", "plugins": { "limit-count": limit },
    });
    assert_eq!(side.route("speaker").await, wanted);
    let entry = side.newest().await;
    assert_eq!((entry.door, entry.intent.as_deref()), (Door::Chat, Some(CREATE)));

    let listed = talk.ask("Show all routes").await;
    assert!(listed.said.contains("speaker  /speaker/* GET -> conference-api [limit-count]"), "{listed:?}");

    let again = talk.refused(CREATE).await;
    assert!(
        again.said.contains("Route speaker takes /speaker/* already") && again.plans.is_empty(),
        "{again:?}"
    );

    let undone = talk.ask("Undo that").await;
    assert!(undone.said.contains("Done. Route speaker is gone") && !undone.applied.is_empty(), "{undone:?}");
    assert_eq!(side.routes().await, 0);
    // High risk is asked about once, not by the chat and by the server.
    assert_eq!(side.person.asked(), ["Apply this plan?"]);
    assert!(side.newest().await.approval.contains("person"), "{:?}", side.newest().await.approval);

    talk.ask(CREATE).await;
    assert_eq!(side.routes().await, 1);
}

#[tokio::test]
async fn without_a_yes_nothing_is_applied() {
    let side = Side::start().await;
    side.person.declines();
    let talk = side.talk().await;
    let before = side.newest().await.revision;
    for sentence in [CREATE, "delete upstream conference-api", "create a consumer jack with key hunter2"] {
        let heard = talk.refused(sentence).await;
        assert!(heard.said.contains("Not applied; nothing was changed"), "{heard:?}");
        assert_eq!((heard.plans.len(), side.person.asked().len()), (1, 1), "{sentence}");
    }
    assert_eq!((side.newest().await.revision, side.gateway.requests()), (before, 0));
    assert_eq!(side.waiting(), 0, "what a person said no to waits for nobody else");
}

#[tokio::test]
async fn a_conversation_changes_one_route_step_by_step() {
    let side = Side::start().await;
    side.put(Kind::Upstream, "payments", node_of("127.0.0.1:4000", "payments")).await;
    let talk = side.talk().await;
    talk.ask("put http://127.0.0.1:3000 behind /api/*, five requests a second per client").await;
    for (sentence, pointer, wanted) in [
        ("limit it to 100 requests an hour", "/plugins/limit-count/count", json!(100)),
        ("add a limit of 5 per second to the api route", "/plugins/limit-count/time_window", json!(1)),
        ("remove the limit from it", "/plugins/limit-count", json!(null)),
        ("add host b.example.com to route api", "/host", json!("b.example.com")),
        ("add host c.example.com to route api", "/hosts", json!(["b.example.com", "c.example.com"])),
        ("remove the hosts from route api", "/hosts", json!(null)),
        ("change route api to GET and POST", "/methods", json!(["GET", "POST"])),
        ("point route api to the payments upstream", "/upstream_id", json!("payments")),
        ("rename route api to \"the API\"", "/name", json!("the API")),
        ("allow only 127.0.0.1 on the API", "/plugins/ip-restriction/whitelist", json!(["127.0.0.1"])),
        ("deny 1.2.3.4 on route api", "/plugins/ip-restriction/blacklist", json!(["1.2.3.4"])),
        ("strip the prefix on route api", "/plugins/proxy-rewrite/regex_uri", json!(["^/api/(.*)", "/$1"])),
        ("update route api with label env=test and priority 5", "/labels/env", json!("test")),
        ("disable it", "/status", json!(0)),
        ("enable it", "/status", json!(1)),
    ] {
        let heard = talk.ask(sentence).await;
        assert!(heard.said.starts_with("Done. "), "{sentence}: {heard:?}");
        let route = side.route("api").await;
        assert_eq!(route.pointer(pointer).unwrap_or(&json!(null)), &wanted, "{sentence}: {route}");
    }
    let already = talk.refused("enable it").await;
    assert!(already.said.contains("in service already"), "{already:?}");
    talk.ask("delete it").await;
    assert_eq!(side.routes().await, 0);
    let gone = talk.refused("delete it").await;
    assert!(gone.said.contains("not there any more"), "{gone:?}");
}

#[tokio::test]
async fn nodes_are_added_weighed_and_removed() {
    let side = Side::start().await;
    let talk = side.talk().await;
    talk.ask("create an upstream called orders with nodes http://127.0.0.1:3001 and http://127.0.0.1:3002")
        .await;
    talk.ask("add node http://127.0.0.1:3003 weight 2 to upstream orders").await;
    talk.ask("set the weight of node 127.0.0.1:3001 to 3").await;
    talk.ask("remove node 127.0.0.1:3002 from upstream orders").await;
    let orders = side.get(Kind::Upstream, "orders").await.unwrap();
    assert_eq!(orders["nodes"], json!({ "127.0.0.1:3001": 3, "127.0.0.1:3003": 2 }));
    side.put(Kind::Upstream, "others", node_of("127.0.0.1:3001", "others")).await;
    let several = talk.refused("set the weight of node 127.0.0.1:3001 to 4").await;
    assert!(several.said.contains("upstream orders, upstream others"), "{several:?}");
    let none = talk.refused("set the weight of node 127.0.0.1:9 to 4").await;
    assert!(none.said.contains("No upstream has the node 127.0.0.1:9"), "{none:?}");
}

#[tokio::test]
async fn a_key_reaches_the_store_and_no_text() {
    let side = Side::start().await;
    let talk = side.talk().await;
    let mut texts = String::new();
    for sentence in [
        "create a consumer jack with key canary-0ne and 100 requests a day",
        "add a key canary-tw0 to consumer jack",
        "change the key of consumer jack to canary-thr33",
        "create a credential phone for jack with key canary-f0ur",
        "show consumer jack",
        "list the credentials of jack",
        "what changed?",
        "undo that",
    ] {
        texts.push_str(&format!("{:?}", talk.ask(sentence).await));
    }
    for entry in side.person.asked() {
        texts.push_str(&entry);
    }
    texts.push_str(&format!("{:?}", side.newest().await));
    assert!(!texts.contains("canary"), "{texts}");
    let jack = side.get(Kind::Consumer, "jack").await.unwrap();
    assert_eq!(jack["plugins"]["key-auth"]["key"], "canary-thr33");
    assert_eq!(jack["plugins"]["limit-count"]["key"], "consumer_name");
    let second = side.get(Kind::Credential, "jack/credentials/key").await.unwrap();
    assert_eq!(second["plugins"]["key-auth"]["key"], "canary-tw0");
}

#[tokio::test]
async fn every_request_is_met_by_a_global_rule() {
    let side = Side::start().await;
    let talk = side.talk().await;
    talk.ask("add request ids to everything").await;
    talk.ask("deny 203.0.113.7 for everything").await;
    talk.ask("deny 203.0.113.8 for all requests").await;
    let rule = side.get(Kind::GlobalRule, "ip-restriction").await.unwrap();
    assert_eq!(rule["plugins"]["ip-restriction"]["blacklist"], json!(["203.0.113.8"]));
    talk.ask("remove request ids from everything").await;
    assert!(side.get(Kind::GlobalRule, "request-id").await.is_none());
    let none = talk.refused("remove the limit from everything").await;
    assert!(none.said.contains("No global rule has limit-count"), "{none:?}");
    let only = talk.refused("add host a.test to everything").await;
    assert!(!only.said.is_empty());
}

#[tokio::test]
async fn names_that_fit_nothing_or_several_are_asked_back() {
    let side = Side::start().await;
    side.put(Kind::Upstream, "conference-old", node_of("127.0.0.1:3009", "old conference")).await;
    let talk = side.talk().await;
    let before = side.revision();
    for (sentence, wanted) in [
        ("create a route for /x to the conference", "Several upstreams could be \"conference\""),
        (
            "create a route for /x to the payments API",
            "There is no upstream \"payments API\". There are: conference-api, conference-old",
        ),
        ("create a route for /x to the conferense-api", "Did you mean conference-api?"),
        ("delete upstream conference", "There is no upstream \"conference\""),
        ("delete route speaker", "there are no routes yet"),
        ("limit /nothing to 5 per second", "No route is written for /nothing"),
        ("delete it", "I don't know which object you mean"),
        (
            "create an upstream called conference API with nodes 127.0.0.1:1",
            "There is an upstream conference-api already",
        ),
        ("create a service to upstream conference-api", "Say what the service shall be called"),
        ("delete upstream conference-api and nothing", "There is no upstream \"nothing\""),
    ] {
        let heard = talk.refused(sentence).await;
        assert!(heard.said.contains(wanted), "{sentence}: {}", heard.said);
        assert!(heard.plans.is_empty());
    }
    assert_eq!(side.revision(), before);
    talk.ask("create a route for /x to the old conference").await;
    assert_eq!(side.route("x").await["upstream_id"], "conference-old");
}

#[tokio::test]
async fn new_routes_get_ids_that_are_free() {
    let side = Side::start().await;
    let talk = side.talk().await;
    talk.ask("create a route for GET /speaker/* to the conference API").await;
    talk.ask("create a route for POST /speaker/* to the conference API").await;
    talk.ask("create a route for /speaker/* on host a.test to the conference API").await;
    talk.ask("create a route for GET /speaker/* to the conference API with priority 3").await;
    assert_eq!(side.routes().await, 4);
    assert_eq!(side.route("speaker-2").await["methods"], json!(["POST"]));
    let taken = talk.refused("create a route called speaker for /other to the conference API").await;
    assert!(taken.said.contains("There is a route speaker already"), "{taken:?}");
}

#[tokio::test]
async fn a_verification_says_what_it_saw() {
    let side = Side::start().await;
    let talk = side.talk().await;
    side.gateway.answers(502);
    let broken = talk.ask("create a route for /a/* to the conference API").await;
    assert_eq!(broken.said, "Done, but GET /a/1 answers 502: the backend can not be reached.\n");
    side.gateway.answers(404);
    let unknown = talk.ask("create a route for /b/* to the conference API").await;
    assert!(
        unknown.said.contains("Done, but GET /b/1 answers 404: the backend does not know this path"),
        "{unknown:?}"
    );
    let keyed = talk.ask("create a route for /c/* to the conference API with key auth").await;
    assert!(keyed.said.contains("Done, but GET /c/1 answers 401: it asks for a key"), "{keyed:?}");
    let before = side.gateway.requests();
    let posted = talk.ask("create a route for POST /d/* to the conference API").await;
    assert!(
        posted.said.contains("Done. Route d was not asked: none of its methods only reads"),
        "{posted:?}"
    );
    assert_eq!(side.gateway.requests(), before);
}

#[tokio::test]
async fn what_the_gateway_refuses_is_said_in_its_words_and_changes_nothing() {
    let side = Side::start().await;
    let talk = side.talk().await;
    talk.ask(CREATE).await;
    let before = side.revision();
    for (sentence, wanted) in [
        ("create route raw {\"uri\": \"/raw\", \"glitter\": 1}", "glitter"),
        ("add plugin limit-cout {\"count\": 1} to route speaker", "limit-count"),
        ("delete upstream conference-api", "speaker"),
        ("undo revision 999", "999"),
        ("create a consumer \"bad name\" with key hunter2", "username"),
    ] {
        let heard = talk.refused(sentence).await;
        assert!(heard.said.contains(wanted), "{sentence}: {}", heard.said);
        assert!(!heard.said.contains("gateway_"), "a person calls no tools: {}", heard.said);
    }
    assert_eq!(side.revision(), before);
}

#[tokio::test]
async fn undo_goes_back_step_by_step() {
    let side = Side::start().await;
    let talk = side.talk().await;
    talk.ask(CREATE).await;
    talk.ask("rename route speaker to first").await;
    talk.ask("rename route speaker to second").await;
    let last = side.revision();
    talk.ask("undo that").await;
    assert_eq!(side.route("speaker").await["name"], "first");
    talk.ask("undo that").await;
    assert!(side.route("speaker").await.get("name").is_none());
    // Another conversation knows nothing of this one; a revision says it all.
    let other = side.talk().await;
    let conflict = other.refused(&format!("undo revision {last}")).await;
    assert!(!conflict.said.is_empty(), "{conflict:?}");
}

#[tokio::test]
async fn a_name_that_fits_two_is_asked_back_and_a_whole_id_is_not() {
    let side = Side::start().await;
    let route = |uri: &str, name: &str| json!({ "uri": uri, "name": name, "upstream_id": "conference-api" });
    side.put(Kind::Route, "speaker", route("/a", "first")).await;
    side.put(Kind::Route, "speaker-two", route("/b", "Speaker")).await;
    side.put(Kind::Route, "twin", route("/c", "t")).await;
    side.put(Kind::Route, "other", route("/d", "twin")).await;
    side.put(Kind::Upstream, "orders", node_of("127.0.0.1:3001", "orders")).await;
    side.put(Kind::Service, "orders", json!({ "upstream_id": "orders" })).await;
    let talk = side.talk().await;
    let before = side.revision();
    for (sentence, wanted) in [
        ("delete route Speaker", "Several routes could be \"Speaker\""),
        ("disable route SPEAKER", "Several routes could be"),
        ("delete the twin route", "Several routes could be \"twin\""),
        ("delete orders", "Say which is meant: service orders or upstream orders"),
        ("delete nothing-at-all", "There is nothing called"),
        ("delete route with id Speaker", "There is no route \"Speaker\""),
        ("should I delete route speaker?", "That is a question"),
        ("send GET /a to http://127.0.0.1:1", "this gateway only"),
    ] {
        let heard = talk.refused(sentence).await;
        assert!(heard.said.contains(wanted) && heard.plans.is_empty(), "{sentence}: {heard:?}");
    }
    assert_eq!(side.revision(), before);
    talk.ask("delete route with id twin").await;
    talk.ask("delete the speaker route").await;
    assert!(
        side.get(Kind::Route, "speaker").await.is_none() && side.get(Kind::Route, "twin").await.is_none()
    );
    talk.ask("delete other").await;
    assert_eq!(side.routes().await, 1);
}

#[tokio::test]
async fn a_list_leaves_it_to_the_only_one_in_it() {
    let side = Side::start().await;
    for (id, uri) in [("a", "/a"), ("b", "/b")] {
        side.put(Kind::Route, id, json!({ "uri": uri, "upstream_id": "conference-api" })).await;
    }
    let talk = side.talk().await;
    talk.ask("show route a").await;
    talk.ask("show all routes").await;
    let unclear = talk.refused("delete it").await;
    assert!(unclear.said.contains("I don't know which object you mean"), "{unclear:?}");
    talk.ask("show routes for /b").await;
    talk.ask("delete it").await;
    assert!(side.get(Kind::Route, "a").await.is_some() && side.get(Kind::Route, "b").await.is_none());
}

#[tokio::test]
async fn a_list_that_is_too_long_to_be_seen_is_not_written_back() {
    let side = Side::start().await;
    let hosts: Vec<String> = (0..900).map(|n| format!("host-{n}.example.com")).collect();
    side.put(Kind::Route, "wide", json!({ "uri": "/wide", "hosts": hosts, "upstream_id": "conference-api" }))
        .await;
    let talk = side.talk().await;
    for sentence in ["add host b.test to route wide", "remove host host-1.example.com from route wide"] {
        let heard = talk.refused(sentence).await;
        assert!(heard.said.contains("too large to be read whole") && heard.plans.is_empty(), "{heard:?}");
    }
    talk.ask("rename route wide to broad").await;
    let wide = side.route("wide").await;
    assert_eq!((wide["hosts"].as_array().unwrap().len(), &wide["name"]), (900, &json!("broad")));
}

#[tokio::test]
async fn whom_a_limit_counts_stays_where_it_is_not_spoken_of() {
    let side = Side::start().await;
    let limit = json!({ "count": 10, "time_window": 60, "rejected_code": 503, "key_type": "var", "key": "consumer_name" });
    let route = json!({ "uri": "/a", "upstream_id": "conference-api", "plugins": { "limit-count": limit } });
    side.put(Kind::Route, "a", route).await;
    let talk = side.talk().await;
    talk.ask("change the limit of route a to 100/h").await;
    let wanted = json!({ "count": 100, "time_window": 3_600, "rejected_code": 503, "key_type": "var", "key": "consumer_name" });
    assert_eq!(side.route("a").await["plugins"]["limit-count"], wanted);
}
