//! Which id a resource gets, and which members a client may not write (Admin API contract, sections 4.1 and 4.2).

use serde_json::{Map, Value};
use usher_model::kind::{Key, Kind};
use usher_model::schema;

use super::answer::Answer;
use super::place::Target;

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
    let written = members.get("id").map(id_text);
    let id = match (&target.id, written) {
        (Some(id), Some(written)) if *id != written => return Err(wrong_id(target.kind, "")),
        (Some(id), _) => {
            members.insert("id".to_owned(), id.as_str().into());
            id.clone()
        }
        // As it was written: a number stays a number.
        (None, Some(written)) => written,
        (None, None) => return Err(Answer::bad(format!("missing {} id", target.kind))),
    };
    refuse_times(&members)?;
    check_id(&id)?;
    Ok((target.key(&id), Value::Object(members)))
}

/// The value of a POST, which makes its id itself.
///
/// # Errors
/// 400 in APISIX's words.
pub(super) fn post(target: &Target, given: Option<Value>) -> Result<Map<String, Value>, Answer> {
    let members = members(target.kind, given)?;
    if target.id.is_some() || members.contains_key("id") {
        return Err(wrong_id(target.kind, ", do not need it"));
    }
    refuse_times(&members)?;
    Ok(members)
}

/// The value of a PATCH after merging: its id stays what the path says.
///
/// # Errors
/// 400 where the patch would change the id.
pub(super) fn patched(target: &Target, id: &str, value: Value) -> Result<Value, Answer> {
    let mut members = members(target.kind, Some(value))?;
    if members.get("id").is_some_and(|written| id_text(written) != id) {
        return Err(wrong_id(target.kind, ""));
    }
    members.insert("id".to_owned(), id.into());
    Ok(Value::Object(members))
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
fn id_text(id: &Value) -> String {
    match id {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64().filter(|number| number.fract() == 0.0) {
            Some(whole) if number.is_f64() => format!("{whole}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Before anything is looked up under it; the schema says the same of the member in the body.
fn check_id(id: &str) -> Result<(), Answer> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let good = (1..=64).contains(&id.len()) && id.bytes().all(allowed);
    if good { Ok(()) } else { Err(Answer::bad(BAD_ID)) }
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
