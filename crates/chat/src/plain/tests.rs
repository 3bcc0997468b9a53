//! Sentences and what they come to: the intent, and the change that a plan would be made of.

mod asks;
mod creates;
mod revises;

use serde_json::{Value, json};

use super::compose::Links;
use super::examples::EXAMPLES;
use super::ids::id_from_name;
use super::intent::{Backend, Intent, Wish};
use super::parse;

fn intent(sentence: &str) -> Intent {
    parse(sentence).unwrap_or_else(|unknown| panic!("{sentence}: {unknown}")).intent
}

/// Names as if each object had the id that its name makes.
fn links(wish: &Wish) -> Links {
    let id = |name: &Option<String>| name.as_deref().and_then(id_from_name);
    let upstream = match &wish.backend {
        Some(Backend::Named(name)) => id_from_name(name),
        _ => None,
    };
    Links {
        upstream,
        service: id(&wish.service),
        plugin_config: id(&wish.plugin_config),
        consumer: id(&wish.consumer),
    }
}

fn limit(count: u64, secs: u64, key: &str) -> Value {
    json!({ "count": count, "time_window": secs, "rejected_code": 429, "key_type": "var", "key": key })
}

#[test]
fn what_is_not_understood_names_the_part_and_what_is_near() {
    for (sentence, part, near) in [
        ("make it faster", "make it faster", ""),
        ("shwo all routes", "", "show all routes"),
        ("shwo all ruotes", "", "show all routes"),
        ("create a route for /x to http://127.0.0.1:1 with glitter", "glitter", ""),
        ("create a route for GET /a and POST /b to x", "POST /b", "create a route"),
        ("create a route for /x to http://127.0.0.1:1/base", "http://127.0.0.1:1/base", "route"),
        ("delete all routes", "delete all routes", "delete route speaker"),
        ("delete routes", "", "delete route speaker"),
        ("add cors", "add cors", "route speaker"),
        ("explain", "", "explain GET /speaker/1"),
        ("create a route for /x to y with a limit of many", "limit", "10 requests a minute"),
        ("create a route for /x on host speaker to http://127.0.0.1:1", "host speaker", ""),
        ("update route speaker with host a.com and glitter", "glitter", ""),
        ("undo everything", "", "undo"),
        ("", "", "show all routes"),
        ("route", "route", ""),
    ] {
        let unknown = parse(sentence).map(|said| said.intent).expect_err(sentence);
        let text = unknown.to_string();
        assert!(text.contains("understand") && text.contains("`help`"), "{text}");
        assert!(unknown.part.contains(part), "{sentence}: {unknown:?}");
        assert!(!unknown.nearest.is_empty() && unknown.nearest.len() <= 3, "{sentence}");
        assert!(text.contains(near), "{sentence}: {text}");
    }
}

#[test]
fn a_key_is_in_no_text_made_from_a_sentence() {
    for sentence in [
        "create a consumer jack with key hunter2",
        "create a consumer jack with key hunter2 and glitter",
        "change the key of consumer jack to hunter2",
        "with the key hunter2 do things",
        "shwo key hunter2",
        "add a key hunter2 to consumer jack",
    ] {
        let text = match parse(sentence) {
            Ok(said) => format!("{} {:?}", said.sentence, said.intent),
            Err(unknown) => unknown.to_string(),
        };
        // The body of a plugin holds the key, but nothing prints it.
        assert!(!text.contains("hunter2"), "{sentence}: {text}");
    }
}

#[test]
fn every_example_is_understood() {
    for sentence in EXAMPLES.iter().flat_map(|group| group.sentences) {
        assert!(parse(sentence).is_ok(), "{sentence}: {}", parse(sentence).unwrap_err());
    }
}

/// Sentences of the manual: the lines of its `text` blocks.
fn manual() -> Vec<&'static str> {
    const MANUAL: &str = include_str!("../../../../docs/chat.md");
    let mut sentences = Vec::new();
    let mut inside = false;
    for line in MANUAL.lines() {
        match line {
            "```text" => inside = true,
            "```" => inside = false,
            line if inside && !line.trim().is_empty() => sentences.push(line.trim()),
            _ => {}
        }
    }
    sentences
}

#[test]
fn the_manual_lists_what_is_understood_and_nothing_else() {
    let manual = manual();
    for sentence in &manual {
        assert!(parse(sentence).is_ok(), "docs/chat.md: {sentence}: {}", parse(sentence).unwrap_err());
    }
    for sentence in EXAMPLES.iter().flat_map(|group| group.sentences) {
        assert!(manual.contains(sentence), "docs/chat.md lacks: {sentence}");
    }
}

#[test]
fn no_sentence_makes_it_panic() {
    let words = [
        "create",
        "route",
        "for",
        "/x/*",
        "to",
        "http://a:1",
        "limit",
        "of",
        "5",
        "a",
        "second",
        "with",
        "key",
        "the",
        "and",
        ",",
        "on",
        "delete",
        "set",
        "weight",
        "node",
        "{\"a\":1}",
        "\"q q\"",
        "10.0.0.0/8",
        "undo",
        "GET",
        "from",
        "it",
        "[::1]:1",
        "://",
        "é",
    ];
    // Every pair and a spread of longer ones: cheap, and in a fixed order.
    for (at, first) in words.iter().enumerate() {
        for (step, second) in words.iter().enumerate() {
            let mut sentence = format!("{first} {second}");
            for more in 1..8 {
                let next = words[(at + step * more + more) % words.len()];
                sentence.push(' ');
                sentence.push_str(next);
                let _ = parse(&sentence);
            }
        }
    }
    let _ = parse(&"x ".repeat(10_000));
}
