//! What consistent hashing goes by, made ready once: the name of a variable or a template (data plane contract, section 6.2).

use usher_model::resource::{self, Balancer, HashOn};
use usher_model::template::Template;
use usher_model::variables::Variables;

use super::balance::place_of;

/// What a request's place on the ring is computed of.
#[derive(Debug)]
pub(super) enum Key {
    /// Nothing: the nodes aren't chosen by a key.
    None,
    /// A variable.
    Variable(Box<str>),
    /// Several of them in a text.
    Text(Template),
}

impl Key {
    pub(super) fn of(spec: &resource::Upstream) -> Self {
        if spec.balancer != Balancer::Chash {
            return Self::None;
        }
        let key = spec.key.as_deref().unwrap_or_default();
        Self::Variable(match spec.hash_on {
            HashOn::Vars => key.into(),
            // Header names are written with hyphens, their variables with underscores.
            HashOn::Header => format!("http_{}", key.to_ascii_lowercase().replace('-', "_")).into(),
            HashOn::Cookie => format!("cookie_{key}").into(),
            HashOn::Consumer => "consumer_name".into(),
            HashOn::VarsCombinations => return Self::Text(Template::parse(key)),
        })
    }

    /// The place of a request. Without a key of its own it is that of the client's address.
    pub(super) fn place(&self, variables: &dyn Variables) -> u32 {
        let found = match self {
            Self::None => return 0,
            Self::Variable(name) => {
                variables.variable(name).filter(|value| !value.is_empty()).map(|value| place_of(&value))
            }
            Self::Text(template) => {
                let (text, resolved) = template.render_counted(variables);
                (resolved > 0).then(|| place_of(text.as_bytes()))
            }
        };
        found.or_else(|| variables.variable("remote_addr").map(|value| place_of(&value))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::{Value, json};
    use usher_model::resource::Upstream;
    use usher_model::variables::Variables;

    use super::{Key, place_of};

    struct Told([(&'static str, &'static str); 6]);

    impl Variables for Told {
        fn variable(&self, name: &str) -> Option<Cow<'_, [u8]>> {
            self.0.as_slice().variable(name)
        }
    }

    #[test]
    fn each_kind_of_key_is_found_and_an_absent_one_is_the_client_s_address() {
        let variables = Told([
            ("uri", "/a"),
            ("http_x_user", "u"),
            ("cookie_sid", "s"),
            ("consumer_name", "jack"),
            ("remote_addr", "10.0.0.9"),
            ("arg_e", ""),
        ]);
        for (members, wanted) in [
            (json!({ "key": "uri" }), "/a"),
            (json!({ "hash_on": "header", "key": "X-User" }), "u"),
            (json!({ "hash_on": "header", "key": "x_user" }), "u"),
            (json!({ "hash_on": "cookie", "key": "sid" }), "s"),
            (json!({ "hash_on": "consumer" }), "jack"),
            (json!({ "hash_on": "vars_combinations", "key": "$uri-$consumer_name" }), "/a-jack"),
            (json!({ "hash_on": "vars_combinations", "key": "$uri$arg_x" }), "/a"),
            (json!({ "hash_on": "vars_combinations", "key": "x$arg_x" }), "10.0.0.9"),
            (json!({ "key": "arg_x" }), "10.0.0.9"),
            (json!({ "key": "arg_e" }), "10.0.0.9"),
            (json!({ "hash_on": "header", "key": "x-none" }), "10.0.0.9"),
        ] {
            let mut value: Value = json!({ "nodes": {}, "type": "chash" });
            usher_model::patch::merge(&mut value, &members);
            let key = Key::of(&Upstream::from_value(&value).unwrap());
            assert_eq!(key.place(&variables), place_of(wanted.as_bytes()), "{members}");
        }
        let plain = Upstream::from_value(&json!({ "nodes": {}, "key": "uri" })).unwrap();
        assert_eq!(Key::of(&plain).place(&variables), 0);
    }
}
