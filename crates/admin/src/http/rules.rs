//! Which id a resource gets, and which members a client may not write (Admin API contract, sections 4.1 and 4.2).

use serde_json::{Map, Value};
use usher_model::kind::{Key, Kind, SECRET_MANAGERS};
use usher_model::schema;

use super::answer::Answer;
use super::place::Verb;
use super::target::Target;

/// The sentence for an id that can't be one.
const BAD_ID: &str =
    "invalid configuration: property \"id\" validation failed: object matches none of the required";

/// Members that only Usher writes.
const TIMES: [&str; 2] = ["create_time", "update_time"];

/// The key and value of a PUT: the id comes from the path or from the body, and both have to agree.
///
/// # Errors
/// 400 in APISIX's words.
pub(super) fn put(target: &Target, given: Option<Value>) -> Result<(Key, Value), Answer> {
    let mut members = members(target.kind, given)?;
    if target.kind == Kind::Consumer {
        return consumer(target, members);
    }
    let id = identity(target, &mut members)?;
    // Metadata may have members of any name, and none that is ours.
    if target.kind != Kind::PluginMetadata {
        refuse_times(&members)?;
    }
    if let Some(sentence) = bad_id(target.kind, &id) {
        return Err(Answer::bad(sentence));
    }
    own_service(target, &mut members)?;
    Ok((target.key(&id), Value::Object(members)))
}

/// The id of path or body, which is put into the value where only the path has it.
fn identity(target: &Target, members: &mut Map<String, Value>) -> Result<String, Answer> {
    let written = members.get("id").map(id_text);
    match (&target.id, written) {
        (Some(id), Some(written)) if *id != written => Err(wrong_id(target.kind, "")),
        (Some(id), _) => {
            members.insert("id".to_owned(), id.as_str().into());
            Ok(id.clone())
        }
        // As it was written: a number stays a number.
        (None, Some(written)) => Ok(written),
        (None, None) => Err(target.nameless(Verb::Put)),
    }
}

/// The value of a POST, which makes its id itself.
///
/// # Errors
/// 400 in APISIX's words.
pub(super) fn post(target: &Target, given: Option<Value>) -> Result<Map<String, Value>, Answer> {
    let mut members = members(target.kind, given)?;
    if target.id.is_some() || members.contains_key("id") {
        return Err(wrong_id(target.kind, ", do not need it"));
    }
    refuse_times(&members)?;
    own_service(target, &mut members)?;
    Ok(members)
}

/// The value of a PATCH after merging: its id stays what the path says.
///
/// # Errors
/// 400 where the patch would change the id.
pub(super) fn patched(target: &Target, id: &str, value: Value) -> Result<Value, Answer> {
    let mut members = members(target.kind, Some(value))?;
    let own = target.key(id).own_id().to_owned();
    if members.get("id").is_some_and(|written| id_text(written) != own) {
        return Err(wrong_id(target.kind, ""));
    }
    members.insert("id".to_owned(), own.into());
    Ok(Value::Object(members))
}

/// A cost decoration's service stands in the path, so no patch names one.
///
/// # Errors
/// 400 in APISIX's words.
pub(super) fn patch(target: &Target, given: &Value) -> Result<(), Answer> {
    if target.kind == Kind::CostDecoration && given.get("service_id").is_some() {
        return Err(Answer::bad("service_id can not be patched"));
    }
    Ok(())
}

/// A cost decoration belongs to the service of its path.
fn own_service(target: &Target, members: &mut Map<String, Value>) -> Result<(), Answer> {
    let (Kind::CostDecoration, Some(service)) = (target.kind, &target.parent) else { return Ok(()) };
    if members.get("service_id").is_some_and(|written| id_text(written) != *service) {
        return Err(Answer::bad("wrong service_id, it is taken from the path"));
    }
    members.insert("service_id".to_owned(), service.as_str().into());
    Ok(())
}

/// A consumer is known by its user name and has no id.
fn consumer(target: &Target, members: Map<String, Value>) -> Result<(Key, Value), Answer> {
    refuse_times(&members)?;
    let value = Value::Object(members);
    schema::check_schema(Kind::Consumer, &value)
        .map_err(|violation| Answer::bad(violation.admin_sentence()))?;
    let name = value.get("username").and_then(Value::as_str).unwrap_or_default();
    if target.id.as_deref().is_some_and(|id| id != name) {
        return Err(Answer::bad("wrong username"));
    }
    Ok((target.key(name), value))
}

fn members(kind: Kind, given: Option<Value>) -> Result<Map<String, Value>, Answer> {
    match given {
        None => Err(Answer::bad("missing configurations")),
        Some(Value::Object(members)) => Ok(members),
        Some(other) => Err(Answer::bad(match schema::check_schema(kind, &other) {
            Err(violation) => violation.admin_sentence(),
            Ok(()) => "invalid configuration".to_owned(),
        })),
    }
}

/// An id as Lua would print it.
pub(super) fn id_text(id: &Value) -> String {
    usher_model::kind::id_text(id).unwrap_or_else(|| id.to_string())
}

/// What is wrong with an id, before anything is looked up under it; the schema says the same of the member in the body.
pub(super) fn bad_id(kind: Kind, id: &str) -> Option<String> {
    let own = match kind {
        // The list of plugins says which names there are.
        Kind::PluginMetadata => return None,
        Kind::Secret => match id.split_once('/') {
            None => return Some("missing secret id".to_owned()),
            Some((manager, own)) if SECRET_MANAGERS.contains(&manager) => own,
            Some((manager, _)) => return Some(format!("invalid secret manager: {manager}")),
        },
        _ => id,
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let good = (1..=64).contains(&own.len()) && own.bytes().all(allowed);
    (!good).then(|| BAD_ID.to_owned())
}

fn wrong_id(kind: Kind, rest: &str) -> Answer {
    Answer::bad(format!("wrong {kind} id{rest}"))
}

/// All of them in one sentence, as APISIX does.
fn refuse_times(members: &Map<String, Value>) -> Result<(), Answer> {
    let mut found = String::new();
    let places = [
        ("", Some(members)),
        ("upstream.", inner(members, "upstream")),
        ("plugins.", inner(members, "plugins")),
    ];
    for (prefix, place) in places {
        for name in TIMES {
            if place.is_some_and(|place| place.contains_key(name)) {
                found += &format!(" {prefix}{name}");
            }
        }
    }
    if found.is_empty() { Ok(()) } else { Err(Answer::bad(format!("the property is forbidden: {found}"))) }
}

fn inner<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    members.get(name).and_then(Value::as_object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::id_text;

    #[test]
    fn ids_are_printed_as_lua_prints_them() {
        for (id, wanted) in [
            (json!("a"), "a"),
            (json!(1), "1"),
            (json!(1.0), "1"),
            (json!(1.5), "1.5"),
            (json!(-1), "-1"),
            (json!(null), "null"),
            (json!({}), "{}"),
        ] {
            assert_eq!(id_text(&id), wanted);
        }
    }
}
