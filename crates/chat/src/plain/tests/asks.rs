//! Sentences that ask, take back and delete.

use usher_model::kind::Kind;

use super::super::intent::{Asked, Called, Filter, Intent, Question, Reference, Target};
use super::super::parse;
use super::intent;

fn route(name: &str) -> Reference {
    Reference { kind: Kind::Route, called: Called::Name(name.to_owned()) }
}

fn written(method: Option<&str>, path: &str) -> Reference {
    let called = Called::Path { method: method.map(str::to_owned), path: path.to_owned() };
    Reference { kind: Kind::Route, called }
}

fn asked(method: &str, path: &str) -> Asked {
    Asked { method: method.to_owned(), path: path.to_owned(), ..Asked::default() }
}

#[test]
fn sentences_ask() {
    let list = |kind, filter| Question::List { kind, filter };
    let plugin = |name: &str| Filter::Plugin(name.to_owned());
    for (sentence, wanted) in [
        ("Show all routes", list(Kind::Route, Filter::All)),
        ("routes", list(Kind::Route, Filter::All)),
        ("what routes are there?", list(Kind::Route, Filter::All)),
        ("which routes need a key?", list(Kind::Route, plugin("key-auth"))),
        ("which routes have a limit?", list(Kind::Route, plugin("limit-count"))),
        ("show routes with cors", list(Kind::Route, plugin("cors"))),
        (
            "which routes go to the conference API?",
            list(Kind::Route, Filter::Upstream("conference API".to_owned())),
        ),
        ("which routes are disabled?", list(Kind::Route, Filter::Disabled)),
        ("show routes for /speaker", list(Kind::Route, Filter::Text("/speaker".to_owned()))),
        ("show routes on host a.test", list(Kind::Route, Filter::Text("a.test".to_owned()))),
        ("show routes with label env=test", list(Kind::Route, Filter::Label("env:test".to_owned()))),
        ("list the credentials of jack", list(Kind::Credential, Filter::Text("jack".to_owned()))),
        ("show plugin configs", list(Kind::PluginConfig, Filter::All)),
        ("list all global rules please", list(Kind::GlobalRule, Filter::All)),
        ("show route speaker", Question::Show(route("speaker"))),
        ("show me the route for GET /speaker/*", Question::Show(written(Some("GET"), "/speaker/*"))),
        ("what is the speaker route", Question::Show(route("speaker"))),
        ("how is the gateway?", Question::Overview),
        ("which routes are the busiest?", Question::Overview),
        ("show plugins", Question::Plugins),
        ("help limit-count", Question::Plugin("limit-count".to_owned())),
        ("what does key-auth do?", Question::Plugin("key-auth".to_owned())),
        ("help", Question::Help),
        ("What can you do?", Question::Help),
        ("what changed?", Question::History { of: None, last: None, since: None }),
        ("show the last 5 changes", Question::History { of: None, last: Some(5), since: None }),
        (
            "who changed route speaker?",
            Question::History { of: Some(route("speaker")), last: None, since: None },
        ),
        ("explain GET /speaker/1", Question::Explain(asked("GET", "/speaker/1"))),
        (
            "explain POST /speaker/1 for host a.test from 10.0.0.1 with header X-A: b",
            Question::Explain(Asked {
                host: Some("a.test".to_owned()),
                client: Some("10.0.0.1".to_owned()),
                headers: vec![("X-A".to_owned(), "b".to_owned())],
                ..asked("POST", "/speaker/1")
            }),
        ),
        ("why does GET /x answer 404?", Question::Explain(Asked { status: Some(404), ..asked("GET", "/x") })),
        (
            "why do I get 429 on /speaker/1?",
            Question::Explain(Asked { status: Some(429), ..asked("GET", "/speaker/1") }),
        ),
        ("which route takes /speaker/1?", Question::Explain(asked("GET", "/speaker/1"))),
        ("send GET /speaker/1", Question::Probe(asked("GET", "/speaker/1"))),
        ("GET /speaker/1", Question::Probe(asked("GET", "/speaker/1"))),
        (
            "send POST /x with body {\"a\": 1} for host a.test",
            Question::Probe(Asked {
                body: Some("{\"a\": 1}".to_owned()),
                host: Some("a.test".to_owned()),
                ..asked("POST", "/x")
            }),
        ),
    ] {
        assert_eq!(intent(sentence), Intent::Ask(wanted), "{sentence}");
    }
}

#[test]
fn sentences_take_back_and_delete() {
    for (sentence, wanted) in [
        ("undo that", Intent::Undo { revision: None }),
        ("take that back", Intent::Undo { revision: None }),
        ("undo the last change", Intent::Undo { revision: None }),
        ("undo revision 5", Intent::Undo { revision: Some(5) }),
        ("undo #5", Intent::Undo { revision: Some(5) }),
        ("delete route a, b and c", Intent::Delete(vec![route("a"), route("b"), route("c")])),
        ("delete the route for /old/*", Intent::Delete(vec![written(None, "/old/*")])),
        (
            "delete credential phone of jack",
            Intent::Delete(vec![Reference {
                kind: Kind::Credential,
                called: Called::Name("jack/credentials/phone".to_owned()),
            }]),
        ),
        ("delete it", Intent::Delete(vec![Reference { kind: Kind::Route, called: Called::It }])),
    ] {
        assert_eq!(intent(sentence), wanted, "{sentence}");
    }
    let odd = Reference { kind: Kind::Route, called: Called::Anything("route with odd name".to_owned()) };
    assert_eq!(
        intent("delete \"route with odd name\""),
        Intent::Delete(vec![odd]),
        "quotes hold a name together"
    );
    let everything = intent("deny 203.0.113.7 for everything");
    assert!(matches!(everything, Intent::Change { target: Target::Everything, .. }), "{everything:?}");
}

#[test]
fn a_question_whether_to_change_something_changes_nothing() {
    for sentence in [
        "should I delete route speaker?",
        "shall we delete route speaker",
        "would you delete route speaker",
        "will you delete route speaker",
        "can we delete route speaker",
        "please, should I delete route speaker",
        "delete route speaker?",
        "delete route \"speaker\"?",
        "delete route speaker ?",
        "remove key auth from route topic?",
        "undo that?",
        "should I send DELETE /speaker/1",
        "create a route for /x to http://127.0.0.1:1? thanks",
    ] {
        let asked = intent(sentence);
        assert!(matches!(&asked, Intent::Ask(Question::Order(_))), "{sentence}: {asked:?}");
    }
    for sentence in [
        "delete route speaker",
        "could you delete route speaker?",
        "can you please delete route speaker",
        "would you please delete route speaker?",
        "hey usher, could you delete route speaker?",
        "please delete route \"what now?\"",
        "i would like you to delete route speaker",
    ] {
        assert!(matches!(intent(sentence), Intent::Delete(_)), "{sentence}: {:?}", intent(sentence));
    }
}

#[test]
fn requests_are_sent_to_this_gateway_only() {
    for sentence in [
        "send GET /speaker/1 to http://127.0.0.1:1",
        "send /speaker/1 to the conference API",
        "probe GET /speaker/1 via http://127.0.0.1:1",
        "try /speaker/1 through upstream conference-api",
        "call GET /speaker/1 to http://127.0.0.1:1",
    ] {
        let text = parse(sentence).map(|said| said.intent).expect_err(sentence).to_string();
        assert!(text.contains("this gateway only"), "{sentence}: {text}");
    }
}

#[test]
fn one_sentence_is_taken_at_a_time() {
    for sentence in [
        "show all routes\ndelete route speaker",
        "show all routes; delete route speaker",
        "show routes for speaker ; delete route speaker",
    ] {
        let text = parse(sentence).map(|said| said.intent).expect_err(sentence).to_string();
        assert!(text.contains("one sentence at a time"), "{sentence}: {text}");
    }
    for sentence in ["show all routes;\n", "create route raw {\"uri\":\n\"/raw\"}", "show route \"a; b\""] {
        assert!(parse(sentence).is_ok(), "{sentence:?}");
    }
}

#[test]
fn more_of_what_people_type_is_understood() {
    let has = |plugin: Option<&str>, serves| {
        Intent::Ask(Question::Has { of: route("speaker"), plugin: plugin.map(str::to_owned), serves })
    };
    let anything = || Reference { kind: Kind::Route, called: Called::Anything("speaker".to_owned()) };
    let by_id = Reference { kind: Kind::Route, called: Called::Id("speaker".to_owned()) };
    for (sentence, wanted) in [
        ("is route speaker disabled?", has(None, false)),
        ("is the speaker route in service?", has(None, true)),
        ("does route speaker need a key?", has(Some("key-auth"), true)),
        ("does route speaker have a rate limit?", has(Some("limit-count"), true)),
        ("delete speaker", Intent::Delete(vec![anything()])),
        ("delete route with id speaker", Intent::Delete(vec![by_id])),
        ("describe speaker", Intent::Ask(Question::Show(anything()))),
        ("quit", Intent::Ask(Question::Bye)),
        ("bye!", Intent::Ask(Question::Bye)),
    ] {
        assert_eq!(intent(sentence), wanted, "{sentence}");
    }
}
