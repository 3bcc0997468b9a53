//! What is asked of every plugin: that it is in the list, that it is what the contract says, that its manual is true.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "every_plugin/auth_facts.rs"]
mod auth_facts;
#[path = "every_plugin/bad_input.rs"]
mod bad_input;
#[path = "every_plugin/counterparts.rs"]
mod counterparts;
#[path = "every_plugin/facts.rs"]
mod facts;
#[path = "every_plugin/facts_ai.rs"]
mod facts_ai;
#[path = "every_plugin/facts_limits.rs"]
mod facts_limits;
#[path = "every_plugin/facts_loggers.rs"]
mod facts_loggers;
#[path = "every_plugin/facts_messages.rs"]
mod facts_messages;
#[path = "every_plugin/facts_traffic.rs"]
mod facts_traffic;
#[path = "../../../fuzz/src/plugins.rs"]
pub mod fuzzed;
#[path = "../../../fuzz/src/mqtt.rs"]
pub mod fuzzed_mqtt;
#[path = "../../../fuzz/src/script.rs"]
pub mod fuzzed_script;
#[path = "every_plugin/pages.rs"]
mod pages;
#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
pub mod replay;
#[path = "every_plugin/shape.rs"]
mod shape;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use auth_facts::AUTH_FACTS;
use counterparts::COUNTERPARTS;
use facts::{FACTS, Facts};
use facts_ai::AI;
use facts_limits::LIMITS;
use facts_loggers::LOGGERS;
use facts_messages::MESSAGES;
use facts_traffic::{TRAFFIC, WITHOUT};
use serde_json::{Map, Value, json};
use usher_pipeline::harness::try_harness_with;
use usher_pipeline::registry::Registry;
use usher_pipeline::spec::Spec;

/// Files of the folder that hold no plugin, with what they are for.
const SHARED: [&str; 28] = [
    "addresses",
    "ai",
    "alike",
    "basic_credentials",
    "callee",
    "coded",
    "cookies",
    "decode",
    "external_user",
    "field_edits",
    "form",
    "grpc_frames",
    "held",
    "jose",
    "kept_document",
    "keyed",
    "lib",
    "limit_key",
    "logs",
    "origins",
    "pattern",
    "redis_link",
    "schema",
    "serverless",
    "spoofed",
    "stranger",
    "text",
    "vars",
];

fn registry() -> Registry {
    Registry::new(usher_plugins::all())
}

fn all_facts() -> impl Iterator<Item = &'static Facts> {
    [FACTS, AI, AUTH_FACTS, LIMITS, LOGGERS, MESSAGES, TRAFFIC].into_iter().flatten()
}

fn facts_of(name: &str) -> &'static Facts {
    all_facts().find(|facts| facts.name == name).unwrap_or_else(|| panic!("no facts are known of {name}"))
}

/// Every file of the folder that holds a plugin, with the plugin's name and the text.
fn plugin_files() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() || SHARED.contains(&stem.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let name = text.split("const NAME: &'static str = \"").nth(1).and_then(|rest| rest.split('"').next());
        let name = name.unwrap_or_else(|| panic!("{stem}.rs names no plugin")).to_owned();
        files.push((stem, name, text));
    }
    files
}

#[test]
fn every_file_of_the_folder_is_in_the_list() {
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let listed: BTreeSet<&str> = usher_plugins::all().iter().map(|spec| spec.name).collect();
    let mut in_files = BTreeSet::new();
    let files = plugin_files();
    for (stem, name, _) in &files {
        assert!(list.contains(&format!("mod {stem};")), "{stem}.rs has no mod line in lib.rs");
        assert!(list.contains(&format!("&{stem}::PLUGIN,")), "{stem}.rs has no line in the list of lib.rs");
        assert_eq!(stem.replace('_', "-"), *name, "a plugin's file is named after it");
        in_files.insert(name.as_str());
    }
    assert_eq!(listed, in_files);
    assert_eq!(usher_plugins::all().len(), listed.len(), "no name stands twice in the list");
    let lines: Vec<&str> = list.lines().filter(|line| line.trim_start().starts_with('&')).collect();
    assert!(lines.is_sorted(), "the list is in the order of the alphabet");
    let known: BTreeSet<&str> = all_facts().map(|facts| facts.name).collect();
    assert_eq!(listed, known, "facts are known of every plugin in the list, and of no other");
}

#[test]
fn priorities_and_phases_are_those_of_the_contract() {
    for spec in usher_plugins::all() {
        let facts = facts_of(spec.name);
        assert_eq!(spec.priority, facts.priority, "{}", spec.name);
        let mut wanted: BTreeSet<&str> = facts.phases.split_whitespace().map(phase).collect();
        for (_, phase, reason) in WITHOUT.iter().filter(|(name, ..)| *name == spec.name) {
            assert!(wanted.remove(phase) && reason.len() > 20, "{} {phase}", spec.name);
        }
        for (phase, reason) in facts.also {
            assert!(wanted.insert(phase) && reason.len() > 20, "{} {phase}", spec.name);
        }
        assert_eq!(spec.phases.names().into_iter().collect::<BTreeSet<_>>(), wanted, "{}", spec.name);
    }
}

fn phase(letter: &str) -> &'static str {
    match letter {
        "R" => "rewrite",
        "A" => "access",
        "P" => "before_proxy",
        "H" => "header_filter",
        "B" => "body_filter",
        "L" => "log",
        other => panic!("{other} is no phase"),
    }
}

#[test]
fn schemas_say_what_the_contract_says() {
    let registry = registry();
    let mut problems = Vec::new();
    for spec in usher_plugins::all() {
        let mut schema = registry.public_schema(spec.name).unwrap();
        let meta = schema["properties"].as_object_mut().unwrap().remove("_meta").unwrap();
        for member in ["disable", "priority", "filter", "error_response"] {
            assert!(meta["properties"][member].is_object(), "{} has no _meta.{member}", spec.name);
        }
        let wrong = shape::compare(facts_of(spec.name).fields, &schema);
        problems.extend(wrong.into_iter().map(|problem| format!("{}: {problem}", spec.name)));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn credentials_and_metadata_have_their_schemas() {
    let registry = registry();
    let credential = registry.credential_schema("key-auth").unwrap();
    assert_eq!(credential["required"], json!(["key"]));
    assert_eq!(credential["properties"]["key"]["type"], "string");
    assert_eq!(registry.unique_attribute("key-auth"), Some("key"));
    assert_eq!(registry.credential_secrets("key-auth"), ["key"]);
    for (plugin, unique, secrets) in [
        ("basic-auth", "username", &["password"] as &[&str]),
        ("hmac-auth", "key_id", &["secret_key"]),
        ("jwe-decrypt", "key", &["secret"]),
        ("jwt-auth", "key", &["secret"]),
    ] {
        assert_eq!(registry.unique_attribute(plugin), Some(unique));
        assert_eq!(registry.credential_secrets(plugin), secrets);
    }
    for (plugin, secrets) in [
        ("authz-keycloak", &["client_secret"] as &[&str]),
        ("csrf", &["key"]),
        ("kafka-logger", &["brokers.sasl_config.password"]),
        (
            "openid-connect",
            &["client_secret", "session.secret", "session.redis.password", "client_rsa_private_key"],
        ),
    ] {
        assert_eq!(registry.secrets(plugin), secrets, "{plugin}");
    }
    let split = "rules.weighted_upstreams.upstream.tls.client_key";
    assert_eq!(registry.secrets("traffic-split"), [split]);
    for (plugin, member) in [
        ("authz-casbin", "model"),
        ("authz-casbin", "policy"),
        ("batch-requests", "max_body_size"),
        ("batch-requests", "max_pipeline_items"),
        ("cors", "allow_origins"),
        ("limit-count", "limit_header"),
        ("limit-count", "remaining_header"),
        ("limit-count", "reset_header"),
        ("oas-validator", "spec_url_ttl"),
        ("prometheus", "disabled_labels"),
    ] {
        let metadata = registry.metadata_schema(plugin).unwrap_or_else(|| panic!("{plugin} has no metadata"));
        assert!(metadata["properties"][member].is_object(), "{plugin} {member}");
    }
}

#[test]
fn bodies_that_can_not_work_get_their_sentence() {
    for spec in usher_plugins::all() {
        let facts = facts_of(spec.name);
        let takes_anything = facts.fields.is_empty();
        assert!(takes_anything == facts.refused.is_empty(), "{} has no body that is refused", spec.name);
        for (body, sentence) in facts.refused {
            let error = refusal(spec, serde_json::from_str(body).expect(body));
            let start = format!("failed to check the configuration of plugin {} err: ", spec.name);
            let said = error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}"));
            let fits = match sentence.strip_suffix("...") {
                Some(beginning) => said.starts_with(beginning),
                None => said == *sentence,
            };
            assert!(fits, "{} {body}:\n  said   {said}\n  wanted {sentence}", spec.name);
        }
        let error = refusal(spec, json!("x"));
        assert_eq!(error, format!("invalid plugin conf \"x\" for plugin [{}]", spec.name));
    }
}

fn refusal(spec: &'static Spec, body: Value) -> String {
    let bodies: Map<String, Value> = [(spec.name.to_owned(), body.clone())].into_iter().collect();
    let outcome = try_harness_with(usher_plugins::all(), bodies, Map::new());
    outcome.err().unwrap_or_else(|| panic!("{} took {body}", spec.name)).message
}

#[test]
fn every_example_is_taken_and_runs() {
    for (stem, name, text) in plugin_files() {
        let examples: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("//! Example: `")?.strip_suffix('`')).collect();
        assert!(!examples.is_empty(), "{stem}.rs has no line `//! Example:` with a body in backticks");
        for example in examples {
            let body: Value =
                serde_json::from_str(example).unwrap_or_else(|error| panic!("{stem}.rs: {error}"));
            let bodies: Map<String, Value> = [(name.clone(), body)].into_iter().collect();
            let spec = usher_plugins::all().iter().find(|spec| spec.name == name).unwrap();
            if !spec.is_for_requests() {
                fuzzed_mqtt::on_connections(&bodies).unwrap_or_else(|error| panic!("{stem}.rs: {error}"));
                continue;
            }
            let bench = try_harness_with(usher_plugins::all(), bodies, Map::new());
            let outcome = bench.unwrap_or_else(|error| panic!("{error}")).get("/x?a=1");
            assert!((200..600).contains(&outcome.status()), "{stem}.rs: {example}");
        }
    }
}

#[test]
fn what_is_stated_of_counterparts_is_of_bodies_that_are_taken() {
    for one in COUNTERPARTS {
        let spec = usher_plugins::all().iter().find(|spec| spec.name == one.plugin).unwrap();
        let body: Value = serde_json::from_str(&one.body.replace("PORT", "9")).unwrap();
        let bodies = [(spec.name.to_owned(), body)].into_iter().collect();
        let bench = try_harness_with(usher_plugins::all(), bodies, Map::new());
        assert!(bench.is_ok(), "{} {}: {:?}", one.plugin, one.body, bench.err());
        assert!(one.fields.iter().all(|(name, _)| !name.is_empty()) && one.request_body.len() < 1000);
    }
}

#[test]
fn every_plugin_has_its_page_in_the_manual() {
    let registry = registry();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugins");
    let update = std::env::var_os("UPDATE").is_some();
    let mut index = String::from(
        "# Plugins\n\nOne page each, made of the plugins' own sources: `UPDATE=1 cargo nextest run -p usher-plugins every_plugin_has_its_page`\nwrites them anew.\n\n",
    );
    let mut files = plugin_files();
    files.sort();
    let mut wanted = Vec::new();
    for (_, name, text) in &files {
        let spec = usher_plugins::all().iter().find(|spec| spec.name == name).unwrap();
        let page = pages::page(spec, &registry, text);
        let first = page.lines().nth(2).unwrap_or_default();
        index.push_str(&format!("- [{name}]({name}.md): {first}\n"));
        wanted.push((format!("{name}.md"), page));
    }
    wanted.push(("README.md".to_owned(), index));
    for (name, page) in wanted {
        let path = folder.join(&name);
        if update {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &page).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == page,
            "docs/plugins/{name} is out of date: UPDATE=1 cargo nextest run -p usher-plugins every_plugin_has_its_page"
        );
    }
}

#[test]
fn bodies_of_the_corpus_are_refused_or_built() {
    replay::replay("plugin_body", 40, fuzzed::body);
}

#[test]
fn scripts_of_the_corpus_end_with_a_verdict_or_a_sentence() {
    replay::replay("script_filter", 22, fuzzed_script::filter);
}

#[test]
fn first_packets_of_the_corpus_are_judged_the_same_however_they_are_cut() {
    replay::replay("mqtt_connect", 18, fuzzed_mqtt::connect);
}
