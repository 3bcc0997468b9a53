//! What stands between fences: configurations are accepted by the program as they are, JSON is JSON.

use clap::Parser as _;
use serde_json::Value;

use super::{files_below, pages};
use crate::cli::Cli;
use crate::settings;

/// A fenced block of a page.
pub(super) struct Block {
    /// Page and line, for whoever mends it.
    pub(super) place: String,
    /// The word behind the fence.
    pub(super) language: String,
    pub(super) text: String,
}

/// The fenced blocks of a page.
pub(super) fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                open = Some(Block {
                    place: format!("{page}:{}", at + 1),
                    language: language.split_whitespace().next().unwrap_or_default().to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => {
                block.text += line;
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page} has a block without an end");
    found
}

/// Top-level names of files that are other programs' business.
const OTHERS: &[&str] = &["apiVersion", "services", "scrape_configs", "groups", "openapi", "mcpServers"];

/// Names of our settings' sections.
const SETTINGS: &[&str] = &[
    "data",
    "listen",
    "apisix",
    "deployment",
    "discovery",
    "nginx_config",
    "plugin_attr",
    "limits",
    "chat",
    "console",
    "store",
    "keyring_file",
    "compat",
    "acme",
];

/// What a text in YAML is accepted by.
async fn accepted(text: &str) -> Result<(), String> {
    let filled = fill_in(text);
    let value: Value = serde_saphyr::from_str(&filled).map_err(|error| error.to_string())?;
    let Value::Object(members) = &value else { return Err("a block of YAML needs names".to_owned()) };
    if members.keys().any(|name| OTHERS.contains(&name.as_str())) {
        return Ok(());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("block.yaml");
    std::fs::write(&path, &filled).unwrap();
    if members.keys().any(|name| SETTINGS.contains(&name.as_str())) {
        return settings::read_file(&path).map(|_| ()).map_err(|error| format!("{error:#}"));
    }
    let command = Cli::try_parse_from(["usher", "validate", path.to_str().unwrap()]).unwrap();
    command.command.run().await.map_err(|error| format!("{error:#}"))
}

/// `${{NAME}}` and `${{NAME:=default}}`, each name by an address of its own; ports by a number.
fn fill_in(text: &str) -> String {
    let mut out = String::new();
    let mut names: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        let (name, behind) = after.split_once("}}").unwrap_or((after, ""));
        let name = name.split(':').next().unwrap_or_default().trim();
        if !names.contains(&name) {
            names.push(name);
        }
        let port = 1980 + names.iter().position(|one| *one == name).unwrap_or_default();
        out += before;
        out += &if name == "PORT" { port.to_string() } else { format!("127.0.0.1:{port}") };
        rest = behind;
    }
    out + rest
}

#[tokio::test]
async fn every_configuration_of_the_manual_is_accepted() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, text) in pages() {
        for block in blocks(&page, &text) {
            let outcome = match block.language.as_str() {
                "yaml" => accepted(&block.text).await,
                "json" => {
                    let whole = serde_json::from_str::<Value>(&block.text);
                    let part = serde_json::from_str::<Value>(&format!("{{{}}}", block.text));
                    whole.or(part).map(|_| ()).map_err(|error| error.to_string())
                }
                _ => continue,
            };
            count += 1;
            wrong.extend(outcome.err().map(|why| format!("{}: {why}", block.place)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 20, "only {count} blocks were found");
}

#[tokio::test]
async fn every_file_of_the_examples_and_deployments_is_accepted() {
    let files = ["examples", "deploy"].iter().flat_map(|folder| files_below(folder, "yaml"));
    let mut count = 0;
    for (name, text) in files.filter(|(name, _)| !name.contains("/helm/")) {
        let mut documents = text.split("\n---\n");
        // Several documents in one file are Kubernetes' way.
        let outcome = if text.contains("\n---\n") {
            documents.try_for_each(|one| {
                serde_saphyr::from_str::<Value>(one).map(|_| ()).map_err(|error| error.to_string())
            })
        } else {
            accepted(&text).await
        };
        assert_eq!(outcome, Ok(()), "{name}");
        count += 1;
    }
    assert!(count > 20, "only {count} files were found");
}
