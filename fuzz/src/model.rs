//! What must hold of any bytes that are read as a resource, a patch, a key or a document: used by the fuzz targets, and by tests that replay
//! their corpora on the stable compiler.

use std::collections::BTreeSet;

use serde_json::Value;
use usher_model::diff::diff;
use usher_model::document::{Dialect, Format, read, write};
use usher_model::kind::{Key, Kind};
use usher_model::patch::{merge, replace_at};
use usher_model::schema;

/// A resource: the first byte chooses its kind, the rest is its JSON.
///
/// # Errors
/// What doesn't hold.
pub fn resource(data: &[u8]) -> Result<(), String> {
    let Some((kind, body)) = data.split_first() else { return Ok(()) };
    let Some(kind) = Kind::ALL.get(usize::from(*kind) % Kind::ALL.len()) else { return Ok(()) };
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Ok(()) };
    let checked = schema::check(*kind, &value);
    if schema::check(*kind, &value) != checked {
        return Err("it is checked otherwise the second time".to_owned());
    }
    if let Err(violation) = &checked {
        let sentence = violation.admin_sentence();
        if sentence.is_empty() || sentence.len() > 64 << 10 {
            return Err(format!("{} bytes of a sentence for {} bytes", sentence.len(), body.len()));
        }
    }
    if checked.is_ok() && schema::check_schema(*kind, &value).is_err() {
        return Err("the meaning is right, but the schema isn't".to_owned());
    }
    if !diff(Some(&value), Some(&value)).is_empty() {
        return Err("it differs from itself".to_owned());
    }
    let is_object_with_members = value.as_object().is_some_and(|members| !members.is_empty());
    if is_object_with_members
        && diff(None, Some(&value)).len() != value.as_object().map_or(0, |all| all.len())
    {
        return Err("a new object isn't told member by member".to_owned());
    }
    Ok(())
}

/// A target, a patch and a sub-path, each on a line of its own.
///
/// # Errors
/// What doesn't hold.
pub fn patch(data: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(data) else { return Ok(()) };
    let mut lines = text.splitn(3, '\n');
    let mut json = || lines.next().and_then(|line| serde_json::from_str::<Value>(line).ok());
    let (Some(target), Some(wanted)) = (json(), json()) else { return Ok(()) };
    let path = lines.next().unwrap_or_default();

    let mut once = target.clone();
    merge(&mut once, &wanted);
    let mut twice = once.clone();
    merge(&mut twice, &wanted);
    if once != twice {
        return Err(format!("merged twice it is {twice}, once {once}"));
    }
    for (name, value) in wanted.as_object().into_iter().flatten() {
        let there = once.get(name);
        let right = match value {
            Value::Null => there.is_none(),
            Value::Object(_) => there.is_some_and(Value::is_object),
            other => there == Some(other),
        };
        if !right {
            return Err(format!("the patch wants {name} to be {value}, it is {there:?}"));
        }
    }

    let mut replaced = target.clone();
    if replace_at(&mut replaced, path, wanted.clone()).is_ok() {
        let there = path.trim_matches('/').split('/').try_fold(&replaced, |place, name| place.get(name));
        if there != Some(&wanted) {
            return Err(format!("at {path} there is {there:?}"));
        }
    }
    Ok(())
}

/// A store's key.
///
/// # Errors
/// What doesn't hold.
pub fn key(data: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(data) else { return Ok(()) };
    let Some(key) = Key::parse(text) else { return Ok(()) };
    if key.path() != text {
        return Err(format!("{text} is written as {}", key.path()));
    }
    if key.own_id().is_empty() || !key.id.ends_with(key.own_id()) {
        return Err(format!("its own id is {:?}", key.own_id()));
    }
    match key.parent() {
        Some(parent)
            if !key.kind.is_below_another() || Key::parse(&parent.path()).as_ref() != Some(&parent) =>
        {
            Err(format!("it lives below {}", parent.path()))
        }
        None if key.kind.is_below_another() => Err("it lives below nothing".to_owned()),
        _ => Ok(()),
    }
}

/// A document: an even first byte for YAML, an odd one for JSON, and its text.
///
/// # Errors
/// What doesn't hold.
pub fn document(data: &[u8]) -> Result<(), String> {
    let Some((first, text)) = data.split_first() else { return Ok(()) };
    let Ok(text) = std::str::from_utf8(text) else { return Ok(()) };
    let format = if first % 2 == 0 { Format::Yaml } else { Format::Json };
    let document = match read(text, format) {
        Ok(document) => document,
        Err(error) if error.to_string().is_empty() => return Err("it is refused without a word".to_owned()),
        Err(_) => return Ok(()),
    };
    let keys: BTreeSet<String> = document.objects.iter().map(|(key, _)| key.path()).collect();
    if keys.len() != document.objects.len() {
        return Err("an id is there twice".to_owned());
    }
    for dialect in [Dialect::Usher, Dialect::Apisix] {
        let written = write(&document.objects, dialect);
        let again =
            read(&written, Format::Yaml).map_err(|error| format!("{dialect:?}: {error}\n{written}"))?;
        let sorted = |objects: &[(Key, Value)]| {
            let mut rows: Vec<(String, Value)> =
                objects.iter().map(|(key, value)| (key.path(), value.clone())).collect();
            rows.sort_by(|one, other| one.0.cmp(&other.0));
            rows
        };
        if sorted(&again.objects) != sorted(&document.objects) {
            return Err(format!(
                "{dialect:?}: {:?} became {:?} through\n{written}",
                document.objects, again.objects
            ));
        }
    }
    Ok(())
}
