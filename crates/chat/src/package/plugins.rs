//! Plugins for ChatGPT, Codex and Claude: a manifest, the server's address, the recipes as skills, and a marketplace file to try them with.

use serde_json::{Value, json};

use super::{File, Options, server};
use crate::plugin::LOGO;
use crate::skills::SKILLS;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const SHORT: &str = "Run an API gateway by talking to it";
const LONG: &str = "Look at routes, traffic and backends of an Usher API gateway, plan changes with a readable diff, agree to them, and take them back. \
Every change is planned first, and what is risky needs a person.";
const KEYWORDS: [&str; 4] = ["api-gateway", "apisix", "mcp", "operations"];

/// For ChatGPT and Codex.
pub(super) fn openai(options: &Options) -> Vec<File> {
    let mut files = common(options);
    files.push(File::json(
        ".codex-plugin/plugin.json",
        &json!({
            "name": options.name, "version": VERSION, "description": SHORT, "license": "Apache-2.0", "keywords": KEYWORDS,
            "author": { "name": "Usher" }, "skills": "./skills/", "mcpServers": "./.mcp.json",
            "interface": {
                "displayName": "Usher", "shortDescription": SHORT, "longDescription": LONG, "developerName": "Usher",
                "category": "Developer Tools", "capabilities": ["Read", "Write"], "logo": "./assets/logo.png",
                "composerIcon": "./assets/logo.png", "brandColor": "#1F5FBF",
                "defaultPrompt": ["Show all routes.", "Who gets 401s in the last hour, and why?", "Which backends are down, and what depends on them?"],
            },
        }),
    ));
    files.push(File::json(
        ".agents/plugins/marketplace.json",
        &json!({
            "name": format!("{}-local", options.name), "interface": { "displayName": "Usher on this machine" },
            "plugins": [{
                "name": options.name, "source": { "source": "local", "path": "./" },
                "policy": { "installation": "AVAILABLE", "authentication": "ON_USE" }, "category": "Developer Tools",
            }],
        }),
    ));
    files
}

/// For Claude Code and Claude's desktop program.
pub(super) fn claude(options: &Options) -> Vec<File> {
    let mut files = common(options);
    files.push(File::json(
        ".claude-plugin/plugin.json",
        &json!({
            "name": options.name, "version": VERSION, "description": SHORT, "author": { "name": "Usher" }, "license": "Apache-2.0",
            "keywords": KEYWORDS,
        }),
    ));
    files.push(File::json(
        ".claude-plugin/marketplace.json",
        &json!({
            "name": format!("{}-local", options.name), "owner": { "name": "Usher" },
            "plugins": [{ "name": options.name, "source": "./", "description": SHORT }],
        }),
    ));
    files
}

fn common(options: &Options) -> Vec<File> {
    let servers: Value =
        json!({ "mcpServers": { options.name.as_str(): server(options, Some("http"), "url") } });
    let mut files = vec![
        File::json(".mcp.json", &servers),
        File { path: "assets/logo.png".to_owned(), content: LOGO.to_vec() },
    ];
    files.extend(
        SKILLS.iter().map(|skill| File::text(format!("skills/{}/SKILL.md", skill.name), skill.document())),
    );
    files
}
