//! An API's OpenAPI document as a service and its routes: one route a path, with exactly the methods that the document names.
//!
//! The same document gives the same objects each time, all with one label, so that importing a newer one changes what is new in it and takes away what
//! isn't in it any more. What somebody has added to such an object since (plugins, timeouts, labels) stays.

mod door;
mod name;
mod path;
mod server;

use serde_json::{Map, Value, json};

use crate::kind::{Key, Kind};

pub use name::operation_name;

/// The label of everything that comes from a document; its value is the service's id.
pub const LABEL: &str = "openapi";

/// Paths of one document at most.
const MOST_PATHS: usize = 2_000;

/// The methods that a document may name.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// How an API is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// What stands before each path at the gateway, such as `/shop`. Default: the path of the document's server, as clients of the API know it.
    pub prefix: Option<String>,
    /// The service's id. Default: made of the document's title.
    pub id: Option<String>,
    /// Where the API is, instead of the document's first server: `https://host:port/path`.
    pub server: Option<String>,
    /// The hosts that it is published under. Default: any.
    pub hosts: Vec<String>,
    /// Whether what chats need to use the API is served beside it, by a route of its own.
    pub chat: bool,
    /// The header in which callers of the API show a key to the gateway, for those files; `Authorization` means a bearer token. Default: what the document
    /// says.
    pub chat_key: Option<String>,
}

/// What a document becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The service's id, which is the value of [`LABEL`] too.
    pub id: String,
    /// The API's title.
    pub title: String,
    /// The service, then its routes in the document's order.
    pub objects: Vec<(Key, Value)>,
    /// How many operations there are.
    pub operations: usize,
    /// What is in the document and not acted upon.
    pub warnings: Vec<String>,
}

/// Why a document can't be published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct OpenApiError {
    /// Where, as a JSON pointer into the document, or the option's name.
    pub at: String,
    /// What is wrong there, and what to do.
    pub reason: String,
}

impl OpenApiError {
    fn new(at: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { at: at.into(), reason: reason.into() }
    }
}

/// The objects of a document.
///
/// # Errors
/// It is no OpenAPI document, names no server, or a path or option in it can't be used.
pub fn objects(document: &Value, wish: &Publish) -> Result<Published, OpenApiError> {
    let version = ["openapi", "swagger"].iter().find_map(|name| document.get(*name)?.as_str());
    if !version.is_some_and(|version| version.starts_with("3.") || version.starts_with("2.")) {
        let reason = "this is no OpenAPI document: it has to begin with `openapi: 3.0.x` or `3.1.x` (or `swagger: \"2.0\"`)";
        return Err(OpenApiError::new("/openapi", reason));
    }
    let title = document.pointer("/info/title").and_then(Value::as_str).unwrap_or("api").to_owned();
    let id = match &wish.id {
        Some(id) if is_id(id) => id.clone(),
        Some(id) => {
            return Err(OpenApiError::new(
                "id",
                format!("{id:?} can't be an id; write 1 to 40 letters, digits, - or _"),
            ));
        }
        None => slug(&title, 40).unwrap_or_else(|| "api".to_owned()),
    };
    let server = server::of(document, wish)?;
    let prefix = path::prefix(wish.prefix.as_deref().unwrap_or(&server.base))?;
    let paths = document.get("paths").and_then(Value::as_object).filter(|paths| !paths.is_empty());
    let Some(paths) = paths else {
        return Err(OpenApiError::new("/paths", "the document has no paths, so there is nothing to publish"));
    };
    if paths.len() > MOST_PATHS {
        let reason =
            format!("the document has {} paths, at most {MOST_PATHS} are taken; split it", paths.len());
        return Err(OpenApiError::new("/paths", reason));
    }
    let labels = json!({ LABEL: id });
    let mut service = Map::new();
    service.insert("name".to_owned(), short(&title, 100).into());
    if let Some(text) = document.pointer("/info/description").and_then(Value::as_str) {
        service.insert("desc".to_owned(), short(text.lines().next().unwrap_or_default(), 256).into());
    }
    service.insert("labels".to_owned(), labels.clone());
    service.insert("upstream".to_owned(), server.upstream());
    if !wish.hosts.is_empty() {
        service.insert("hosts".to_owned(), json!(wish.hosts));
    }
    let mut objects = vec![(Key::new(Kind::Service, id.clone()), Value::Object(service))];
    let mut taken: Vec<String> = vec![door::route_id(&id)];
    let (mut warnings, mut operations) = (Vec::new(), 0);
    for (template, item) in paths {
        if !template.starts_with('/') {
            // `x-` and the like.
            continue;
        }
        let at = format!("/paths/{}", template.replace('~', "~0").replace('/', "~1"));
        let methods: Vec<String> = METHODS
            .iter()
            .filter(|method| item.get(**method).is_some())
            .map(|method| method.to_ascii_uppercase())
            .collect();
        if methods.is_empty() {
            warnings.push(format!("{template}: no operation stands there itself (a $ref is not followed), so it is not published"));
            continue;
        }
        operations += methods.len();
        let place = path::place(&prefix, template).map_err(|reason| OpenApiError::new(at, reason))?;
        let route_id = route_id(&id, template, &mut taken);
        let mut route = Map::new();
        route.insert("name".to_owned(), short(&format!("{} {template}", methods.join(",")), 100).into());
        if let Some(text) = summary(item) {
            route.insert("desc".to_owned(), short(text, 256).into());
        }
        route.insert("labels".to_owned(), labels.clone());
        route.insert("uri".to_owned(), place.uri.into());
        route.insert("methods".to_owned(), json!(methods));
        if let Some(pattern) = place.pattern {
            route.insert("vars".to_owned(), json!([["uri", "~~", pattern]]));
        }
        route.insert("service_id".to_owned(), id.clone().into());
        if prefix != server.base {
            let regex = json!([format!("^{}(/.*)$", path::escaped(&prefix)), format!("{}$1", server.base)]);
            route.insert("plugins".to_owned(), json!({ "proxy-rewrite": { "regex_uri": regex } }));
        }
        objects.push((Key::new(Kind::Route, route_id), Value::Object(route)));
    }
    if operations == 0 {
        return Err(OpenApiError::new(
            "/paths",
            "no path of the document has an operation, so there is nothing to publish",
        ));
    }
    if wish.chat || wish.chat_key.is_some() {
        let (door, left_out) = door::route(document, &id, &prefix, wish)?;
        objects.push(door);
        warnings.extend(left_out);
    }
    Ok(Published { id, title, objects, operations, warnings })
}

/// The route that serves what chats need to use a published API.
#[must_use]
pub fn chat_route(id: &str) -> Key {
    Key::new(Kind::Route, door::route_id(id))
}

/// An object as it is to be stored: what the document says in the place of what it said before, and what somebody has added since left as it is.
#[must_use]
pub fn merged(stored: &Value, wanted: &Value) -> Value {
    let mut merged = stored.clone();
    let (Some(into), Some(wanted)) = (merged.as_object_mut(), wanted.as_object()) else {
        return wanted.clone();
    };
    for member in ["vars", "desc", "hosts"] {
        if !wanted.contains_key(member) {
            into.shift_remove(member);
        }
    }
    for (name, value) in wanted {
        match (name.as_str(), into.get_mut(name).and_then(Value::as_object_mut), value.as_object()) {
            ("plugins", Some(known), Some(more)) => {
                more.iter().for_each(|(name, value)| door::plugin_merged(known, name, value));
            }
            ("labels", Some(known), Some(more)) => {
                more.iter().for_each(|(name, value)| drop(known.insert(name.clone(), value.clone())));
            }
            ("upstream", Some(known), Some(more)) => {
                // Health checks, weights of further nodes and the like are somebody's own; where the API is comes from the document.
                let same_place =
                    known.get("nodes") == more.get("nodes") && known.get("scheme") == more.get("scheme");
                if !same_place {
                    more.iter().for_each(|(name, value)| drop(known.insert(name.clone(), value.clone())));
                }
            }
            _ => drop(into.insert(name.clone(), value.clone())),
        }
    }
    if wanted.get("plugins").is_none()
        && let Some(plugins) = into.get_mut("plugins").and_then(Value::as_object_mut)
    {
        plugins.shift_remove("proxy-rewrite");
        if plugins.is_empty() {
            into.shift_remove("plugins");
        }
    }
    merged
}

/// The first summary of a path's operations.
fn summary(item: &Value) -> Option<&str> {
    let own = item.get("summary").and_then(Value::as_str);
    own.or_else(|| METHODS.iter().find_map(|method| item.get(*method)?.get("summary")?.as_str()))
}

/// A route's id: the service's, and the path in words. Two paths never get the same.
fn route_id(service: &str, template: &str, taken: &mut Vec<String>) -> String {
    let words = slug(template, 64).unwrap_or_else(|| "root".to_owned());
    let mut id = format!("{service}.{words}");
    if id.len() > 64 || taken.contains(&id) {
        let mark = format!(".{:08x}", crc(template));
        id.truncate(64 - mark.len());
        id.push_str(&mark);
    }
    taken.push(id.clone());
    id
}

/// A number made of a text, the same each time (FNV-1a).
fn crc(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Letters and digits of a text in lower case, with hyphens between them; `None` where it has none.
#[must_use]
pub fn slug(text: &str, most: usize) -> Option<String> {
    let mut slug = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(most);
    let slug = slug.trim_end_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

fn is_id(id: &str) -> bool {
    (1..=40).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests;
