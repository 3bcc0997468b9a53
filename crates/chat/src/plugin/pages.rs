//! The pages for people who open the chat port with a browser.

const STYLE: &str = "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color:#16213a;\
background:#fff}code,pre{background:#eef1f8;border-radius:4px;padding:.1em .3em}pre{padding:.7em}img{float:right;width:96px;\
border-radius:20px}a{color:#2747b8}@media(prefers-color-scheme:dark){body{background:#10162a;color:#e4e9f7}code,pre{background:#1f2946}\
a{color:#9db4ff}}</style>";

/// What is here.
pub(super) fn welcome(public_url: &str) -> String {
    let url = escaped(public_url);
    page(&format!(
        "<img src=\"/logo.png\" alt=\"\"><h1>Usher</h1>\
<p>This is the chat side of an API gateway: the address that chats and agents connect to. Version {version}.</p>\
<ul><li><b>MCP</b> (Streamable HTTP): <code>{url}/mcp</code></li>\
<li><b>ChatGPT plugin</b>: <a href=\"/.well-known/ai-plugin.json\">manifest</a>, <a href=\"/openapi.yaml\">OpenAPI document</a></li>\
<li><b>Admin API</b>, for the plugin: <a href=\"/apisix/admin/routes\">/apisix/admin/routes</a> and the like</li></ul>\
<p>In a terminal:</p><pre>usher chat \"show all routes\"</pre>\
<p>For a client that starts its MCP servers:</p><pre>usher mcp --url {url}</pre>\
<p>Every change made here is planned, recorded, and can be undone.</p>",
        version = env!("CARGO_PKG_VERSION"),
    ))
}

/// Whose this is.
pub(super) fn legal() -> String {
    page(
        "<h1>Legal information</h1>\
<p>This gateway is run by whoever operates this machine; they decide who may use it and what is recorded. Changes are kept in its history \
with the time, the door they came through, and what was changed. Conversations are not kept here.</p>\
<p>Usher is free software under the Apache License 2.0 and comes without warranty. It is not affiliated with the Apache Software Foundation \
or OpenAI. Apache APISIX is a trademark of the Apache Software Foundation; ChatGPT is a trademark of OpenAI.</p><p><a href=\"/\">Back</a></p>",
    )
}

fn page(content: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>Usher</title>{STYLE}</head><body>{content}</body></html>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
