//! Settings, links and entries for clients that take a server's address alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{File, Options, server};
use crate::catalogue::INSTRUCTIONS;
use crate::skills::SKILLS;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// For Cursor: the project's settings, and a link that adds the server to one's own.
pub(super) fn cursor(options: &Options) -> Vec<File> {
    let own = server(options, None, "url");
    let config = utf8_percent_encode(&STANDARD.encode(own.to_string()), NON_ALPHANUMERIC).to_string();
    let link =
        format!("cursor://anysphere.cursor-deeplink/mcp/install?name={}&config={config}", options.name);
    vec![
        File::json(".cursor/mcp.json", &json!({ "mcpServers": { options.name.as_str(): own } })),
        File::text("install.txt", format!("{link}\n")),
    ]
}

/// For Visual Studio Code: the workspace's settings, and a link.
pub(super) fn vscode(options: &Options) -> Vec<File> {
    let mut own = server(options, Some("http"), "url");
    if options.stdio
        && let Some(members) = own.as_object_mut()
    {
        members.insert("type".to_owned(), "stdio".into());
    }
    let mut named = own.clone();
    if let Some(members) = named.as_object_mut() {
        members.insert("name".to_owned(), options.name.as_str().into());
    }
    let link = format!("vscode:mcp/install?{}", utf8_percent_encode(&named.to_string(), NON_ALPHANUMERIC));
    vec![
        File::json(".vscode/mcp.json", &json!({ "servers": { options.name.as_str(): own } })),
        File::text("install.txt", format!("{link}\n")),
    ]
}

/// For Gemini's command line: an extension with what its model is told.
pub(super) fn gemini(options: &Options) -> Vec<File> {
    let extension = json!({
        "name": options.name, "version": VERSION, "contextFileName": "GEMINI.md",
        "mcpServers": { options.name.as_str(): server(options, None, "httpUrl") },
    });
    let mut context = format!("# Usher\n\n{INSTRUCTIONS}\n");
    for skill in &SKILLS {
        context.push_str(&format!("\n## {}\n\n{}\n\n{}", skill.title, skill.description, skill.steps));
    }
    vec![File::json("gemini-extension.json", &extension), File::text("GEMINI.md", context)]
}

/// For the MCP registry.
pub(super) fn registry(options: &Options) -> Vec<File> {
    let host = options.url.trim_start_matches("https://").split(['/', ':']).next().unwrap_or_default();
    let reversed: Vec<&str> = host.split('.').rev().collect();
    let entry = json!({
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        // The registry lets those publish a name who own the domain that it begins with.
        "name": format!("{}/{}", reversed.join("."), options.name),
        "title": "Usher API gateway",
        "description": "Run an Usher API gateway: look, plan with a readable diff, agree, apply, undo.",
        "version": VERSION,
        "remotes": [{ "type": "streamable-http", "url": format!("{}/mcp", options.url) }],
    });
    vec![File::json("server.json", &entry)]
}
