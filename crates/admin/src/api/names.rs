//! Kinds and ids as callers write them.

use usher_model::kind::{Key, Kind};
use usher_model::nearest::nearest;

use super::refusal::Refusal;

/// The kind that a word names: `route`, `routes`, `plugin-config`, `credentials`.
///
/// # Errors
/// 404 with the nearest word.
pub(super) fn kind(word: &str) -> Result<Kind, Refusal> {
    let plain = word.to_ascii_lowercase().replace(['-', ' '], "_");
    Kind::ALL.into_iter().find(|kind| plain == kind.schema_name() || plain == plural(*kind)).ok_or_else(
        || {
            let words: Vec<String> = Kind::ALL.into_iter().map(plural).collect();
            let refusal = Refusal::not_found(format!("{word:?} is no kind of object")).at("kind");
            match nearest(&plain, words.iter().map(String::as_str)) {
                Some(meant) => refusal.next(format!("did you mean {meant}?")),
                None => refusal.next(format!("write one of {}", words.join(", "))),
            }
        },
    )
}

/// The word for several of a kind, which is the collection's name where it has one of its own.
pub(super) fn plural(kind: Kind) -> String {
    match kind {
        Kind::Credential | Kind::CostDecoration => format!("{}s", kind.schema_name()),
        other => other.collection().to_owned(),
    }
}

/// The key of an object. What lives below another may be written short: `jack/c1` for `jack/credentials/c1`.
///
/// # Errors
/// 422 where no object of this kind can have that id.
pub(super) fn key(kind: Kind, id: &str) -> Result<Key, Refusal> {
    let key = match (kind, id.split_once('/')) {
        (Kind::Credential, Some((above, own))) if !own.contains('/') => Key::credential(above, own),
        (Kind::CostDecoration, Some((above, own))) if !own.contains('/') => Key::cost_decoration(above, own),
        _ => Key::new(kind, id),
    };
    if Key::parse(&key.path()).as_ref() == Some(&key) {
        return Ok(key);
    }
    let like = match kind {
        Kind::Credential => "<consumer>/<id>, such as jack/c1",
        Kind::CostDecoration => "<service>/<id>, such as 1/d1",
        Kind::Secret => "<manager>/<id>, such as vault/1",
        _ => "1 to 64 letters, digits, - _ or .",
    };
    Err(Refusal::invalid(format!("{id:?} is no id of a {kind}")).at("id").next(format!("write {like}")))
}

#[cfg(test)]
mod tests {
    use usher_model::kind::{Key, Kind};

    use super::{key, kind};

    #[test]
    fn kinds_are_known_by_all_their_words() {
        for (word, wanted) in [
            ("route", Some(Kind::Route)),
            ("routes", Some(Kind::Route)),
            ("Plugin-Config", Some(Kind::PluginConfig)),
            ("plugin_configs", Some(Kind::PluginConfig)),
            ("credentials", Some(Kind::Credential)),
            ("credential", Some(Kind::Credential)),
            ("plugin_metadata", Some(Kind::PluginMetadata)),
            ("graphql-cost-decorations", Some(Kind::CostDecoration)),
            ("rotes", None),
            ("", None),
        ] {
            assert_eq!(kind(word).ok(), wanted, "{word}");
        }
        let told = format!("{:?}", kind("rotes").unwrap_err());
        assert!(told.contains("did you mean routes?"), "{told}");
    }

    #[test]
    fn ids_below_another_may_be_short() {
        for (of, id, wanted) in [
            (Kind::Route, "1", Some(Key::new(Kind::Route, "1"))),
            (Kind::Route, "1/2", None),
            (Kind::Credential, "jack/c1", Some(Key::credential("jack", "c1"))),
            (Kind::Credential, "jack/credentials/c1", Some(Key::credential("jack", "c1"))),
            (Kind::Credential, "jack", None),
            (Kind::CostDecoration, "s/d", Some(Key::cost_decoration("s", "d"))),
            (Kind::Secret, "vault/1", Some(Key::new(Kind::Secret, "vault/1"))),
            (Kind::Secret, "1", None),
        ] {
            assert_eq!(key(of, id).ok(), wanted, "{of} {id}");
        }
    }
}
