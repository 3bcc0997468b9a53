//! What is asked of every plugin: that it is in the list, that it is what the contract says, that its manual is true.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "every_plugin/facts.rs"]
mod facts;
#[path = "every_plugin/shape.rs"]
mod shape;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use facts::{FACTS, Facts};
use serde_json::{Map, Value, json};
use usher_pipeline::harness::try_harness_with;
use usher_pipeline::registry::Registry;
use usher_pipeline::spec::Spec;

/// Files of the folder that hold no plugin, with what they are for.
const SHARED: [&str; 6] = ["field_edits", "lib", "origins", "pattern", "schema", "text"];

fn registry() -> Registry {
    Registry::new(usher_plugins::all())
}

fn facts_of(name: &str) -> &'static Facts {
    FACTS.iter().find(|facts| facts.name == name).unwrap_or_else(|| panic!("no facts are known of {name}"))
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
    let known: BTreeSet<&str> = FACTS.iter().map(|facts| facts.name).collect();
    assert_eq!(listed, known, "facts are known of every plugin in the list, and of no other");
}

#[test]
fn priorities_and_phases_are_those_of_the_contract() {
    for spec in usher_plugins::all() {
        let facts = facts_of(spec.name);
        assert_eq!(spec.priority, facts.priority, "{}", spec.name);
        let mut wanted: BTreeSet<&str> = facts.phases.split(' ').map(phase).collect();
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
    let split = "rules.weighted_upstreams.upstream.tls.client_key";
    assert_eq!(registry.secrets("traffic-split"), [split]);
    for (plugin, member) in [
        ("cors", "allow_origins"),
        ("limit-count", "limit_header"),
        ("limit-count", "remaining_header"),
        ("limit-count", "reset_header"),
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
        assert!(!facts.refused.is_empty(), "{} has no body that is refused", spec.name);
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
    let outcome = try_harness_with(&[spec], bodies, Map::new());
    outcome.err().unwrap_or_else(|| panic!("{} took {body}", spec.name)).message
}

#[test]
fn every_example_is_taken_and_runs() {
    for (stem, name, text) in plugin_files() {
        let examples: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("//! Example: `")?.strip_suffix('`')).collect();
        assert!(!examples.is_empty(), "{stem}.rs has no line `//! Example:` with a body in backticks");
        let spec = usher_plugins::all().iter().find(|spec| spec.name == name).unwrap();
        for example in examples {
            let body: Value =
                serde_json::from_str(example).unwrap_or_else(|error| panic!("{stem}.rs: {error}"));
            let bodies = [(name.clone(), body)].into_iter().collect();
            let bench = try_harness_with(&[spec], bodies, Map::new());
            let outcome = bench.unwrap_or_else(|error| panic!("{error}")).get("/x?a=1");
            assert!((200..600).contains(&outcome.status()), "{stem}.rs: {example}");
        }
    }
}
