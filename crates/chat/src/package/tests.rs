//! Each package has the files and members that its client documents, points to this gateway, and holds no key.
#![cfg(test)]

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};

use super::{Options, Target, package};

fn made(target: Target, url: &str, stdio: bool) -> BTreeMap<String, Vec<u8>> {
    let options = Options { url: url.to_owned(), name: "usher".to_owned(), stdio };
    package(target, &options).unwrap().into_iter().map(|file| (file.path, file.content)).collect()
}

fn json_of(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Value {
    serde_json::from_slice(&files[path]).unwrap()
}

const LOCAL: &str = "http://127.0.0.1:5000";

#[test]
fn the_openai_plugin_stays_inside_its_package_and_keeps_to_the_limits() {
    let files = made(Target::OpenAi, LOCAL, false);
    let plugin = json_of(&files, ".codex-plugin/plugin.json");
    for member in ["skills", "mcpServers"] {
        let path = plugin[member].as_str().unwrap().strip_prefix("./").unwrap().trim_end_matches('/');
        assert!(files.keys().any(|known| known.starts_with(path)), "{path}");
    }
    let logo = plugin["interface"]["logo"].as_str().unwrap().strip_prefix("./").unwrap();
    assert!(files.contains_key(logo));
    let prompts = plugin["interface"]["defaultPrompt"].as_array().unwrap();
    assert!(prompts.len() <= 3 && prompts.iter().all(|prompt| prompt.as_str().unwrap().len() <= 128));
    assert_eq!(
        json_of(&files, ".mcp.json"),
        json!({ "mcpServers": { "usher": { "type": "http", "url": "http://127.0.0.1:5000/mcp" } } })
    );
    let skill = String::from_utf8(files["skills/publish-an-api/SKILL.md"].clone()).unwrap();
    assert!(skill.starts_with("---\nname: publish-an-api\ndescription: "), "{skill}");
}

#[test]
fn every_client_gets_the_address_or_the_command() {
    for (target, file, pointer) in [
        (Target::Claude, ".mcp.json", "/mcpServers/usher"),
        (Target::Cursor, ".cursor/mcp.json", "/mcpServers/usher"),
        (Target::VsCode, ".vscode/mcp.json", "/servers/usher"),
        (Target::Gemini, "gemini-extension.json", "/mcpServers/usher"),
    ] {
        let there = json_of(&made(target, LOCAL, false), file).pointer(pointer).unwrap().to_string();
        assert!(there.contains("http://127.0.0.1:5000/mcp"), "{there}");
        let started = json_of(&made(target, LOCAL, true), file).pointer(pointer).unwrap().clone();
        assert_eq!((&started["command"], &started["args"][2]), (&json!("usher"), &json!(LOCAL)), "{started}");
    }
    let link = String::from_utf8(made(Target::Cursor, LOCAL, false)["install.txt"].clone()).unwrap();
    let config = link.trim().rsplit_once("config=").unwrap().1;
    let config = percent_encoding::percent_decode_str(config).decode_utf8().unwrap().into_owned();
    let config = base64::engine::general_purpose::STANDARD.decode(config).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&config).unwrap(),
        json!({ "url": "http://127.0.0.1:5000/mcp" })
    );
}

#[test]
fn the_registry_takes_public_servers_alone() {
    let options = Options { url: LOCAL.to_owned(), name: "usher".to_owned(), stdio: false };
    assert!(package(Target::McpRegistry, &options).unwrap_err().contains("--url"));
    let entry = json_of(&made(Target::McpRegistry, "https://gateway.example.com/", false), "server.json");
    assert_eq!(entry["name"], "com.example.gateway/usher");
    assert_eq!(entry["remotes"][0]["url"], "https://gateway.example.com/mcp");
    assert!(entry["description"].as_str().unwrap().len() <= 100);
}

#[test]
fn names_and_addresses_that_cannot_be_are_refused() {
    for (name, url) in [
        ("Usher", LOCAL),
        ("", LOCAL),
        ("a b", LOCAL),
        ("-a", LOCAL),
        ("usher", "ftp://a"),
        ("usher", "http://u:p@a"),
    ] {
        let options = Options { url: url.to_owned(), name: name.to_owned(), stdio: false };
        assert!(package(Target::Cursor, &options).is_err(), "{name} {url}");
    }
}

#[test]
fn the_document_for_actions_keeps_to_their_limits() {
    let document = json_of(&made(Target::Actions, "https://gateway.example.com", false), "openapi.json");
    let servers = document["servers"].as_array().unwrap();
    assert_eq!((servers.len(), &servers[0]["url"]), (1, &json!("https://gateway.example.com")));
    assert!(document.to_string().len() < 100_000);
    let (mut ids, mut count) = (Vec::new(), 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !["get", "put", "post", "delete", "patch"].contains(&method.as_str()) {
                continue;
            }
            count += 1;
            let id = operation["operationId"].as_str().unwrap();
            assert!(
                id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)),
                "{id}"
            );
            ids.push(id.to_owned());
            for text in ["description", "summary"] {
                assert!(
                    operation[text].as_str().unwrap_or_default().chars().count() <= 300,
                    "{path} {method}"
                );
            }
            assert_eq!(
                operation["x-openai-isConsequential"].as_bool(),
                Some(method != "get"),
                "{path} {method}"
            );
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].as_str().unwrap_or_default().chars().count() <= 700);
                assert_ne!(parameter["in"], "header", "custom headers are not sent");
            }
        }
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert!(ids.len() == all && (1..=30).contains(&count), "{count} operations");
}
