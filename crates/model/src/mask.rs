//! Masks: what readers see of a secret, and how a mask that is written back keeps what was stored.

use serde_json::Value;

use crate::seal::Keyring;

pub use crate::reference::is_reference;

/// What every mask begins with.
const STARS: &str = "***";

/// The dotted path of a member; arrays are stepped through without a segment of their own (as APISIX's `encrypt_fields`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// A path from its dotted text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.split('.').map(str::to_owned).collect())
    }

    /// A path below others.
    #[must_use]
    pub fn below(parents: &[&str], text: &str) -> Self {
        Self(
            parents.iter().map(|name| (*name).to_owned()).chain(text.split('.').map(str::to_owned)).collect(),
        )
    }

    /// Calls `f` for each text at this path; objects at the end of the path give all their texts.
    pub fn for_each_mut(&self, value: &mut Value, f: &mut impl FnMut(&mut String)) {
        each(value, &self.0, f);
    }
}

fn each(value: &mut Value, path: &[String], f: &mut impl FnMut(&mut String)) {
    match (value, path) {
        (Value::Array(items), _) => items.iter_mut().for_each(|item| each(item, path, f)),
        (Value::Object(members), [name, rest @ ..]) => {
            if let Some(member) = members.get_mut(name) {
                each(member, rest, f);
            }
        }
        (Value::Object(members), []) => members.values_mut().for_each(|member| each(member, &[], f)),
        (Value::String(text), []) => f(text),
        _ => {}
    }
}

/// The mask of a secret: `***` and a short keyed fingerprint, so that two readers can tell whether it is the same.
#[must_use]
pub fn mask(keyring: &Keyring, plain: &str) -> String {
    format!("{STARS}{}", keyring.fingerprint(plain))
}

/// Whether a text looks like a mask.
#[must_use]
pub fn is_mask(text: &str) -> bool {
    text.strip_prefix(STARS).is_some_and(|rest| {
        rest.is_empty() || (rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}

/// What stands for a mask while a value is checked that can't be unmasked: a text that isn't known here, which schemas admit wherever they want one.
const STAND_IN: &str = "$env://MASKED";

/// The same value with stand-ins for its masks, for a check of everything else; `None` where it holds no mask.
#[must_use]
pub fn without_masks(value: &Value) -> Option<Value> {
    if !holds_mask(value) {
        return None;
    }
    let mut copy = value.clone();
    stand_in(&mut copy);
    Some(copy)
}

/// Puts stand-ins for the masks of a value, and counts them.
pub fn stand_in(value: &mut Value) -> usize {
    match value {
        Value::String(text) if is_mask(text) => {
            STAND_IN.clone_into(text);
            1
        }
        Value::Array(items) => items.iter_mut().map(stand_in).sum(),
        Value::Object(members) => members.values_mut().map(stand_in).sum(),
        _ => 0,
    }
}

fn holds_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => is_mask(text),
        Value::Array(items) => items.iter().any(holds_mask),
        Value::Object(members) => members.values().any(holds_mask),
        _ => false,
    }
}

/// Masks the texts at these paths of a record, in whatever form they are there. References to secrets elsewhere stay readable.
pub fn mask_at(keyring: &Keyring, record: &str, value: &mut Value, paths: &[FieldPath]) {
    for path in paths {
        path.for_each_mut(value, &mut |text| {
            if is_reference(text) {
                return;
            }
            *text = mask(keyring, &keyring.plain_of(record, text));
        });
    }
}

/// Puts what is stored back where the new value holds its mask. A mask of anything else is left, and refused by whoever checks.
///
/// # Errors
/// The first mask that belongs to no stored value.
pub fn unmask(
    keyring: &Keyring,
    record: &str,
    new: &mut Value,
    stored: Option<&Value>,
    paths: &[FieldPath],
) -> Result<(), String> {
    let mut unknown = None;
    for path in paths {
        let mut known = Vec::new();
        if let Some(stored) = stored {
            let mut copy = stored.clone();
            path.for_each_mut(&mut copy, &mut |text| {
                let plain = keyring.plain_of(record, text);
                known.push((mask(keyring, &plain), plain));
            });
        }
        path.for_each_mut(new, &mut |text| {
            if !is_mask(text) {
                return;
            }
            match known.iter().find(|(mask, _)| mask == text) {
                Some((_, plain)) => text.clone_from(plain),
                // Bare stars mean the one stored value, where there is only one.
                None if text == STARS && known.len() == 1 => {
                    text.clone_from(&known.first().map(|(_, plain)| plain.clone()).unwrap_or_default());
                }
                None => unknown = Some(path.0.join(".")),
            }
        });
    }
    match unknown {
        None => Ok(()),
        Some(path) => {
            Err(format!("{path} holds a mask that belongs to no stored value; give the secret itself"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{FieldPath, is_mask, mask_at, unmask, without_masks};
    use crate::seal::Keyring;

    #[test]
    fn the_rest_of_a_masked_value_can_be_checked() {
        let masked = json!({ "key": "***0a0b0c", "list": [{ "token": "***" }], "name": "***bold***" });
        let shown = without_masks(&masked).unwrap();
        assert_eq!(
            shown,
            json!({ "key": "$env://MASKED", "list": [{ "token": "$env://MASKED" }], "name": "***bold***" })
        );
        assert_eq!(without_masks(&shown), None);
    }

    #[test]
    fn a_mask_written_back_keeps_the_stored_value() {
        let (ring, _) = Keyring::generate().unwrap();
        let paths = [FieldPath::below(&["plugins", "key-auth"], "key"), FieldPath::parse("list.token")];
        let stored = json!({
            "plugins": { "key-auth": { "key": ring.seal("r", "one").unwrap() } },
            "list": [{ "token": "two" }, { "token": "three" }], "name": "x",
        });
        let mut shown = stored.clone();
        mask_at(&ring, "r", &mut shown, &paths);
        let text = shown.to_string();
        assert!(!text.contains("one") && !text.contains("two") && !text.contains("three"), "{text}");
        assert!(is_mask(shown["plugins"]["key-auth"]["key"].as_str().unwrap()));
        unmask(&ring, "r", &mut shown, Some(&stored), &paths).unwrap();
        assert_eq!(shown["plugins"]["key-auth"]["key"], "one");
        assert_eq!(shown["list"][1]["token"], "three");
        let mut foreign = json!({ "list": [{ "token": "***0a0b0c" }] });
        assert!(unmask(&ring, "r", &mut foreign, Some(&stored), &paths).is_err());
    }
}
