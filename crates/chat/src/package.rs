//! Packages for the programs that people chat in: plugins, extensions, settings and registry entries, all made from the one catalogue.
//!
//! They hold an address and texts, never a key. What a client does with them is its own; each file has the shape that its maker documents.

mod clients;
mod plugins;

pub use crate::plugin::{actions, manifest};

/// Who a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// ChatGPT and Codex: a plugin with skills and the MCP server.
    OpenAi,
    /// Claude Code and Claude's desktop program: a plugin with skills and the MCP server.
    Claude,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    VsCode,
    /// Gemini's command line: an extension.
    Gemini,
    /// The MCP registry: an entry for a gateway that is reachable by https.
    McpRegistry,
    /// ChatGPT's plugin of 2023: the manifest and its OpenAPI document, as files.
    Plugin2023,
    /// A GPT with actions: the OpenAPI document.
    Actions,
}

impl Target {
    /// All of them, with the words that the command line takes.
    pub const ALL: [(&'static str, Self); 8] = [
        ("openai", Self::OpenAi),
        ("claude", Self::Claude),
        ("cursor", Self::Cursor),
        ("vscode", Self::VsCode),
        ("gemini", Self::Gemini),
        ("mcp-registry", Self::McpRegistry),
        ("plugin-2023", Self::Plugin2023),
        ("actions", Self::Actions),
    ];
}

/// What a package is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the chat side is reached, such as `http://127.0.0.1:5000`, without `/mcp`.
    pub url: String,
    /// What the server is called in the client: lower case with hyphens.
    pub name: String,
    /// Whether the client starts `usher mcp` and speaks with it, instead of calling the address by itself.
    pub stdio: bool,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where in the package, with slashes.
    pub path: String,
    /// What is in it.
    pub content: Vec<u8>,
}

impl File {
    fn text(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), content: text.into().into_bytes() }
    }

    fn json(path: impl Into<String>, value: &serde_json::Value) -> Self {
        Self::text(path, format!("{value:#}\n"))
    }
}

/// The files of a package.
///
/// # Errors
/// The name or address can't be used for this target, as a sentence.
pub fn package(target: Target, options: &Options) -> Result<Vec<File>, String> {
    let is_name = (1..=40).contains(&options.name.len())
        && options
            .name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && options.name.starts_with(|letter: char| letter.is_ascii_lowercase());
    if !is_name {
        return Err(format!(
            "{:?} can't be a server's name; write up to 40 lower case letters, digits and hyphens",
            options.name
        ));
    }
    let url = crate::client::base(&options.url).map_err(|error| error.to_string())?;
    let options = Options { url, ..options.clone() };
    let is_public = options.url.starts_with("https://");
    match target {
        Target::OpenAi => Ok(plugins::openai(&options)),
        Target::Claude => Ok(plugins::claude(&options)),
        Target::Cursor => Ok(clients::cursor(&options)),
        Target::VsCode => Ok(clients::vscode(&options)),
        Target::Gemini => Ok(clients::gemini(&options)),
        Target::McpRegistry if !is_public => Err(format!(
            "the registry lists servers that everybody can reach, and {} is not; give the gateway's public https address with --url",
            options.url
        )),
        Target::McpRegistry => Ok(clients::registry(&options)),
        Target::Plugin2023 => Ok(vec![
            File::json("ai-plugin.json", &manifest(&options.url)),
            File::json("openapi.json", &actions(&options.url)),
            File { path: "logo.png".to_owned(), content: crate::plugin::LOGO.to_vec() },
        ]),
        Target::Actions => Ok(vec![File::json("openapi.json", &actions(&options.url))]),
    }
}

/// How a client reaches the server, as most of them write it.
fn server(options: &Options, kind: Option<&str>, member: &str) -> serde_json::Value {
    if options.stdio {
        return serde_json::json!({ "command": "usher", "args": ["mcp", "--url", options.url] });
    }
    let mut server = serde_json::Map::new();
    if let Some(kind) = kind {
        server.insert("type".to_owned(), kind.into());
    }
    server.insert(member.to_owned(), format!("{}/mcp", options.url).into());
    server.into()
}

#[cfg(test)]
mod tests;
