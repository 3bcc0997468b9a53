//! The route beside a published API that serves what chats need to use it. It belongs to no service, so that what guards the calls doesn't guard the files.

use serde_json::{Map, Value, json};

use super::{LABEL, OpenApiError, Publish, short};
use crate::chat_files::{Auth, ChatFiles, PLACES, PLUGIN, Wish};
use crate::kind::{Key, Kind};

/// The id of that route.
pub(super) fn route_id(id: &str) -> String {
    format!("{id}.chat-files")
}

/// The route, and what isn't in its files.
///
/// # Errors
/// Chats can't use the document, or the API has one of the files' paths itself.
pub(super) fn route(
    document: &Value,
    id: &str,
    prefix: &str,
    wish: &Publish,
) -> Result<((Key, Value), Vec<String>), OpenApiError> {
    let own = |place: &str| document.get("paths").and_then(|paths| paths.get(place)).is_some();
    if let Some((place, _)) = PLACES.iter().find(|(place, _)| own(place)) {
        let reason =
            format!("the API has {place} itself, where a file for chats would lie; publish it without them");
        return Err(OpenApiError::new("chat", reason));
    }
    let auth = wish.chat_key.as_deref().map(|header| {
        if header.eq_ignore_ascii_case("authorization") {
            Auth::Bearer(std::collections::BTreeMap::new())
        } else {
            Auth::Key(header.to_owned())
        }
    });
    let written = auth.as_ref().map(|auth| match auth {
        Auth::Key(header) => json!({ "type": "key", "header": header }),
        Auth::None | Auth::Bearer(_) => json!({ "type": "bearer" }),
    });
    let files = ChatFiles::new(document, &Wish { prefix: prefix.to_owned(), auth, ..Wish::default() });
    let files = files.map_err(|reason| OpenApiError::new("chat", reason))?;
    let mut plugin = json!({ "spec": document.to_string(), "prefix": prefix });
    if let (Some(written), Some(members)) = (written, plugin.as_object_mut()) {
        members.insert("auth".to_owned(), written);
    }
    let mut uris: Vec<String> = PLACES.iter().map(|(place, _)| format!("{prefix}{place}")).collect();
    // Where the API has hosts of its own, that is where a chat looks first.
    if let (Some((place, _)), false, false) = (PLACES.first(), wish.hosts.is_empty(), prefix.is_empty()) {
        uris.push((*place).to_owned());
    }
    let mut route = json!({
        "name": short(&format!("{id}: files for chats"), 100), "labels": { LABEL: id }, "uris": uris, "methods": ["GET", "HEAD"],
        "plugins": { PLUGIN: plugin },
    });
    if let (false, Some(members)) = (wish.hosts.is_empty(), route.as_object_mut()) {
        members.insert("hosts".to_owned(), json!(wish.hosts));
    }
    Ok(((Key::new(Kind::Route, route_id(id)), route), files.left_out))
}

/// A plugin's body as it is to be stored: of the files for chats what the document says is new, and what somebody has set beside it stays.
pub(super) fn plugin_merged(known: &mut Map<String, Value>, name: &str, wanted: &Value) {
    match (known.get_mut(name).and_then(Value::as_object_mut), wanted.as_object()) {
        (Some(stored), Some(wanted)) if name == PLUGIN => {
            wanted.iter().for_each(|(member, value)| drop(stored.insert(member.clone(), value.clone())));
        }
        _ => drop(known.insert(name.to_owned(), wanted.clone())),
    }
}
