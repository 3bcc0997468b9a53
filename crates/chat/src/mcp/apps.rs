//! Pages that a chat shows beside the answers of tools (the extension `io.modelcontextprotocol/ui`): a plan with its two buttons, and traffic.
//!
//! A page shows what the answer says anyway, and what it does goes the way of every call: nothing is decided there. Its policy lets it reach nobody, and its
//! script and style are let in by their digest alone.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{ExtensionCapabilities, MetaObject, Resource, ResourceContents};
use serde_json::{Map, Value, json};

/// What the extension is called.
const NAME: &str = "io.modelcontextprotocol/ui";
/// What its pages are.
const MEDIA_TYPE: &str = "text/html;profile=mcp-app";
/// What addresses of pages begin with.
pub(super) const SCHEME: &str = "ui://";

/// A page.
struct App {
    uri: &'static str,
    name: &'static str,
    title: &'static str,
    about: &'static str,
    /// The tools whose answers it shows.
    tools: &'static [&'static str],
    script: &'static str,
}

static APPS: [App; 2] = [
    App {
        uri: "ui://usher/plan",
        name: "plan",
        title: "A plan",
        about: "A plan line by line, to be applied or rejected",
        tools: &["gateway_plan", "gateway_undo"],
        script: include_str!("../../assets/apps/plan.js"),
    },
    App {
        uri: "ui://usher/traffic",
        name: "traffic",
        title: "Traffic",
        about: "What was served, a bar a row",
        tools: &["gateway_traffic"],
        script: include_str!("../../assets/apps/traffic.js"),
    },
];

/// How the server says that it has pages.
pub(super) fn capability() -> ExtensionCapabilities {
    let mut extensions = ExtensionCapabilities::new();
    let mut settings = Map::new();
    settings.insert("mimeTypes".to_owned(), json!([MEDIA_TYPE]));
    extensions.insert(NAME.to_owned(), settings);
    extensions
}

/// What a tool's entry in the list says of its page.
pub(super) fn of_tool(name: &str) -> Option<MetaObject> {
    let app = APPS.iter().find(|app| app.tools.contains(&name))?;
    Some(meta(json!({ "resourceUri": app.uri })))
}

/// The pages as resources.
pub(super) fn resources() -> impl Iterator<Item = Resource> {
    APPS.iter().map(|app| {
        Resource::new(app.uri, app.name)
            .with_title(app.title)
            .with_description(app.about)
            .with_mime_type(MEDIA_TYPE)
    })
}

/// A page with what the program around it has to know: it needs to reach nobody.
pub(super) fn read(uri: &str) -> Option<ResourceContents> {
    static PAGES: LazyLock<Vec<String>> = LazyLock::new(|| APPS.iter().map(page).collect());
    let at = APPS.iter().position(|app| app.uri == uri)?;
    let text = PAGES.get(at)?.clone();
    let nobody: [&str; 0] = [];
    let ui = json!({
        "csp": { "connectDomains": nobody, "resourceDomains": nobody, "frameDomains": nobody, "baseUriDomains": nobody },
        "prefersBorder": true,
    });
    Some(ResourceContents::text(text, uri).with_mime_type(MEDIA_TYPE).with_meta(meta(ui)))
}

fn meta(ui: Value) -> MetaObject {
    let mut members = Map::new();
    members.insert("ui".to_owned(), ui);
    MetaObject(members)
}

fn page(app: &App) -> String {
    let style = include_str!("../../assets/apps/page.css");
    let script = format!("{}{}", include_str!("../../assets/apps/bridge.js"), app.script);
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    include_str!("../../assets/apps/page.html")
        .replace("{title}", app.title)
        .replace("{script-hash}", &hash(&script))
        .replace("{style-hash}", &hash(style))
        .replace("{style}", style)
        .replace("{script}", &script)
}
