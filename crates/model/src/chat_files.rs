//! What a chat needs to use an API, made of the API's OpenAPI document: the manifest of ChatGPT's plugins of 2023, the document, and the same for GPT Actions.
//!
//! The texts are the API's own; what is made here keeps them within the limits of those who read them, and names what had to be left out.

mod actions;
mod manifest;

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The plugin that serves them.
pub const PLUGIN: &str = "chat-files";

/// Characters that a file may have; ChatGPT takes fewer than 100,000.
pub const MOST_CHARACTERS: usize = 99_999;

/// Operations that GPT Actions take at most.
pub const MOST_OPERATIONS: usize = 30;

/// Where each file lies, behind the API's prefix.
pub const PLACES: [(&str, File); 5] = [
    ("/.well-known/ai-plugin.json", File::Manifest),
    ("/openapi.json", File::Json),
    ("/openapi.yaml", File::Yaml),
    ("/actions.json", File::Actions),
    ("/logo.png", File::Logo),
];

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The manifest of 2023.
    Manifest,
    /// The whole document as JSON.
    Json,
    /// The whole document as YAML.
    Yaml,
    /// The document for GPT Actions.
    Actions,
    /// A picture for an API that names none of its own.
    Logo,
}

/// How callers of the API show who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// With a token in `Authorization: Bearer`. The tokens are those that ChatGPT gave to prove whose the API is, by name.
    Bearer(BTreeMap<String, String>),
    /// With a key in this header.
    Key(String),
}

/// What isn't in the document, or is to be said instead of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// What stands before each path at the gateway. Default: nothing.
    pub prefix: String,
    /// How callers show who they are. Default: what the document says.
    pub auth: Option<Auth>,
    /// The operations that GPT Actions get, by `operationId`. Default: the first 30.
    pub operations: Option<Vec<String>>,
    /// Whom to write to. Default: the document's contact.
    pub contact_email: Option<String>,
    /// Where the legal information is. Default: the document's terms of service or licence.
    pub legal_info_url: Option<String>,
    /// Where the API's picture is. Default: the document's `x-logo`, or one of our own.
    pub logo_url: Option<String>,
}

/// Everything that is served for one API; only where it is reached is still open.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatFiles {
    document: Value,
    actions: Value,
    auth: Auth,
    wish: Wish,
    /// What isn't in the document for GPT Actions, a sentence each.
    pub left_out: Vec<String>,
}

impl File {
    /// What it is, as `Content-Type` says it.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Manifest | Self::Json | Self::Actions => "application/json",
            Self::Yaml => "application/yaml",
            Self::Logo => "image/png",
        }
    }
}

impl ChatFiles {
    /// The files of a document.
    ///
    /// # Errors
    /// It is no OpenAPI 3 document, has no operation that GPT Actions could take, or stays too long for them; as a sentence.
    pub fn new(document: &Value, wish: &Wish) -> Result<Self, String> {
        let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
        if !version.starts_with("3.") {
            return Err(
                "chats take OpenAPI 3.0 or 3.1, and this document is neither; convert it first".to_owned()
            );
        }
        let mut whole = document.clone();
        without_servers(&mut whole);
        let auth = match &wish.auth {
            Some(auth) => {
                secured(&mut whole, auth);
                auth.clone()
            }
            None => declared(&whole),
        };
        let actions::Reduced { document: actions, left_out } =
            actions::reduced(&whole, wish.operations.as_deref())?;
        let size = length(&actions);
        if size > MOST_CHARACTERS {
            return Err(format!(
                "the document for GPT Actions has {size} characters, and they take fewer than 100,000; choose fewer \"operations\""
            ));
        }
        // Whoever reads the whole one has the same bound.
        let document = if length(&whole) > MOST_CHARACTERS { actions.clone() } else { whole };
        Ok(Self { document, actions, auth, wish: wish.clone(), left_out })
    }

    /// The manifest of 2023 for an API whose gateway is reached at `origin`, such as `https://shop.example.com`; `None` where callers show a key in a
    /// header that these plugins could not send.
    #[must_use]
    pub fn manifest(&self, origin: &str) -> Option<Value> {
        manifest::manifest(&self.document, &self.auth, &self.wish, &self.base(origin))
    }

    /// The document, with its one server at `origin`.
    #[must_use]
    pub fn document(&self, origin: &str) -> Value {
        served_at(&self.document, &self.base(origin))
    }

    /// The document for GPT Actions, with its one server at `origin`.
    #[must_use]
    pub fn actions(&self, origin: &str) -> Value {
        served_at(&self.actions, &self.base(origin))
    }

    /// A file as it is sent, for a gateway that is reached at `origin`; `None` for the picture, and for a manifest that can't be.
    #[must_use]
    pub fn text(&self, file: File, origin: &str) -> Option<String> {
        match file {
            File::Manifest => self.manifest(origin).map(|manifest| format!("{manifest:#}\n")),
            File::Json => Some(format!("{:#}\n", self.document(origin))),
            File::Yaml => {
                let document = self.document(origin);
                // A document of texts, numbers and lists always has a YAML form; JSON is one too.
                Some(serde_saphyr::to_string(&document).unwrap_or_else(|_| document.to_string()))
            }
            File::Actions => Some(format!("{:#}\n", self.actions(origin))),
            File::Logo => None,
        }
    }

    fn base(&self, origin: &str) -> String {
        format!("{}{}", origin.trim_end_matches('/'), self.wish.prefix)
    }
}

/// How long a document is as JSON, in characters; the server's address comes on top.
fn length(document: &Value) -> usize {
    document.to_string().chars().count() + 300
}

fn served_at(document: &Value, base: &str) -> Value {
    let mut served = document.clone();
    if let Some(members) = served.as_object_mut() {
        members.insert("servers".to_owned(), json!([{ "url": base }]));
    }
    served
}

/// The document without the addresses of the API itself: chats come through the gateway.
fn without_servers(document: &mut Value) {
    let Some(members) = document.as_object_mut() else { return };
    members.shift_remove("servers");
    let items = members.get_mut("paths").and_then(Value::as_object_mut);
    for item in items.into_iter().flat_map(|paths| paths.values_mut()).filter_map(Value::as_object_mut) {
        item.shift_remove("servers");
        for operation in item.values_mut().filter_map(Value::as_object_mut) {
            operation.shift_remove("servers");
        }
    }
}

/// Says in the document how callers show who they are, in the place of what it said.
fn secured(document: &mut Value, auth: &Auth) {
    let scheme = match auth {
        Auth::None => None,
        Auth::Bearer(_) => Some(json!({ "type": "http", "scheme": "bearer" })),
        Auth::Key(header) => Some(json!({ "type": "apiKey", "in": "header", "name": header })),
    };
    let Some(members) = document.as_object_mut() else { return };
    members.shift_remove("security");
    let items = members.get_mut("paths").and_then(Value::as_object_mut);
    for operation in items
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .filter_map(Value::as_object_mut)
        .flat_map(|item| item.values_mut())
        .filter_map(Value::as_object_mut)
    {
        operation.shift_remove("security");
    }
    let components = members.entry("components").or_insert_with(|| json!({}));
    if let Some(components) = components.as_object_mut() {
        components.shift_remove("securitySchemes");
        if let Some(scheme) = &scheme {
            components.insert("securitySchemes".to_owned(), json!({ "gateway": scheme }));
        }
    }
    if scheme.is_some() {
        members.insert("security".to_owned(), json!([{ "gateway": [] }]));
    }
}

/// What the document itself says of how callers show who they are, as far as it can be said here.
fn declared(document: &Value) -> Auth {
    let name = document.pointer("/security/0").and_then(Value::as_object).and_then(|one| one.keys().next());
    let schemes = document.pointer("/components/securitySchemes");
    let scheme = name.and_then(|name| schemes?.get(name));
    let member =
        |name| scheme.and_then(|scheme| scheme.get(name)).and_then(Value::as_str).unwrap_or_default();
    match (member("type"), member("in"), member("scheme").to_ascii_lowercase().as_str()) {
        ("http", _, "bearer") => Auth::Bearer(BTreeMap::new()),
        ("apiKey", "header", _) => Auth::Key(member("name").to_owned()),
        _ => Auth::None,
    }
}

/// A text of at most so many characters.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests;
