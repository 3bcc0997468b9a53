//! Very large objects: the gateway shows them shortened, and a list that isn't seen whole is never written back.

use serde_json::Value;

use super::super::intent::{Alteration, Backend, Part};
use super::Current;

/// Whether something was left out of a value that `gateway_get` showed: it marks each such place by a `…`.
pub(super) fn is_cut(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let counted = text.rsplit_once("… (").is_some_and(|(_, count)| count.ends_with(" characters)"));
            counted || (text.starts_with("… ") && text.ends_with(" more"))
        }
        Value::Array(items) => items.iter().any(is_cut),
        Value::Object(members) => members.contains_key("…") || members.values().any(is_cut),
        _ => false,
    }
}

/// Whether a change is made of the list that is there.
pub(super) fn touches(alteration: &Alteration) -> bool {
    match alteration {
        Alteration::Set(wish) | Alteration::Add(wish) => {
            let adds = matches!(alteration, Alteration::Add(_));
            let lists = !wish.hosts.is_empty() || !wish.methods.is_empty() || !wish.paths.is_empty();
            let addresses = wish.plugins.iter().any(|(name, _)| name == "ip-restriction");
            (adds && (lists || addresses)) || matches!(wish.backend, Some(Backend::Nodes(_)))
        }
        Alteration::Drop(parts) => {
            parts.iter().any(|part| matches!(part, Part::Host(_) | Part::Method(_) | Part::Node(_)))
        }
        Alteration::Serve(_) => false,
    }
}

/// Why such a change isn't made.
pub(super) fn refusal(current: Current<'_>) -> String {
    let called = current.called();
    format!(
        "{called} is too large to be read whole here, so nothing is added to its lists or taken from them; write the whole list, \
        such as `update {called} {{\"hosts\": [...]}}`, or use the Admin API"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_cut;

    #[test]
    fn what_was_left_out_is_seen() {
        for (value, wanted) in [
            (json!({ "hosts": ["a.test", "… 1975 more"] }), true),
            (json!({ "upstream": { "nodes": { "…": "9 more" } } }), true),
            (json!({ "desc": "xx… (9000 characters)" }), true),
            (json!({ "hosts": ["a.test"], "desc": "and so on…" }), false),
        ] {
            assert_eq!(is_cut(&value), wanted, "{value}");
        }
    }
}
